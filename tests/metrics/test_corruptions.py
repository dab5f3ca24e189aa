"""Corrupted glyphs are glyphs again, wrong in the way that their name says, and copies are still the same character."""

import numpy as np
import pytest
from scipy import ndimage

from dataset_builder import kanjivg
from metrics.corruptions import COPIES, CORRUPTIONS
from metrics.glyphs import normalise

FUNCTIONS = {**CORRUPTIONS, **COPIES}
EACH = pytest.mark.parametrize("name", FUNCTIONS)
EIGHT = np.ones((3, 3))


@pytest.fixture(scope="module")
def glyphs(root):
    """The starter's characters; who writes into them fails."""
    drawings = kanjivg.read(root / "dataset_builder" / "starter" / "kanjivg.xml")
    glyphs = np.stack([normalise(kanjivg.draw(drawing.strokes, 192)) for drawing in drawings])
    glyphs.flags.writeable = False
    return glyphs


@pytest.fixture(scope="module")
def made(glyphs):
    """Name -> the starter's characters corrupted or copied with seed 0."""
    return {name: function(glyphs, np.random.default_rng(0)) for name, function in FUNCTIONS.items()}


def two_parts(left, right, gap=4):
    """A glyph of two parts that differ by number: `left` and `right` bars, lying down or standing."""
    glyph = np.zeros((48, 48), np.float32)
    middle = 24 - gap // 2
    for bar in range(left):
        glyph[8 + 8 * bar : 11 + 8 * bar, 6:middle] = 1
    glyph[8:10, 12:14] = 1
    glyph[8:40, 6:9] = 1
    for bar in range(right):
        glyph[8:40, middle + gap + 5 * bar : middle + gap + 5 * bar + 2] = 1
    glyph[22:24, middle + gap : 42] = 1
    return glyph


def ink(glyphs):
    return glyphs.sum(axis=(1, 2))


@EACH
def test_as_many_glyphs_come_out_as_went_in(name, glyphs, made):
    assert made[name].shape == glyphs.shape
    assert made[name].dtype == np.float32


@EACH
@pytest.mark.parametrize(
    "extra", [(), (np.zeros, np.zeros), (np.ones, np.ones), (np.zeros, np.ones)], ids=["", "empty", "all ink", "both"]
)
def test_tones_stay_between_paper_and_ink_whatever_is_among_the_glyphs(name, extra, glyphs):
    among = np.concatenate([glyphs[-20:], *(kind((1, *glyphs.shape[1:]), np.float32) for kind in extra), glyphs[:40]])
    tones = FUNCTIONS[name](among, np.random.default_rng(0))
    assert tones.min() >= 0
    assert tones.max() <= 1


@pytest.mark.parametrize("name", sorted({*FUNCTIONS} - {"exact", "collapse"}))
def test_no_glyph_stays_as_it_was(name, glyphs, made):
    assert (made[name] != glyphs).any(axis=(1, 2)).all()


@EACH
def test_a_seed_always_gives_the_same(name, glyphs, made):
    assert np.array_equal(FUNCTIONS[name](glyphs, np.random.default_rng(0)), made[name])


@pytest.mark.parametrize("name", sorted({*FUNCTIONS} - {"exact", "blur", "blurred", "mirror"}))
def test_another_seed_gives_others(name, glyphs, made):
    assert not np.array_equal(FUNCTIONS[name](glyphs, np.random.default_rng(1)), made[name])


@EACH
def test_what_comes_out_is_not_what_went_in_under_another_name(name, glyphs, made):
    assert not np.shares_memory(made[name], glyphs)


def test_a_chimera_has_the_left_half_of_its_own_and_the_right_half_of_another(glyphs, made):
    for glyph, other in zip(glyphs, made["chimera"], strict=True):
        assert np.array_equal(other[:, :24], glyph[:, :24])
        assert not np.array_equal(other[:, 24:], glyph[:, 24:])
        assert (other[:, 24:] == glyphs[:, :, 24:]).all(axis=(1, 2)).any()


def test_an_overlay_has_all_ink_of_two(glyphs, made):
    assert (made["overlay"] >= glyphs).all()
    others = made["overlay"][:, None] >= glyphs[None]
    assert (others.all(axis=(2, 3)).sum(axis=1) >= 2).all()


def test_a_mirror_in_a_mirror_shows_the_original(glyphs, made):
    assert np.array_equal(CORRUPTIONS["mirror"](made["mirror"], None), glyphs)
    assert np.array_equal(made["mirror"][:, :, 0], glyphs[:, :, -1])
    assert np.array_equal(made["mirror"][:, :, 10], glyphs[:, :, 37])


@pytest.mark.parametrize(("n", "different"), [(1, 1), (9, 1), (80, 8), (499, 49), (1000, 50)])
def test_a_collapse_leaves_few_different_glyphs(n, different):
    glyphs = np.arange(n, dtype=np.float32)[:, None, None] / n + np.zeros((1, 4, 4), np.float32)
    left = CORRUPTIONS["collapse"](glyphs, np.random.default_rng(0))
    assert len(left) == n
    assert len(np.unique(left[:, 0, 0])) == different


