"""Tokens are counted as transformers' CLIPTokenizer counts them, which is what the training scripts cut with."""

import json
import unicodedata

import pytest

from launch.caption_tokens import count_tokens, open_tokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
MERGES = ["t h", "th e</w>", "f i", "r e</w>", "fi re</w>", "' s</w>", "! !", "!! !</w>", "a n", "an d</w>", "æ °"]
LONG = "the fire and the water "


def classic(token):
    """A special token as the Stable Diffusion 1 and 2 repositories have it in tokenizer_config.json."""
    flags = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
    return {"__type": "AddedToken", "content": token, **flags}


def in_map(token):
    return {key: value for key, value in classic(token).items() if key != "__type"}


CLASSIC = {"bos_token": classic(START), "eos_token": classic(END), "unk_token": classic(END)}
CONFIGS = {
    "Stable Diffusion 1": ({**CLASSIC, "pad_token": END, "model_max_length": 77}, {}),
    "Stable Diffusion 2, padded with !": ({**CLASSIC, "pad_token": "!", "model_max_length": 77}, {"pad_token": "!"}),
    "texts for special tokens": ({"bos_token": START, "eos_token": END, "pad_token": END, "model_max_length": 77}, {}),
    "special tokens in their own file": (
        {"model_max_length": 77},
        {"bos_token": in_map(START), "eos_token": in_map(END), "pad_token": "!"},
    ),
    "a token taught by textual inversion": (
        {
            "model_max_length": 77,
            "pad_token": END,
            "added_tokens_decoder": {
                "523": {**in_map(START), "special": True},
                "524": {**in_map(END), "normalized": False, "special": True},
                "525": {**in_map("<cat toy>"), "special": False},
            },
        },
        {"pad_token": "!"},
    ),
    "no settings": (None, None),
}


def byte_symbols():
    """The 256 characters that byte-level BPE writes bytes with: printable ones as they are, the others from 256 on."""
    kept = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    moved = [byte for byte in range(256) if byte not in kept]
    return [chr(byte) if byte in kept else chr(256 + moved.index(byte)) for byte in range(256)]


def write_tokenizer(folder, config, special_tokens_map):
    """vocab.json, merges.txt and settings, as the base models have them."""
    symbols = byte_symbols()
    words = [*symbols, *(symbol + "</w>" for symbol in symbols), *(merge.replace(" ", "") for merge in MERGES)]
    vocab = {word: number for number, word in enumerate([*words, START, END])}
    folder.mkdir(exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *MERGES]) + "\n")
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config | {"tokenizer_class": "CLIPTokenizer"}))
    if special_tokens_map:
        (folder / "special_tokens_map.json").write_text(json.dumps(special_tokens_map))
    return folder


NASTY = [
    *("the fire and the fire", "THE FIRE", "the  fire\t\n the", " the ", "", "   ", "fire's fires' they've I'd WE'LL"),
    *("!", "!!!", "fire!!!", "fire !!! and", "12 345 ½ ² Ⅷ ٣", "a_b-c/d\\e", "...", "“quotes” — ‘and’ dashes…"),
    *("火", "火と水", "漢字 の hiragana", "한국어", "ﬁre ﬀ", "Ａ ｆｕｌｌ", "İstanbul", "ΣΊΣΥΦΟΣ ς", "ẞß", "ǅ"),
    *("🔥", "👩‍👩‍👧‍👦", "🇯🇵 flag", "e\u0301 café", "\u0958\u0fb3", "\u1e9b\u0323", "a\u200bb", "a\u00a0b"),
    *("a\u3000b", "a\x1cb"),
    *("\x00", "a\x85b", "\ufeffx", "zero\u200dwidth", "\u2028line", "𝕗𝕚𝕣𝕖", "𠀀", "ﷺ", "x" * 300, "火" * 100, "!" * 90),
    *(START, END, f"the {END} fire", f"fire{END}", END.upper(), f" {START}{START} the"),
    *("<|endof text|>", "< |endoftext|>"),
    *("<cat toy>", "a <cat toy>and <CAT TOY>", "<cat\t toy>"),
    *("don't 'S 'tis rock'n'roll", "<|", "&amp; <b>", "the" * 40, "a." * 50),
    LONG * 20,
]  # fmt: skip


@pytest.fixture(params=CONFIGS)
def tokenizer(request, tmp_path):
    return write_tokenizer(tmp_path / "tokenizer", *CONFIGS[request.param])


@pytest.mark.parametrize("saved_again", [False, True], ids=["as published", "as transformers saves it"])
def test_every_count_is_that_of_cliptokenizer(saved_again, tokenizer, tmp_path):
    from transformers import CLIPTokenizer

    theirs = CLIPTokenizer.from_pretrained(tokenizer)
    if saved_again:
        theirs.save_pretrained(tmp_path / "again")
        theirs = CLIPTokenizer.from_pretrained(tokenizer := tmp_path / "again")
        assert (tokenizer / "tokenizer.json").is_file()
    ours, limit = open_tokenizer(tokenizer)
    texts = NASTY + [unicodedata.normalize(form, text) for text in NASTY for form in ("NFC", "NFD", "NFKD")]
    for text in texts:
        assert ours.encode(text, add_special_tokens=False).tokens == theirs.tokenize(text), repr(text)
    judged = [(text, len(theirs(text).input_ids)) for text in texts]
    assert sorted(count_tokens(texts, tokenizer)[0]) == sorted(pair for pair in judged if pair[1] > limit)


