"""Distances between sets are those that their formulas say, and see what they are there to see."""

import json

import numpy as np
import pytest
import torch

from metrics.distances import FEWEST, distances, frechet_distance, kernel, mean_of_pairs, mmd, recall


def normal(n, dim=4, shift=0.0, scale=1.0, seed=0):
    return np.float32(shift + scale * np.random.default_rng(seed).normal(size=(n, dim)))


def whitened(n, dim, seed=0):
    """Features whose mean is 0 and whose covariance is the identity, exactly."""
    x = normal(n, dim, seed=seed)
    x = x - x.mean(0)
    return np.linalg.solve(np.linalg.cholesky(np.cov(x, rowvar=False)), x.T).T


def mmd_of(drawn, reference, width=2.0):
    return mmd(drawn, reference, width, mean_of_pairs(kernel(reference, reference, width)))


@pytest.mark.parametrize("n", [60, 300], ids=["fewer drawings than dimensions", "more"])
def test_the_frechet_distance_of_a_set_to_itself_is_0(n):
    features = normal(n, 128)
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-3)


def test_the_frechet_distance_of_shifted_normals_is_the_square_of_the_shift():
    one = whitened(500, 8)
    assert frechet_distance(one, one + 3) == pytest.approx(8 * 9)


def test_the_frechet_distance_of_normals_of_other_widths_is_that_of_their_widths():
    one = whitened(500, 3)
    wider = one * [1, 2, 5]
    assert frechet_distance(one, wider) == pytest.approx((2 - 1) ** 2 + (5 - 1) ** 2)


def test_the_frechet_distance_of_turned_normals_is_that_of_matrices_that_do_not_commute():
    x = whitened(500, 2)
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    one, other = x * [1, 3], x * [1, 3] @ turn
    a, b = np.diag([1.0, 9.0]), turn.T @ np.diag([1.0, 9.0]) @ turn
    crossed = np.sqrt(np.linalg.eigvals(a @ b)).sum()
    assert frechet_distance(one, other) == pytest.approx(np.trace(a + b) - 2 * crossed)
    assert frechet_distance(one, other) > 1


def test_the_frechet_distance_is_the_same_both_ways():
    one, other = normal(80, 32), normal(200, 32, 0.5, 2, seed=1)
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one), rel=1e-5)


def test_drawings_that_are_all_the_same_are_as_far_as_the_mean_and_all_of_the_spread():
    same, other = np.full((60, 8), 2, np.float32), whitened(500, 8)
    assert frechet_distance(same, other) == pytest.approx(8 * 4 + 8)
    assert frechet_distance(other, same) == pytest.approx(8 * 4 + 8)


def test_mmd_of_two_samples_of_one_distribution_is_0_on_average_however_small_they_are():
    reference = normal(1000, seed=1000)
    told = np.array([mmd_of(normal(20, seed=seed), reference) for seed in range(200)])
    error = told.std() / np.sqrt(len(told))
    assert abs(told.mean()) < 4 * error
    assert told.min() < 0 < told.max()


@pytest.mark.parametrize(("shift", "scale"), [(0.5, 1), (0, 2), (0, 0.3)], ids=["shifted", "wider", "narrower"])
def test_mmd_of_other_distributions_is_above_that_of_all_samples_of_the_same_one(shift, scale):
    reference = normal(500, seed=1000)
    same = [mmd_of(normal(200, seed=seed), reference) for seed in range(20)]
    assert mmd_of(normal(200, shift=shift, scale=scale), reference) > 2 * max(same)


def test_mmd_is_that_of_its_definition_in_thousandths():
    drawn, reference = np.float32([[0.0], [1.0]]), np.float32([[0.0], [2.0]])
    pairs = {distance: np.exp(-(distance**2) / 8) for distance in (0, 1, 2)}
    crossed = (pairs[0] + pairs[2] + pairs[1] + pairs[1]) / 4
    assert mmd_of(drawn, reference) == pytest.approx(1000 * (pairs[1] + pairs[2] - 2 * crossed), abs=1e-3)