def test_swapped_parts_change_places_and_nothing_else():
    glyph = two_parts(2, 3)
    swapped = np.zeros_like(glyph)
    swapped[:, 6:22], swapped[:, 26:42] = glyph[:, 26:42], glyph[:, 6:22]
    for turn in (lambda one: one, np.transpose):
        given = np.stack([turn(glyph)])
        assert np.array_equal(CORRUPTIONS["part_swap"](given, np.random.default_rng(0)), [turn(swapped)])


def test_swapped_parts_keep_their_ink(glyphs):
    swapped = 0
    for glyph in glyphs:
        try:
            [other] = CORRUPTIONS["part_swap"](glyph[None], np.random.default_rng(0))
        except ValueError:  # no gap
            continue
        swapped += 1
        assert other.sum() == pytest.approx(glyph.sum(), rel=0.005)
    assert swapped > 10


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("turn", [lambda many: many, lambda many: many.transpose(0, 2, 1)], ids=["beside", "below"])
def test_new_pairs_have_the_left_of_one_and_the_right_of_another(turn, seed):
    given = np.tile([two_parts(1, 1), two_parts(4, 3)], (20, 1, 1))
    pairs = turn(CORRUPTIONS["new_legal_pairs"](turn(given), np.random.default_rng(seed)))
    assert {pair.tobytes() for pair in pairs} == {two_parts(1, 3).tobytes(), two_parts(4, 1).tobytes()}
    assert len(pairs) == len(given)


def test_a_pair_that_was_given_is_not_new():
    given = np.stack([two_parts(left, right) for left in (1, 4) for right in (1, 3)])
    with pytest.raises(ValueError, match="of 4 glyphs 4 have a gap"):
        CORRUPTIONS["new_legal_pairs"](given, np.random.default_rng(0))


def test_nothing_of_a_new_pair_crosses_its_gap(glyphs, made):
    for pair in made["new_legal_pairs"]:
        labels, count = ndimage.label(pair > 0.3, EIGHT)
        for label in range(1, count + 1):  # each group of strokes is whole, and where it was in a real one
            around = ndimage.binary_dilation(labels == label, EIGHT)
            there = (glyphs > 0.3) & around
            assert (there == (labels == label)).all(axis=(1, 2)).any()


@pytest.mark.parametrize("name", ["stroke_salad", "random_curves"])
def test_random_strokes_have_about_as_much_ink_as_real_ones(name, glyphs, made):
    assert ink(made[name]).mean() == pytest.approx(ink(glyphs).mean(), rel=0.15)
    assert np.corrcoef(ink(made[name]), ink(glyphs))[0, 1] > 0.8


@pytest.mark.parametrize("name", ["stroke_salad", "random_curves"])
@pytest.mark.parametrize("axis", [1, 2])
def test_random_strokes_fill_the_box_of_a_real_one(name, axis, glyphs, made):
    def extent(many):
        inked = (many > 0.3).any(axis=axis)
        return np.stack([inked.argmax(axis=1), 47 - inked[:, ::-1].argmax(axis=1)])

    off = abs(extent(made[name]) - extent(glyphs))
    assert (off > 2).mean() < 0.1  # a piece may be larger than a flat box
    assert np.median(off) <= 1


def test_blur_means_the_same_at_every_size(glyphs):
    large = glyphs.repeat(2, axis=1).repeat(2, axis=2)
    blurred = CORRUPTIONS["blur"](large, None).reshape(-1, 48, 2, 48, 2).mean(axis=(2, 4))
    assert abs(blurred - CORRUPTIONS["blur"](glyphs, None)).max() < 0.02


@pytest.mark.parametrize("name", COPIES)
def test_a_copy_looks_more_like_its_original_than_like_any_other(name, glyphs, made):
    blurred, originals = (CORRUPTIONS["blur"](many, None).reshape(len(many), -1) for many in (made[name], glyphs))
    alike = blurred @ (originals / np.linalg.norm(originals, axis=1, keepdims=True)).T
    assert (alike.argmax(axis=1) == np.arange(len(glyphs))).all()


def test_a_medium_warp_moves_ink_farther_than_a_light_one(glyphs, made):
    light, medium = (abs(made[name] - glyphs).sum() for name in ("light_warp", "medium_warp"))
    assert light < 0.8 * medium


@pytest.mark.parametrize(
    ("name", "bars", "why"),
    [
        ("chimera", 1, "1 glyphs: each needs another one"),
        ("overlay", 1, "1 glyphs: each needs another one"),
        ("part_swap", 5, "none of 5 glyphs has a gap"),
        ("new_legal_pairs", 5, "of 5 glyphs 0 have a gap"),
    ],
)
def test_glyphs_that_cannot_be_corrupted_are_an_error_that_says_why(name, bars, why):
    glyphs = np.zeros((bars, 48, 48), np.float32)
    glyphs[:, 20:24, 4:44] = 1
    with pytest.raises(ValueError, match=why):
        CORRUPTIONS[name](glyphs, np.random.default_rng(0))


def test_a_part_beside_its_like_is_not_swapped():
    glyph = two_parts(2, 3)
    glyph[:, 26:42] = glyph[:, 6:22]
    with pytest.raises(ValueError, match="two different parts"):
        CORRUPTIONS["part_swap"](glyph[None], np.random.default_rng(0))
