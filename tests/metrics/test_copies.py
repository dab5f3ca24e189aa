"""Copies of training glyphs are found, however they were blurred or shifted, and what is drawn anew is not one."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import ndimage

from metrics.copies import CANDIDATES, SHOWN, Marks, copies, marks, nearest

SIDE = 48


def drawings(n, seed):
    """Glyphs of six bars each at random, within the margin."""
    rng = np.random.default_rng(seed)
    glyphs = np.zeros((n, SIDE, SIDE), np.float32)
    for glyph in glyphs:
        for turn in range(6):
            row, start, length = rng.integers((5, 5, 15), (41, 20, 24))
            (glyph.T if turn % 2 else glyph)[row : row + 3, start : start + length] = 1
    return glyphs


def unit(n, seed, dim=64):
    """Maps that say nothing of the glyphs: the ink alone must tell."""
    maps = np.abs(np.random.default_rng(seed).normal(size=(n, dim))).astype(np.float32)
    return maps / np.linalg.norm(maps, axis=1, keepdims=True)


TRAIN, TRAIN_MAPS = drawings(60, 0), unit(60, 0)


def exact(glyphs):
    return glyphs


def shifted(glyphs):
    return np.roll(glyphs, (3, -3), axis=(1, 2))


def too_far(glyphs):
    return np.roll(glyphs, (6, -6), axis=(1, 2))


def blurred(glyphs):
    blurred = ndimage.gaussian_filter(glyphs, (0, 0.8, 0.8))
    return blurred / blurred.max((1, 2), keepdims=True)


def thick(glyphs):
    return ndimage.grey_dilation(glyphs, (1, 2, 2))


def overlap(glyphs, maps=None):
    """Of 20 glyphs, with maps that know nothing, and the numbers of the training glyphs."""
    _, overlap, _, by_overlap = nearest(glyphs, unit(20, 1) if maps is None else maps, TRAIN, TRAIN_MAPS)
    return overlap, by_overlap


@pytest.mark.parametrize(("change", "least"), [(exact, 1), (shifted, 1), (blurred, 0.85), (thick, 0.75)])
def test_the_ink_of_a_copy_lies_on_its_original_whatever_the_maps_say(change, least):
    inks, numbers = overlap(change(TRAIN[:20]))
    assert inks.min() >= least and inks.max() <= 1
    assert np.array_equal(numbers, np.arange(20))


def test_what_is_drawn_anew_overlaps_less_than_any_copy():
    assert overlap(drawings(20, 5))[0].max() < 0.7 < overlap(thick(TRAIN[:20]))[0].min()


def test_what_is_shifted_farther_is_not_looked_for():
    assert overlap(too_far(TRAIN[:20]))[0].max() < 0.8


def test_ink_that_is_shifted_out_of_the_glyph_does_not_come_in_again_at_the_other_side():
    edge, other = np.zeros((2, 1, SIDE, SIDE), np.float32)
    edge[0, :, 1], other[0, :, -3] = 1, 1
    assert nearest(edge, unit(1, 0), other, unit(1, 1))[1] == 0


def test_the_maps_find_a_copy_whose_ink_lies_elsewhere():
    cosine, _, by_cosine, _ = nearest(too_far(TRAIN[:20]), TRAIN_MAPS[:20], TRAIN, TRAIN_MAPS)
    assert cosine == pytest.approx(np.ones(20), abs=1e-5)
    assert np.array_equal(by_cosine, np.arange(20))


def test_a_glyph_is_not_compared_with_the_training_glyph_that_it_is():
    own = np.array([*range(10), *[-1] * 10])
    cosine, inks, by_cosine, by_overlap = nearest(TRAIN[:20], TRAIN_MAPS[:20], TRAIN, TRAIN_MAPS, own)
    assert max(cosine[:10]) < 0.99 and max(inks[:10]) < 0.8
    assert not (by_cosine[:10] == own[:10]).any() and not (by_overlap[:10] == own[:10]).any()
    assert min(inks[10:]) == 1 and np.array_equal(by_overlap[10:], np.arange(10, 20))


def test_a_training_glyph_alone_is_near_to_nothing():
    cosine, inks, *_ = nearest(TRAIN[:1], TRAIN_MAPS[:1], TRAIN[:1], TRAIN_MAPS[:1], np.array([0]))
    assert cosine == -1 and inks == 0


def test_ink_is_compared_with_the_nearest_by_maps_alone():
    many = np.concatenate([drawings(CANDIDATES, 7), TRAIN[:1]])
    maps = np.concatenate([np.tile(np.float32([[0.8, 0.6]]), (CANDIDATES, 1)), np.float32([[0, 1]])])
    looks_alike, looks_else = np.float32([[0.6, 0.8]]), np.float32([[1, 0]])
    assert nearest(TRAIN[:1], looks_else, many, maps)[1] < 0.8
    assert nearest(TRAIN[:1], looks_alike, many[-5:], maps[-5:])[1] == 1


def test_no_glyphs_are_near_to_nothing():
    assert [len(told) for told in nearest(TRAIN[:0], TRAIN_MAPS[:0], TRAIN, TRAIN_MAPS)] == [0] * 4


@pytest.mark.parametrize("n", [20, 100, 312, 1000])
@pytest.mark.parametrize("alike", [0, 0.9, 1], ids=["measures apart", "much alike", "the same"])
def test_one_in_twenty_real_glyphs_passes_the_marks(n, alike):
    rng = np.random.default_rng(n)
    one = rng.random(n)
    told = marks(one, alike * one + (1 - alike) * rng.random(n))
    assert 0.05 - 2 / n < told.of_real <= 0.05


def test_pictures_that_are_in_the_data_twice_leave_the_marks_where_they_were():
    rng = np.random.default_rng(0)
    cosine, inks = rng.random((2, 400)) * 0.9
    twice = marks(np.append(cosine, np.ones(100)), np.append(inks, np.ones(100)))
    assert twice == marks(cosine, inks)
    assert marks(np.ones(9), np.ones(9)).overlap < 1  # all are there twice: a copy is still one


def test_both_measures_are_as_strict():
    rng = np.random.default_rng(0)
    cosine, inks = rng.random((2, 1000))
    told = marks(cosine, inks**4)
    assert (cosine > told.cosine).mean() == pytest.approx((inks**4 > told.overlap).mean(), abs=0.002)


@pytest.mark.parametrize("levels", [1, 2, 5])
@pytest.mark.parametrize("n", [20, 100, 400])
def test_where_many_are_as_near_no_more_than_one_in_twenty_pass(n, levels):
    cosine, inks = np.random.default_rng(n).integers(levels, size=(2, n)) / levels
    assert marks(cosine, inks).of_real <= 0.05


@pytest.mark.parametrize("n", [1, 2, 3, 10])
def test_of_a_handful_one_passes_at_most(n):
    cosine, inks = np.random.default_rng(n).random((2, n))
    told = marks(cosine, inks)
    assert np.isfinite(told).all() and told.of_real <= 1 / n


@pytest.fixture(scope="module")
def real():
    """What a figure needs of a Yardstick."""
    held, held_maps = drawings(100, 3), unit(100, 3)
    rows = [{"file": f"{number}.png"} for number in range(len(TRAIN))]
    cosine, inks, *_ = nearest(held, held_maps, TRAIN, TRAIN_MAPS)
    look = SimpleNamespace(maps=TRAIN_MAPS)
    return SimpleNamespace(train=TRAIN, train_look=look, train_rows=rows, copy_marks=marks(cosine, inks))


def judged(real, glyphs, seed=9):
    return copies(real, glyphs, SimpleNamespace(maps=unit(len(glyphs), seed)))


@pytest.mark.parametrize("change", [exact, shifted, blurred, thick])
def test_copies_are_flagged_and_shown_beside_what_they_copy(real, change):
    figure, flagged = judged(real, np.concatenate([change(TRAIN[10:30]), drawings(20, 11)]))
    assert flagged[:20].all() and flagged[20:].mean() <= 0.15
    assert figure["value"] == flagged.mean() and figure["n"] == 40
    assert figure["yardstick"] == real.copy_marks.of_real
    for case in figure["cases"]["worst"][:20]:
        assert case["beside"]["file"] == f"{case['index'] + 10}.png"
    scores = [case["score"] for case in figure["cases"]["worst"]]
    assert scores == sorted(scores, reverse=True) and len(scores) == flagged.sum()


def test_a_copy_that_the_maps_alone_find_is_shown_beside_what_they_found(real):
    glyphs = too_far(TRAIN[40:45])
    figure, flagged = copies(real, glyphs, SimpleNamespace(maps=TRAIN_MAPS[40:45]))
    assert flagged.all()
    assert {case["index"]: case["beside"]["file"] for case in figure["cases"]["worst"]} == {
        place: f"{place + 40}.png" for place in range(5)
    }


def test_an_empty_picture_is_nobodys_copy(real):
    maps = SimpleNamespace(maps=TRAIN_MAPS[:3])  # as near as can be
    figure, flagged = copies(real, np.zeros((3, SIDE, SIDE), np.float32), maps)
    assert not flagged.any() and figure["value"] == 0 and figure["cases"]["worst"] == []


def test_copies_of_one_training_picture_are_counted_as_of_one(real):
    figure, _ = judged(real, np.repeat(TRAIN[7:9], 5, axis=0))
    assert figure["value"] == 1
    assert figure["details"]["different training pictures copied"] == 2


@pytest.mark.parametrize(("n", "noted"), [(SHOWN, False), (SHOWN + 1, True)])
def test_where_not_all_copies_are_shown_it_is_said(real, n, noted):
    figure, flagged = judged(real, np.resize(TRAIN, (n, SIDE, SIDE)))
    assert flagged.sum() == n and len(figure["cases"]["worst"]) == SHOWN
    assert figure.get("note") == (f"The {SHOWN} nearest of {n} copies are shown." if noted else None)


def test_as_near_as_the_mark_is_not_nearer(real):
    real = SimpleNamespace(**vars(real) | {"copy_marks": Marks(1.0, 1.0, 0.0)})
    assert not judged(real, TRAIN[:5])[1].any()
