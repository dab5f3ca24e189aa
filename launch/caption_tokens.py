"""How many tokens captions have for CLIP, whose text encoder takes 77: the rest of a caption is cut without a word.

Counted by the `tokenizers` package alone, since transformers takes seconds to import.
"""

import json
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

LIMIT = 77  # of the text encoders of all Stable Diffusion models, start and end among them


def count_tokens(captions: list[str], tokenizer: Path | None) -> tuple[list[tuple[str, int]], int, int]:
    """(each caption that is over the limit with its tokens, longest first; how many more may be; the limit).

    `tokenizer` is a folder with tokenizer.json, or vocab.json and merges.txt. Without one (None, or half a download)
    the tokens are the fewest that there can be. Raises ValueError for files that are no tokenizer.
    """
    opened, limit = (tokenizer and open_tokenizer(tokenizer)) or (None, LIMIT)
    # No token has less than a byte of what CLIP reads: what has few bytes needs no count.
    long = [caption for caption in captions if len(_as_clip_reads(caption).encode()) > limit - 2]
    if opened:
        tokens = [len(encoding.ids) + 2 for encoding in opened.encode_batch(long, add_special_tokens=False)]
    else:
        tokens = [len(caption.split()) + 2 for caption in long]  # no token goes over a space
    too_long = [pair for pair in zip(long, tokens, strict=True) if pair[1] > limit]
    too_long.sort(key=lambda pair: -pair[1])
    return too_long, 0 if opened else len(long) - len(too_long), limit


def _as_clip_reads(caption: str) -> str:
    return " ".join(unicodedata.normalize("NFC", caption).lower().split())


def open_tokenizer(folder: Path) -> tuple["Tokenizer", int] | None:
    """(the tokenizer that CLIPTokenizer of transformers 5 makes of `folder`, its limit), None where files are missing.

    Raises ValueError for files that are no tokenizer.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

    whole, vocab, merges = (folder / name for name in ("tokenizer.json", "vocab.json", "merges.txt"))
    if not whole.is_file() and not (vocab.is_file() and merges.is_file()):
        return None
    try:
        config = _json(folder / "tokenizer_config.json")
        limit = config.get("model_max_length") or LIMIT
        if whole.is_file():
            tokenizer = Tokenizer.from_file(str(whole))
            tokenizer.no_truncation()
            tokenizer.no_padding()
            return tokenizer, limit
        tokenizer = Tokenizer(
            models.BPE.from_file(str(vocab), str(merges), unk_token="<|endoftext|>", end_of_word_suffix="</w>")
        )
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
        )
        words = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(words), "removed", invert=True), pre_tokenizers.ByteLevel(False)]
        )
        # Found in a caption before anything is split: the padding of Stable Diffusion 2 is "!".
        added = config.get("added_tokens_decoder", {})
        named = config if added else config | _json(folder / "special_tokens_map.json")
        tokens = [added[index] for index in sorted(added, key=int)]
        for name in ("bos", "eos", "unk", "pad"):
            tokens.append(named.get(f"{name}_token") or ("<|startoftext|>" if name == "bos" else "<|endoftext|>"))
        for token in tokens:
            options = token if isinstance(token, dict) else {"content": token}
            options = {key: value for key, value in options.items() if key not in ("__type", "special")}
            tokenizer.add_tokens([AddedToken(**options, special=True)])
        return tokenizer, limit
    except Exception as error:  # the tokenizers package raises no narrower kind
        raise ValueError(f"{folder}: no tokenizer of CLIP's kind ({error}); fetch the base model again") from None


def _json(file: Path) -> dict:
    return json.loads(file.read_text("utf-8")) if file.is_file() else {}
