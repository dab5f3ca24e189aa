"""What a word becomes beside a picture: a folder that is safe, a seed of its own, a file that is whole."""

import re
from pathlib import Path

import pytest
from PIL import Image

import generate

WORDS = {
    "fire": "fire",
    "forest fire": "forest fire",
    "YouTube": "YouTube",
    "comb": "comb",
    "雨": "雨",
    "हिन्दी": "हिन्दी",
    "co-op_2": "co-op_2",
}
ODD = [
    *("../x", "..", ".", "a/b", "a\\b", "a:b", "a_b?", "a_b*", "-x", " x", "x.", ".x", "CON", "nul", "Com1", "lpt9"),
    *(
        "sheet.png",
        "index.html",
        "😀",
        "🔥",
        "!!!",
        "???",
        "<b>",
        "x" * 300,
        "x" * 301,
        "雨" * 300,
        "𠀋" * 300,
        "a\x00b",
    ),
    *("\u202egnp.exe", "~", "$HOME", "`id`", "a'b", 'a"b', "|", "%41", "\U0001f468\u200d\U0001f469"),
]


@pytest.mark.parametrize(("word", "name"), WORDS.items())
def test_a_plain_word_is_its_folders_name(word, name):
    assert generate.folder_name(word) == name


@pytest.mark.parametrize("word", ODD)
def test_an_odd_word_gets_a_safe_name(word, tmp_path):
    name = generate.folder_name(word)
    assert re.fullmatch(r"[\w -]*\w-[0-9a-f]{8}", name) and name[0] not in " -."
    assert len(name.encode()) <= 255
    (tmp_path / name).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_no_two_words_share_a_folder():
    words = [*WORDS, *ODD]
    assert len({generate.folder_name(word) for word in words}) == len(words)


def test_a_seed_is_the_same_in_every_version_and_no_two_are_the_same():
    assert generate.image_seed(0, "fire", 0) == 1873450223
    seeds = {generate.image_seed(s, w, n) for s in (0, 1, -1) for w in ("fire", "rain", "fire\n1") for n in range(20)}
    assert len(seeds) == 3 * 3 * 20 and all(0 <= seed < 2**32 for seed in seeds)


def test_an_image_that_cannot_be_written_whole_is_not_there(tmp_path):
    class Breaks(Image.Image):
        def save(self, file, *args, **options):
            Path(file).write_bytes(b"\x89PNG half")
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        generate.save(Breaks(), tmp_path / "w" / "1.png", {})
    assert not (tmp_path / "w" / "1.png").exists()


def test_the_words_that_come_with_the_project_are_words(root):
    for file in (root / "prompts").glob("*.txt"):
        words = generate.read_words([], file)
        assert len(words) >= 20 and all(word.isascii() for word in words)
