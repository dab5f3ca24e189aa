"""All that needs no download, measured on drawings beside real glyphs of as many pixels."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from metrics import strokes
from metrics.components import is_aside
from metrics.copies import Marks, copies, marks, nearest
from metrics.corruptions import COPIES
from metrics.distances import distances
from metrics.glyphs import fitted, held_out_rows, load_glyphs, read_rows
from metrics.judge import Judge, Look
from metrics.legibility import legibility
from metrics.meaning import FOUND, meaning_figures


class Yardstick(NamedTuple):
    """Real glyphs, what the judge sees in them, and where they put the marks."""

    judge: Judge
    train_rows: list
    train: np.ndarray  # glyphs (train rows, SIDE, SIDE)
    train_look: Look
    held_rows: list  # real ones that the judge never saw: of the test split first, then those kept aside
    held: np.ndarray
    held_look: Look
    test_rows: list  # the first of held_rows: what no model was trained on
    copy_marks: Marks

    @property
    def characters(self):
        return any("character" in row for row in self.train_rows)


def yardstick(dataset, judge, resolution=None):
    """Look at all real glyphs of `dataset` once, at `resolution` pixels: what drawings of as many are measured by."""
    train_rows, test_rows = read_rows(Path(dataset, "train")), held_out_rows(dataset)
    train = load_glyphs([row["file"] for row in train_rows], resolution=resolution, label="training glyphs")
    train_look = judge.look(train)
    aside = np.flatnonzero([is_aside(row) for row in train_rows])
    test_glyphs = load_glyphs([row["file"] for row in test_rows], resolution=resolution, label="held-out glyphs")
    held = np.concatenate([test_glyphs, train[aside]])
    held_look = judge.look(held)
    # where too few are held out, each training glyph is compared with the others
    own = np.concatenate([np.full(len(test_rows), -1), aside])
    if len(held) >= 100:
        cosine, overlap, *_ = nearest(held, held_look.maps, train, train_look.maps, own)
    else:
        cosine, overlap, *_ = nearest(train, train_look.maps, train, train_look.maps, np.arange(len(train)))
    held_rows = test_rows + [train_rows[place] for place in aside]
    return Yardstick(
        judge, train_rows, train, train_look, held_rows, held, held_look, test_rows, marks(cosine, overlap)
    )


def measure(real, glyphs, words=None, drawn_for=None, neighbours=None, seed=0):
    """The nine figures that need no download, of drawings as glyphs (n, SIDE, SIDE): a dict of figures.

    real: the Yardstick. words (n,): whole numbers, the same for drawings of one word; by default each has its own.
    drawn_for (n,): the place in real.test_rows that each was drawn for; without it, what needs a true character is not
    computed. neighbours: of real.test_rows, see metrics.text_predictor. A case has the drawing's place as "index", and
    where it is shown beside a real picture, that one's row as "beside".
    """
    rng = np.random.default_rng(seed)
    look = real.judge.look(glyphs)
    words = np.arange(len(glyphs)) if words is None else np.unique(words, return_inverse=True)[1]
    stand_ins = rng.permutation(max(len(real.held), words.max() + 1))[words] if drawn_for is None else drawn_for
    there = stand_ins < len(real.held)  # for more words than that there are no real ones
    learned = np.array([not is_aside(row) for row in real.train_rows])
    features = as_often(real, stand_ins[there], rng)
    figures = distances(look.features[there], features, real.train_look.features[learned], rng)
    figures["copies"], flagged = copies(real, glyphs, look, words)
    meaning, why = ("component_f1", "radical_hit", "meaning_match"), None
    if not real.characters:
        why = "the data are not characters"
    elif real.judge.kind != "components":
        why = "too few characters: hardly any component is in 15 of them, and the judge knows none"
    elif drawn_for is None:
        why = "not drawn for held-out characters, so there are no true components"
    if real.characters:
        figures["legibility"] = legibility(real, look, words)
        figures["strokes"] = strokes.compare(
            glyphs, real.held[stand_ins[there]] if there.mean() > 0.5 else real.train, words
        )
    else:
        meaning += ("legibility", "strokes")
    if why:
        return figures | {key: {"not_computed": why} for key in meaning}
    of_real = real.held_look.probabilities[: len(real.test_rows)]
    return figures | meaning_figures(
        look.probabilities,
        drawn_for,
        real.test_rows,
        of_real,
        real.train_rows,
        real.judge.names,
        neighbours,
        copies=flagged,
    )


def as_often(real, places, rng):
    """The judge's features of held-out glyphs at `places` (n,), lightly bent where one comes again.

    That is what an ideal model would draw: for each word its character, as often as the word is drawn, as hands do.
    """
    features = real.held_look.features[places]
    again = np.setdiff1d(np.arange(len(places)), np.unique(places, return_index=True)[1])
    if len(again):
        bent = COPIES["light_warp"](real.held[places[again]], rng)
        features[again] = real.judge.look(np.stack([fitted(glyph) for glyph in bent])).features
    return features


def at_a_glance(real, images):
    """What a few drawings, as PIL images, tell while a model is trained: {name: number}.

    The share of copies; of those that pass as characters, and the mean number of components found in one, where the
    judge tells these.
    """
    glyphs = load_glyphs(images)
    look = real.judge.look(glyphs)
    told = {"copies": copies(real, glyphs, look)[0]["value"]}
    if real.characters:
        told["legibility"] = legibility(real, look).get("value")
    if real.judge.kind == "components":
        told["components"] = float((look.probabilities > FOUND).sum(1).mean())
    return {key: value for key, value in told.items() if value is not None}
