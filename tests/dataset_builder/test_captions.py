"""Captions out of meanings."""

import pytest

from dataset_builder import DataError, captions

FIRE = {"stroke_count": 4, "radical": "火", "components": ["人", "丶"], "grade": 1}
UNTAUGHT = {**FIRE, "grade": 0, "stroke_count": 1}


@pytest.mark.parametrize(
    ("template", "row", "expected"),
    [
        (captions.TEMPLATES["simple"], FIRE, ["fire, flame", "fire", "flame"]),
        (
            captions.TEMPLATES["descriptive"],
            FIRE,
            [f"a kanji meaning {words}, written with 4 strokes" for words in ("fire, flame", "fire", "flame")],
        ),
        (captions.TEMPLATES["descriptive"], UNTAUGHT, None),
        (
            "{meanings}; {stroke_count} {radical} {components} {grade}",
            FIRE,
            [f"{words}; 4 火 人 丶 1" for words in ("fire, flame", "fire", "flame")],
        ),
    ],
)
def test_a_caption_has_all_meanings_and_alternatives_have_one_each(template, row, expected):
    expected = expected or [f"a kanji meaning {w}, written with 1 stroke" for w in ("fire, flame", "fire", "flame")]
    assert captions.write(template, ["fire", "flame"], row) == expected


def test_a_single_meaning_is_one_caption():
    assert captions.write("{meanings}", ["fire"], FIRE) == ["fire"]


def test_braces_in_a_meaning_are_only_text():
    assert captions.write("{meanings}", ["{grade}"], FIRE) == ["{grade}"]


def test_what_is_not_known_of_a_character_is_never_written_as_none_or_0():
    with pytest.raises(ValueError, match="no grade"):
        captions.write("{meanings}, grade {grade}", ["fire"], UNTAUGHT)


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("", "needs {meanings}"),
        ("a kanji", "needs {meanings}"),
        ("grade {grade}", "needs {meanings}"),
        ("{meaning}", "no field {meaning}"),
        ("{meanings} {}", "no field {}"),
        ("{meanings} {0}", "no field {0}"),
        ("{meanings.__class__}", "no field {meanings.__class__}"),
        ("{meanings[0]}", "no field {meanings[0]}"),
        ("{meanings!r}", "fields are plain"),
        ("{meanings:>99999999}", "fields are plain"),
        ("{meanings} {{grade}}", "fields are plain"),
        ("{meanings", "expected '}'"),
        ("{meanings} }", "Single '}'"),
    ],
)
def test_a_template_that_would_not_do_is_refused_before_anything_is_built(template, complaint):
    with pytest.raises(DataError) as error:
        captions.check_template(template)
    assert complaint in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("template", "for_new_words"),
    [
        (captions.TEMPLATES["simple"], "{meanings}"),
        (captions.TEMPLATES["descriptive"], "a kanji meaning {meanings}"),
        ("ink drawing, {meanings}, {stroke_count} strokes, on paper", "ink drawing, {meanings}, on paper"),
        ("{grade}, {meanings}", "{meanings}"),
        ("{meanings} with {components}", "{meanings}"),
    ],
)
def test_the_template_for_new_words_asks_for_nothing_but_meanings(template, for_new_words):
    assert captions.for_new_words(template) == for_new_words
