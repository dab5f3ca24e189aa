"""What is read off a skeleton: counts that an eye can check, alone or among others, in a figure of plain numbers."""

import json
from itertools import islice

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dataset_builder import kanjivg
from metrics import strokes
from metrics.glyphs import normalise

SHAPES = {  # polylines on a square of 1
    "empty": [],
    "dot": [[(0.5, 0.5), (0.51, 0.51)]],
    "line": [[(0.1, 0.5), (0.9, 0.5)]],
    "slanted line": [[(0.1, 0.15), (0.9, 0.8)]],
    "two lines": [[(0.1, 0.3), (0.9, 0.3)], [(0.1, 0.7), (0.9, 0.7)]],
    "cross": [[(0.1, 0.5), (0.9, 0.5)], [(0.5, 0.1), (0.5, 0.9)]],
    "X": [[(0.15, 0.2), (0.85, 0.8)], [(0.2, 0.8), (0.8, 0.15)]],
    "T": [[(0.1, 0.2), (0.9, 0.2)], [(0.5, 0.2), (0.5, 0.9)]],
    "corner": [[(0.2, 0.2), (0.8, 0.2), (0.8, 0.8)]],
    "口": [[(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.2)]],
    "回": [[(a, a), (1 - a, a), (1 - a, 1 - a), (a, 1 - a), (a, a)] for a in (0.1, 0.35)],
    "日": [[(0.2, 0.1), (0.8, 0.1), (0.8, 0.9), (0.2, 0.9), (0.2, 0.1)], [(0.2, 0.5), (0.8, 0.5)]],
}
SHAPES["田"] = [*SHAPES["日"], [(0.5, 0.1), (0.5, 0.9)]]


def drawn(name, side=48, pen=0.04):
    """A shape as a glyph (side, side)."""
    image = Image.new("L", (4 * side, 4 * side))
    for line in SHAPES[name]:
        ImageDraw.Draw(image).line([(4 * side * x, 4 * side * y) for x, y in line], 255, round(4 * side * pen))
    return np.asarray(image.reduce(4), np.float32) / 255


RING = np.float32(abs(np.hypot(*np.indices((48, 48)) - 23.5) - 16) < 1)
ALL_INK = np.ones((48, 48), np.float32)


def counts(glyph):
    measures = strokes.measure(glyph[None])
    return tuple(measures[name].item() for name in ("endpoints", "junctions", "loops"))


@pytest.mark.parametrize("side", [48, 64])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("empty", (0, 0, 0)),
        ("dot", (2, 0, 0)),
        ("line", (2, 0, 0)),
        ("slanted line", (2, 0, 0)),
        ("two lines", (4, 0, 0)),
        ("cross", (4, 1, 0)),
        ("X", (4, 1, 0)),
        ("T", (3, 1, 0)),
        ("corner", (2, 0, 0)),
        ("口", (0, 0, 1)),
        ("回", (0, 0, 2)),
        ("日", (0, 2, 2)),
        ("田", (0, 5, 4)),
    ],
)
def test_endpoints_junctions_and_loops_are_what_an_eye_counts(name, expected, side):
    assert counts(drawn(name, side)) == expected


def test_a_ring_is_one_loop_without_an_end():
    assert counts(RING) == (0, 0, 1)


def test_a_glyph_of_nothing_but_ink_has_no_loop():
    assert counts(ALL_INK)[2] == 0


@pytest.mark.parametrize(
    ("name", "count"), [("empty", 0), ("dot", 1), ("line", 1), ("corner", 1), ("two lines", 2), ("T", 2), ("cross", 2)]
)
def test_strokes_without_hidden_ends_are_counted(name, count):
    assert strokes.measure(drawn(name)[None])["strokes"].item() == count


def true_and_estimated(drawings):
    glyphs = np.stack([normalise(kanjivg.draw(drawing.strokes, 192)) for drawing in drawings])
    return [len(drawing.strokes) for drawing in drawings], strokes.measure(glyphs)["strokes"]


def test_the_estimate_goes_with_the_true_stroke_count_of_simple_characters(root):
    true, estimate = true_and_estimated(list(kanjivg.read(root / "dataset_builder" / "starter" / "kanjivg.xml")))
    assert np.corrcoef(true, estimate)[0, 1] > 0.93
    assert np.mean(estimate) == pytest.approx(np.mean(true), rel=0.1)