def test_a_symbol_that_the_vocabulary_lacks_is_a_token_too(tmp_path):
    from transformers import CLIPTokenizer

    tokenizer = write_tokenizer(tmp_path, *CONFIGS["Stable Diffusion 1"])
    vocab = json.loads((tokenizer / "vocab.json").read_text())
    del vocab["~</w>"]
    (tokenizer / "vocab.json").write_text(json.dumps(vocab))
    theirs = len(CLIPTokenizer.from_pretrained(tokenizer)("~ " * 80).input_ids)
    assert count_tokens(["~ " * 80], tokenizer)[0] == [("~ " * 80, theirs)]


@pytest.mark.parametrize("config", ["Stable Diffusion 1", "Stable Diffusion 2, padded with !"])
def test_what_bytes_and_words_say_is_never_wrong(config, tmp_path):
    tokenizer = write_tokenizer(tmp_path, *CONFIGS[config])
    texts = NASTY + [text * times for text in NASTY for times in (3, 10, 30)]
    exact = dict(count_tokens(texts, tokenizer)[0])
    surely, maybe, limit = count_tokens(texts, None)
    assert limit == 77
    assert all(exact[text] >= tokens > limit for text, tokens in surely)
    assert len(surely) + maybe >= len([text for text in texts if text in exact]) > len(surely) > 0


@pytest.mark.parametrize(
    ("caption", "too_long", "maybe"),
    [
        ("a" * 75, False, 0),
        ("a" * 76, False, 1),
        ("a b " * 37 + "c", False, 1),
        ("a b " * 38, True, 0),
        (" " * 200 + "a", False, 0),
        ("火" * 25, False, 0),
        ("火" * 26, False, 1),
        ("İ" * 25, False, 0),
        ("İ" * 26, False, 1),  # two bytes, and three in lower case
        ("\u0958" * 13, False, 1),  # three bytes, and six when composed
    ],
)
def test_without_a_tokenizer_a_caption_is_over_not_over_or_left_open(caption, too_long, maybe):
    over, open_ones, _ = count_tokens([caption], None)
    assert (bool(over), open_ones) == (too_long, maybe)


@pytest.mark.parametrize(("tokens", "over"), [(75, False), (76, True)])
def test_start_and_end_count(tokens, over, tmp_path):
    tokenizer = write_tokenizer(tmp_path, *CONFIGS["Stable Diffusion 1"])
    caption = "the " * tokens
    assert count_tokens([caption], tokenizer) == ([(caption, 78)] if over else [], 0, 77)


def test_the_longest_comes_first_and_every_row_counts(tmp_path):
    tokenizer = write_tokenizer(tmp_path, *CONFIGS["Stable Diffusion 1"])
    captions = ["the " * 80, "fire", "and " * 90, "the " * 80]
    assert [tokens for _, tokens in count_tokens(captions, tokenizer)[0]] == [92, 82, 82]


@pytest.mark.parametrize(("length", "limit"), [(16, 16), (77, 77), (None, 77)])
def test_the_limit_is_the_tokenizers_own(length, limit, tmp_path):
    config, special = CONFIGS["Stable Diffusion 1"]
    tokenizer = write_tokenizer(tmp_path, config | {"model_max_length": length}, special)
    caption = "the " * (limit - 1)
    assert count_tokens([caption], tokenizer) == ([(caption, limit + 1)], 0, limit)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vocab.json", "{"),
        ("vocab.json", "[]"),
        ("merges.txt", "#version: 0.2\nno such\n"),
        ("tokenizer_config.json", "<html>"),
        ("tokenizer_config.json", "[]"),
        ("tokenizer.json", "version https://git-lfs.github.com/spec/v1"),
    ],
)
def test_a_damaged_tokenizer_is_told_in_one_line(name, content, tmp_path):
    tokenizer = write_tokenizer(tmp_path, *CONFIGS["Stable Diffusion 1"])
    (tokenizer / name).write_text(content)
    with pytest.raises(ValueError, match="fetch the base model again") as told:
        count_tokens(["the"], tokenizer)
    assert str(tokenizer) in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
def test_half_a_download_is_no_tokenizer(name, tmp_path):
    tokenizer = write_tokenizer(tmp_path, *CONFIGS["Stable Diffusion 1"])
    (tokenizer / name).unlink()
    captions = ["a b " * 50, "x" * 100]
    assert count_tokens(captions, tokenizer) == count_tokens(captions, None) == ([("a b " * 50, 102)], 1, 77)