def test_the_mean_of_pairs_leaves_out_what_each_is_to_itself():
    assert mean_of_pairs(torch.tensor([[100.0, 1, 2], [1, 100, 3], [2, 3, 100]])) == pytest.approx(2)


def test_all_of_the_same_set_is_recalled():
    assert recall(normal(100), normal(100)) == 1


def test_nothing_of_a_set_far_away_is_recalled():
    assert recall(normal(100), normal(100, shift=50)) == 0


def test_drawings_that_are_a_few_over_and_over_recall_little():
    few = np.repeat(normal(5, 16), 20, axis=0)
    assert recall(few, normal(100, 16)) < 0.06
    assert recall(normal(100, 16, seed=1), normal(100, 16)) > 0.8


def test_half_of_the_variety_recalls_half():
    reference = np.concatenate([normal(100), normal(100, shift=50)])
    assert recall(normal(100), reference) == 0.5


KEYS = {"fd_glyph", "mmd_glyph", "diversity"}


@pytest.fixture(scope="module")
def figures():
    """Of 120 drawings that are as the reference is, and 80 real ones."""
    return distances(normal(120, 8), normal(80, 8, seed=1), normal(900, 8, seed=2), np.random.default_rng(0))


def test_each_figure_has_its_spread_around_its_value(figures):
    assert figures.keys() == KEYS
    for figure in figures.values():
        low, high = figure["spread"]
        assert low < figure["value"] < high
        assert np.isfinite([low, high, figure["yardstick"]]).all()


def test_figures_can_be_written_down(figures):
    assert json.loads(json.dumps(figures)) == figures


def test_the_same_seed_gives_the_same_figures(figures):
    again = distances(normal(120, 8), normal(80, 8, seed=1), normal(900, 8, seed=2), np.random.default_rng(0))
    assert again == figures


def test_drawings_as_real_ones_are_level_with_the_yardstick(figures):
    assert figures["fd_glyph"]["value"] == pytest.approx(figures["fd_glyph"]["yardstick"], abs=0.5)
    assert abs(figures["mmd_glyph"]["value"]) < 20 > abs(figures["mmd_glyph"]["yardstick"])
    assert figures["diversity"]["value"] == pytest.approx(figures["diversity"]["yardstick"], abs=0.15)


def test_the_spread_is_that_which_other_drawings_of_the_same_kind_would_show():
    real, reference, rng = normal(100, 8, seed=1), normal(900, 8, seed=2), np.random.default_rng(0)
    several = [distances(normal(100, 8, seed=seed), real, reference, rng) for seed in range(10, 22)]
    for key in ("fd_glyph", "mmd_glyph", "diversity"):
        error = np.std([figures[key]["value"] for figures in several])
        told = np.mean([np.ptp(figures[key]["spread"]) for figures in several]) / (2 * 1.96)
        assert 0.4 < told / error < 2.5, key


@pytest.mark.parametrize("drawn", [np.zeros((60, 8), np.float32), np.repeat(normal(3, 8), 20, axis=0)])
def test_drawings_without_variety_are_measured_all_the_same(drawn):
    figures = distances(drawn, normal(80, 8, seed=1), normal(300, 8, seed=2), np.random.default_rng(0))
    assert figures["fd_glyph"]["value"] > 3 * figures["fd_glyph"]["yardstick"]
    assert figures["mmd_glyph"]["value"] > 3 * abs(figures["mmd_glyph"]["yardstick"])
    assert figures["diversity"]["value"] < 0.2


@pytest.mark.parametrize("count", [0, 1, FEWEST - 1])
def test_of_too_few_the_figures_say_how_many_there_are(count):
    figures = distances(normal(count), normal(count), normal(300), np.random.default_rng(0))
    assert figures.keys() == KEYS
    for figure in figures.values():
        assert figure["not_computed"].endswith(f"there are {count}")


def test_as_few_as_are_needed_are_enough():
    figures = distances(normal(FEWEST), normal(FEWEST, seed=1), normal(20, seed=2), np.random.default_rng(0))
    assert all("value" in figure for figure in figures.values())