def test_the_estimate_goes_with_the_true_stroke_count_of_dense_characters(shared_data):
    drawings = kanjivg.read(shared_data / "kanjivg-20260513.xml.gz")
    true, estimate = true_and_estimated(list(islice(drawings, 1000, 4000, 20)))
    assert np.corrcoef(true, estimate)[0, 1] > 0.92
    assert np.mean(estimate) == pytest.approx(np.mean(true), rel=0.045)


def test_a_glyph_measures_the_same_alone_and_among_others(monkeypatch):
    monkeypatch.setattr(strokes, "AT_ONCE", 4)
    glyphs = np.stack([ALL_INK, *map(drawn, SHAPES), RING, ALL_INK, ALL_INK])
    together = strokes.measure(glyphs)
    for place, glyph in enumerate(glyphs):
        alone = strokes.measure(glyph[None])
        assert {name: values[place] for name, values in together.items()} == pytest.approx(
            {name: values[0] for name, values in alone.items()}
        )


@pytest.mark.parametrize(("glyph", "share"), [(ALL_INK, 1), (ALL_INK / 4, 0.25), (ALL_INK * 0, 0)])
def test_ink_is_counted_by_its_tone(glyph, share):
    assert strokes.measure(glyph[None])["ink"].item() == pytest.approx(share)


@pytest.mark.parametrize("moved", [(0, 0), (5, -3)])
@pytest.mark.parametrize(("tone", "off"), [(1, 0), (0.5, 10 * (1 / 2 - 1 / 3))])
def test_balance_is_how_far_the_mass_is_from_the_middle_of_its_box(tone, off, moved):
    glyph = np.zeros((48, 48), np.float32)
    glyph[10:20, 10:20], glyph[10:20, 20:30] = 1, tone  # their centres are 10 pixels apart
    assert strokes.measure(np.roll(glyph, moved, (0, 1))[None])["balance"].item() == pytest.approx(off / 48)


@pytest.fixture(scope="module")
def real():
    return np.stack([drawn(name, pen=pen) for name in SHAPES for pen in (0.03, 0.04, 0.05)])


def test_real_ones_beside_themselves_are_at_no_distance(real):
    figure = strokes.compare(real, real)
    assert figure["value"] == figure["yardstick"]
    assert {name: row["distance"] for name, row in figure["details"].items()} == dict.fromkeys(figure["details"], 0)


def test_the_spread_is_around_the_value_and_narrows_with_more_drawings(real):
    few, many = (strokes.compare(np.repeat(real, times, axis=0), real) for times in (1, 4))
    for figure in (few, many):
        low, high = figure["spread"]
        assert low < figure["value"] < high
    assert np.ptp(many["spread"]) < 0.75 * np.ptp(few["spread"])


def test_drawings_with_more_strokes_than_real_ones_have_a_higher_value(real):
    assert strokes.compare(np.stack([drawn("田")] * 3), real)["value"] > strokes.compare(real, real)["yardstick"]


def test_the_odd_one_out_is_the_worst_case_by_its_index(real):
    noise = np.float32(np.random.default_rng(0).random((48, 48)) > 0.6)
    cases = strokes.compare(np.insert(real, 7, noise, axis=0), real)["cases"]
    assert cases["worst"][0]["index"] == 7
    assert 7 not in {case["index"] for case in cases["best"]}
    assert cases["best"][0]["score"] < cases["worst"][0]["score"]


def test_the_distance_is_in_standard_deviations_of_the_real_ones():
    real = np.stack([ALL_INK * tone for tone in (0.1, 0.3)])  # mean 0.2, standard deviation 0.1
    assert strokes.compare(real + 0.2, real)["details"]["ink"]["distance"] == pytest.approx(2, rel=1e-3)


@pytest.mark.parametrize("drawings", [[ALL_INK * 0], [ALL_INK], [RING] * 3], ids=["empty", "all ink", "all the same"])
def test_a_figure_is_only_finite_numbers_whatever_was_drawn(drawings, real):
    for reference in (real, np.stack(drawings)):
        json.dumps(strokes.compare(np.stack(drawings), reference), allow_nan=False)


def test_the_same_drawings_give_the_same_figure(real):
    figure = strokes.compare(real, real)
    assert all(strokes.compare(real, real) == figure for _ in range(3))


def test_no_drawings_are_an_error_that_says_so(real):
    with pytest.raises(ValueError, match="no glyphs to measure"):
        strokes.compare(real[:0], real)
