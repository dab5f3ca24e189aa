"""KANJIDIC2's characters and their English meanings."""

import pytest
from small_sources import entry, kanjidic2

from dataset_builder import kanjidic
from dataset_builder.sources import Dropped


def read(tmp_path, entries: str) -> list:
    (tmp_path / "k.xml").write_text(kanjidic2(entries), "utf-8")
    return list(kanjidic.read(tmp_path / "k.xml"))


def test_an_entry_has_its_english_meanings_only(tmp_path):
    (fire,) = read(tmp_path, entry("火", "fire", "flame", extra="<grade>1</grade>"))
    assert fire == kanjidic.Entry("火", ("fire", "flame"), stroke_count=3, radical="火", grade=1)


def test_a_character_without_english_is_dropped_and_inherits_nothing(tmp_path):
    read_in = read(tmp_path, entry("火", "fire") + entry("鬱") + entry("水", "water"))
    assert read_in[1] == Dropped("09b31", "no English meaning in KANJIDIC2")
    assert [e.meanings for e in (read_in[0], read_in[2])] == [("fire",), ("water",)]


def test_the_second_entry_of_a_character_is_dropped(tmp_path):
    first, second = read(tmp_path, entry("火", "fire") + entry("火", "ice"))
    assert first.meanings == ("fire",)
    assert second == Dropped("0706b", "twice in KANJIDIC2: the first entry counts")


@pytest.mark.parametrize(
    "broken",
    [
        entry("火", "fire", strokes=""),
        entry("火", "fire", strokes="four"),
        entry("火", "fire", radical="215"),
        entry("火", "fire", radical="0"),
        entry("火", "fire", extra="<grade>first</grade>"),
        entry("火事", "conflagration"),
        entry("", "nothing"),
        "<character/>",
    ],
)
def test_a_broken_entry_is_dropped_with_a_reason_and_the_next_one_read(tmp_path, broken):
    dropped, kept = read(tmp_path, broken + entry("水", "water"))
    assert isinstance(dropped, Dropped) and dropped.reason
    assert kept.character == "水"


@pytest.mark.parametrize(
    ("glosses", "meanings"),
    [
        (["work", "(kokuji)"], ("work",)),
        (["mountain pass (kokuji)"], ("mountain pass",)),
        (["one", "one radical (no.1)"], ("one",)),
        (["heart radical (no. 61)"], ("heart",)),
        (["winter variant radical (no. 34)"], ("winter",)),
        (["water radical variant (no. 85)"], ("water",)),
        (["left village radical - 2 stroke form (no. 170)"], ("left village",)),
        (["clothing radical (no. 145"], ("clothing",)),
        (["death radical (n. 78)", "death"], ("death",)),
        (["radical number 9"], ("man",)),
        (["variant of radical 125"], ("old",)),
        (["grass", "radical number 140"], ("grass",)),
        (["(phantom kanji)"], ("phantom kanji",)),
        (["cage", "(phantom kanji)"], ("cage",)),
        (["root", "radical", "head (pimple)"], ("root", "radical", "head (pimple)")),
        (["radical (chem)"], ("radical (chem)",)),
        (["  two   words "], ("two words",)),
        (["(kokuji)"], ()),
        (["", " "], ()),
        ([], ()),
    ],
)
def test_glosses_are_cleaned_of_what_is_no_meaning(glosses, meanings):
    assert kanjidic.clean(glosses) == meanings


def test_the_214_radicals_are_ordinary_characters():
    radicals = [kanjidic.radical(number) for number in range(1, 215)]
    assert radicals[0] == "一" and radicals[85] == "火" and radicals[213] == "龠"
    assert all(0x4E00 <= ord(character) <= 0x9FFF for character in radicals)
    assert len(set(radicals)) == 214


def test_the_date_is_the_files_own(tmp_path):
    (tmp_path / "k.xml").write_text(kanjidic2(""))
    assert kanjidic.date(tmp_path / "k.xml") == "2026-05-01"
