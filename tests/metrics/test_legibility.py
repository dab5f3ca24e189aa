"""A critic tells characters from broken ones by what the judge sees, and lets 95% of real ones pass."""

from types import SimpleNamespace

import numpy as np
import pytest

from metrics.judge import Judge, Look, build_critic
from metrics.legibility import BROKEN, CASES, broken, fit_critic, legibility, make_critic, scores
from metrics.measure import Yardstick

DIM = 32
pytestmark = pytest.mark.usefixtures("one_thread")


def cloud(n, seed, shift=0.0):
    """Maps of unit length around a direction; `shift` turns it."""
    maps = np.random.default_rng(seed).normal(size=(n, DIM)) + np.where(np.arange(DIM) < DIM // 2, 0.4, shift)
    return np.float32(maps / np.linalg.norm(maps, axis=1, keepdims=True))


def look(maps):
    return Look(np.zeros((len(maps), 0), np.float32), maps, maps)


@pytest.fixture(scope="module")
def critic():
    """One that was taught two clouds."""
    return fit_critic(cloud(400, 0), cloud(400, 1, shift=0.8), steps=150)


def yardstick(critic, held):
    judge = Judge(None, "components", [], {"learned_from": 700, "critic": {"chimera": 0.9}}, critic)
    nothing = dict.fromkeys(Yardstick._fields)
    return Yardstick(**nothing | {"judge": judge, "held": held, "held_look": look(held)})


def test_the_critic_tells_two_clouds_apart_that_it_was_not_taught(critic):
    good, bad = scores(critic, cloud(300, 10)), scores(critic, cloud(300, 11, shift=0.8))
    assert good.shape == (300,)
    assert (good[:, None] > bad[None]).mean() > 0.95
    assert (good > 0).mean() > 0.8 > 0.2 > (bad > 0).mean()


def test_the_same_seed_teaches_the_same_critic(critic):
    again = fit_critic(cloud(400, 0), cloud(400, 1, shift=0.8), steps=150)
    other = fit_critic(cloud(400, 0), cloud(400, 1, shift=0.8), steps=150, seed=1)
    assert np.array_equal(scores(critic, cloud(9, 2)), scores(again, cloud(9, 2)))
    assert not np.array_equal(scores(critic, cloud(9, 2)), scores(other, cloud(9, 2)))


def test_what_a_drawing_scores_does_not_depend_on_the_others(critic):
    maps = cloud(50, 3)
    assert scores(critic, maps[:1]) == pytest.approx(scores(critic, maps)[:1], abs=1e-4)
    assert scores(critic, maps[:0]).shape == (0,)


@pytest.mark.parametrize("maps", [np.zeros((4, DIM)), np.full((4, DIM), 1e3), -cloud(4, 0)])
def test_scores_are_finite_whatever_is_judged(critic, maps):
    assert np.isfinite(scores(critic, np.float32(maps))).all()


def test_a_critic_of_maps_that_are_all_the_same_in_places_is_finite():
    dead = cloud(200, 0) * (np.arange(DIM) > 3)  # channels that never fire
    assert np.isfinite(scores(fit_critic(dead, dead[::-1].copy(), steps=5), cloud(20, 1))).all()


@pytest.mark.parametrize("held", [100, 137, 1000])
def test_95_in_100_held_out_real_ones_pass(critic, held):
    figure = legibility(yardstick(critic, cloud(held, 20)), look(cloud(30, 21)))
    assert 0.95 <= figure["yardstick"] <= 0.95 + 1 / held
    assert 0.95 <= legibility(yardstick(critic, cloud(held, 20)), look(cloud(held, 20)))["value"] <= 0.95 + 1 / held


def test_real_ones_that_were_never_seen_pass_and_broken_ones_do_not(critic):
    real = yardstick(critic, cloud(400, 20))
    passed = legibility(real, look(cloud(200, 21)))
    failed = legibility(real, look(cloud(200, 22, shift=0.8)))
    assert passed["value"] > 0.88 > 0.3 > failed["value"]
    for figure in (passed, failed):
        low, high = figure["spread"]
        assert low <= figure["value"] <= high and figure["n"] == 200


def test_the_best_and_worst_cases_are_those_by_score(critic):
    maps = np.concatenate([cloud(30, 21), cloud(30, 22, shift=0.8)])
    figure = legibility(yardstick(critic, cloud(100, 20)), look(maps))
    order, cases = np.argsort(scores(critic, maps)), figure["cases"]
    assert [case["index"] for case in cases["worst"]] == order[:CASES].tolist()
    assert [case["index"] for case in cases["best"]] == order[::-1][:CASES].tolist()
    assert cases["best"][0]["score"] == pytest.approx(scores(critic, maps).max())


def test_how_well_broken_ones_that_were_not_taught_are_told_is_said(critic):
    figure = legibility(yardstick(critic, cloud(100, 20)), look(cloud(5, 21)))
    assert figure["details"]["AUC against chimera, not taught"] == 0.9


@pytest.mark.parametrize(("trained", "held"), [(False, 200), (True, 99), (False, 0)])
def test_without_a_critic_or_enough_real_ones_it_is_said_why_there_is_no_figure(critic, trained, held):
    figure = legibility(yardstick(critic if trained else None, cloud(held, 0)), look(cloud(10, 1)))
    assert figure == {
        "not_computed": "a critic needs 500 characters to learn and 100 held out; there are 700 and " + str(held)
    }


def characters(n, seed):
    """Glyphs of two parts with a gap between them, each part three bars at random."""
    rng = np.random.default_rng(seed)
    glyphs = np.zeros((n, 48, 48), np.float32)
    for glyph in glyphs:
        for left in (3, 28):
            for _ in range(3):
                row, column = rng.integers((4, left), (42, left + 6))
                glyph[row : row + 3, left : left + 17] = 1
                glyph[6:42, column + 4 : column + 7] = 1
    return glyphs


@pytest.mark.parametrize("family", ["new_legal_pairs", *BROKEN])
def test_broken_characters_are_brought_to_one_size_as_drawings_are(family):
    glyphs = characters(40, 0)
    made = broken(glyphs, family, np.random.default_rng(0))
    assert made.shape == glyphs.shape and made.dtype == np.float32
    assert made.min() >= 0 and made.max() <= 1
    for glyph in made:
        rows, columns = np.where(glyph.max(1) > 0.3)[0], np.where(glyph.max(0) > 0.3)[0]
        assert max(np.ptp(rows), np.ptp(columns)) == pytest.approx(41, abs=1)


def test_each_family_is_told_by_a_critic_that_was_not_taught_it(monkeypatch):
    taught = []
    monkeypatch.setattr("metrics.legibility.fit_critic", lambda good, bad, seed: taught.append(bad) or build_critic(2))
    monkeypatch.setattr("metrics.legibility.scores", lambda critic, maps: maps[:, 0])
    marked = SimpleNamespace(family=0)

    def corrupted(glyphs, family, rng):
        marked.family = ["new_legal_pairs", *BROKEN].index(family)
        return np.full_like(glyphs, marked.family)

    monkeypatch.setattr("metrics.legibility.broken", corrupted)
    glyphs = np.full((10, 2, 2), -1, np.float32)
    _, aucs = make_critic(lambda glyphs: glyphs.reshape(len(glyphs), -1), glyphs, glyphs[:4])
    assert aucs == dict.fromkeys(BROKEN, 0.0)  # real ones, -1, score less than any broken one
    for number, bad in enumerate(taught[:-1], 1):
        assert set(np.unique(bad)) == set(range(1, 1 + len(BROKEN))) - {number}
    assert set(np.unique(taught[-1])) == set(range(1, 1 + len(BROKEN)))
