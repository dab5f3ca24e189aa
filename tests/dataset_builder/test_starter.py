"""The starter drawings: whole, well formed, and each more like its own character than like any other."""

import re

import numpy as np
import pytest
from lxml import etree

from dataset_builder import kanjidic, kanjivg

GRADE_1 = (
    "一右雨円王音下火花貝学気九休玉金空月犬見五口校左三山子四糸字耳七車手十出女小上森"
    "人水正生青夕石赤千川先早草足村大男竹中虫町天田土二日入年白八百文本木名目立力林六"
)


def ink(drawing):
    """Where the strokes are, drawn 8 of 109 units wide: bool, 64 x 64."""
    return np.asarray(kanjivg.draw(drawing.strokes, 64, stroke_width=8)) < 128


@pytest.fixture(scope="module")
def starter(root):
    return root / "dataset_builder" / "starter"


@pytest.fixture(scope="module")
def drawings(starter):
    return {drawing.character: drawing for drawing in kanjivg.read(starter / "kanjivg.xml")}


@pytest.fixture(scope="module")
def entries(starter):
    return {entry.character: entry for entry in kanjidic.read(starter / "kanjidic2.xml")}


@pytest.fixture(scope="module")
def elements(starter):
    """Characters -> their `kanji` elements, as written."""
    file = etree.parse(starter / "kanjivg.xml")
    return {chr(int(kanji.get("id").removeprefix("kvg:kanji_"), 16)): kanji for kanji in file.iter("kanji")}


@pytest.fixture(scope="module")
def real_drawings(shared_data):
    drawings = kanjivg.read(shared_data / "kanjivg-20260513.xml.gz")
    return {d.character: d for d in drawings if isinstance(d, kanjivg.Drawing) and d.character in GRADE_1}


def test_both_files_hold_the_80_kanji_of_the_first_grade_in_order_of_code_point(drawings, entries):
    assert len(set(GRADE_1)) == 80
    assert list(drawings) == list(entries) == sorted(GRADE_1)
    assert {entry.grade for entry in entries.values()} == {1}


def test_both_files_say_when_they_were_made(starter):
    assert kanjidic.date(starter / "kanjidic2.xml") and kanjivg.date(starter / "kanjivg.xml")


def test_every_entry_names_its_own_code_point(starter):
    for entry in etree.parse(starter / "kanjidic2.xml").iter("character"):
        assert chr(int(entry.findtext("codepoint/cp_value[@cp_type='ucs']"), 16)) == entry.findtext("literal")


def test_every_character_is_drawn_with_the_strokes_that_the_dictionary_counts(drawings, entries):
    counted = {character: entry.stroke_count for character, entry in entries.items()}
    assert {character: len(drawing.strokes) for character, drawing in drawings.items()} == counted


def test_every_character_has_one_to_three_meanings_and_shares_none(entries):
    assert [entry for entry in entries.values() if not 1 <= len(entry.meanings) <= 3] == []
    meanings = [meaning for entry in entries.values() for meaning in entry.meanings]
    assert sorted(meanings) == sorted(set(meanings))


def test_meanings_in_french_are_there_and_stay_out_of_the_english_ones(starter, entries):
    french = etree.parse(starter / "kanjidic2.xml").xpath("//meaning[@m_lang='fr']/text()")
    assert "feu" in french
    assert entries["火"].meanings == ("fire", "flame")


def test_strokes_use_only_the_path_commands_that_kanjivg_uses(drawings):
    for drawing in drawings.values():
        for stroke in drawing.strokes:
            assert re.fullmatch(r"M[-\d.,]+([CcSs][-\d., ]+)+", stroke), (drawing.character, stroke)


def test_every_stroke_lies_on_the_canvas_with_its_whole_width(drawings):
    for drawing in drawings.values():
        kanjivg.draw(drawing.strokes, resolution=109)  # raises where ink leaves the canvas


def test_strokes_are_numbered_in_order_and_no_id_comes_twice(elements):
    for character, kanji in elements.items():
        code = f"kvg:{ord(character):05x}"
        strokes = [stroke.get("id") for stroke in kanji.iter("path")]
        assert strokes == [f"{code}-s{number}" for number in range(1, len(strokes) + 1)]
        groups = [group.get("id") for group in kanji.iter("g")]
        assert groups == [code] + [f"{code}-g{number}" for number in range(1, len(groups))]


def test_the_outer_group_is_the_character_and_a_radical_is_marked_in_it(elements):
    name, radical = "{http://kanjivg.tagaini.net}element", "{http://kanjivg.tagaini.net}radical"
    for character, kanji in elements.items():
        assert [group.get(name) for group in kanji.findall("g")] == [character]
        assert any(group.get(radical) for group in kanji.iter("g")), character


@pytest.mark.parametrize(
    ("character", "parts"),
    [
        ("右", "口"),
        ("音", "立日"),
        ("花", "艹化"),
        ("学", "子"),
        ("空", "工"),
        ("校", "木交"),
        ("草", "艹早"),
        ("村", "木寸"),
        ("男", "田力"),
        ("町", "田丁"),
        ("名", "夕口"),
        ("林", "木"),
        ("森", "木林"),
    ],
)
def test_components_are_marked(drawings, character, parts):
    assert set(parts) <= set(drawings[character].components)


def test_every_character_has_as_many_strokes_as_in_kanjivg(drawings, real_drawings):
    for character, drawing in drawings.items():
        assert len(drawing.strokes) == len(real_drawings[character].strokes), character


def test_every_drawing_overlaps_most_with_its_own_character_among_the_80(drawings, real_drawings):
    """Overlap: pixels inked in both / pixels inked in either; its own leads the next one by at least 0.05."""
    real = np.stack([ink(real_drawings[character]) for character in GRADE_1])
    for number, character in enumerate(GRADE_1):
        drawn = ink(drawings[character])
        overlaps = (drawn & real).sum(axis=(1, 2)) / (drawn | real).sum(axis=(1, 2))
        assert overlaps[number] > np.delete(overlaps, number).max() + 0.05, character
