"""What is more wrong with a glyph is more wrong by the figures: the order of the families, on a few real characters.

A short training on 600 characters makes a poor judge, and the order holds all the same; what each figure makes of each
family with the whole judge is measured by benchmarks/what_figures_see.py.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from dataset_builder import kanjivg
from metrics.components import fit, held_out_figures, labels, multi_hot
from metrics.copies import marks, nearest
from metrics.corruptions import COPIES, CORRUPTIONS
from metrics.distances import distances
from metrics.glyphs import SIDE, fitted, normalise
from metrics.judge import Judge
from metrics.legibility import BROKEN, broken, fit_critic, scores

CHARACTERS, HELD, STEPS = 800, 200, 100


@pytest.fixture(scope="module")
def seen(shared_data, one_thread):
    """Real glyphs, a judge made of them, and what it sees in held-out ones, whole and made wrong."""
    drawings = kanjivg.read(shared_data / "kanjivg-20260513.xml.gz")
    kanji = [drawing for drawing in drawings if "一" <= drawing.character < "\ua000"]
    kanji = [kanji[place] for place in np.random.default_rng(0).permutation(len(kanji))[:CHARACTERS]]
    rows = [{"components": drawing.components, "file_name": drawing.name} for drawing in kanji]
    large = np.stack([normalise(kanjivg.draw(drawing.strokes, 2 * SIDE), 2 * SIDE) for drawing in kanji])
    small = large.reshape(len(large), SIDE, 2, SIDE, 2).mean((2, 4))
    kind, names = labels(rows)
    targets = multi_hot(rows, kind, names)
    net = fit(np.uint8(large[HELD:] * 255 + 0.5), targets[HELD:], kind, STEPS)
    judge = Judge(net, kind, names, {})
    held, train, rng = small[:HELD], small[HELD:], np.random.default_rng(0)
    made = {name: np.stack([fitted(glyph) for glyph in wrong(held, rng)]) for name, wrong in CORRUPTIONS.items()}
    looks = {name: judge.look(glyphs) for name, glyphs in {"real": held, **made}.items()}
    figures = held_out_figures(judge, held, targets[:HELD])
    return SimpleNamespace(judge=judge, held=held, train=train, train_look=judge.look(train), looks=looks, told=figures)


@pytest.fixture(scope="module")
def figures(seen):
    """Figure -> family -> its value."""
    real, reference = seen.looks["real"].features, seen.train_look.features
    measured = {
        name: distances(look.features, real, reference, np.random.default_rng(0)) for name, look in seen.looks.items()
    }
    return {
        key: {name: of[key]["value"] for name, of in measured.items()} for key in ("fd_glyph", "mmd_glyph", "diversity")
    }


@pytest.fixture(scope="module")
def passed(seen):
    """Family -> the share that passes as characters."""
    rng, some = np.random.default_rng(1), seen.train[:250]
    good = broken(seen.train, "new_legal_pairs", rng)
    bad = np.concatenate([broken(some, family, rng) for family in BROKEN])
    good = np.concatenate([seen.train_look.maps, seen.judge.look(good).maps])
    critic = fit_critic(good, seen.judge.look(bad).maps, steps=300)
    mark = np.quantile(scores(critic, seen.looks["real"].maps), 0.05)
    return {name: (scores(critic, look.maps) >= mark).mean() for name, look in seen.looks.items()}


def test_the_judge_finds_components_that_it_was_taught_in_characters_that_it_was_not(seen):
    assert seen.judge.kind == "components" and len(seen.judge.names) >= 50
    assert seen.told["map"] > 3 * seen.told["chance"]


# New legal pairs are no mistake, but of another kind: all of them have two parts side by side or one above the other.
@pytest.mark.parametrize("key", ["fd_glyph", "mmd_glyph"])
@pytest.mark.parametrize(
    ("nearer", "farther"),
    [
        ("real", "chimera"),
        ("real", "new_legal_pairs"),
        ("chimera", "part_swap"),
        ("new_legal_pairs", "stroke_salad"),
        ("new_legal_pairs", "overlay"),
        ("part_swap", "stroke_salad"),
        ("part_swap", "overlay"),
        ("chimera", "mirror"),
        ("mirror", "random_curves"),
        ("mirror", "blur"),
    ],
)
def test_the_more_is_wrong_the_farther_the_set_is_from_real_ones(figures, key, nearer, farther):
    assert figures[key][nearer] < 0.9 * figures[key][farther]


def test_real_ones_are_at_no_distance_from_real_ones_by_mmd(figures):
    assert abs(figures["mmd_glyph"]["real"]) < 0.6 * figures["mmd_glyph"]["chimera"]


def test_a_collapse_is_seen_by_fd_and_diversity_and_hardly_by_mmd(figures):
    fd, mmd, diversity = (figures[key] for key in ("fd_glyph", "mmd_glyph", "diversity"))
    assert fd["collapse"] > fd["part_swap"]
    assert mmd["collapse"] < 0.6 * mmd["stroke_salad"]
    assert diversity["collapse"] < 0.05


@pytest.mark.parametrize(
    ("more", "less"),
    [("real", "part_swap"), ("chimera", "mirror"), ("mirror", "stroke_salad"), ("overlay", "collapse")],
)
def test_the_more_is_wrong_the_less_of_what_is_real_lies_within_it(figures, more, less):
    assert figures["diversity"][more] > figures["diversity"][less] + 0.1


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ("new_legal_pairs", "chimera"),
        ("real", "chimera"),
        ("chimera", "part_swap"),
        ("chimera", "overlay"),
        ("chimera", "mirror"),
        ("part_swap", "stroke_salad"),
        ("overlay", "random_curves"),
        ("mirror", "random_curves"),
        ("mirror", "blur"),
    ],
)
def test_the_more_is_wrong_the_fewer_pass_as_characters(passed, more, less):
    assert passed[more] > passed[less] + 0.05


def test_new_characters_of_legal_parts_pass_as_real_ones_do(passed):
    assert passed["real"] == pytest.approx(0.95, abs=0.01)
    assert passed["new_legal_pairs"] > 0.9


def test_copies_of_training_glyphs_are_found_however_they_were_made(seen):
    near = nearest(seen.held, seen.looks["real"].maps, seen.train, seen.train_look.maps)
    cosine_mark, overlap_mark, of_real = marks(*near[:2])
    assert of_real <= 0.05
    rng, found = np.random.default_rng(0), {}
    for name, copy in COPIES.items():
        glyphs = np.stack([fitted(glyph) for glyph in copy(seen.train[:60], rng)])
        cosine, overlap, *_ = nearest(glyphs, seen.judge.look(glyphs).maps, seen.train, seen.train_look.maps)
        found[name] = ((cosine > cosine_mark) | (overlap > overlap_mark)).mean()
    assert min(found[name] for name in ("exact", "blurred", "reinked", "light_warp")) > 0.95
    assert 0.6 < found["medium_warp"] < 1
