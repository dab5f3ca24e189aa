"""Which drawings are a training glyph: copies.

A drawing is a copy where it is nearer to a training glyph than all but one in twenty real held-out characters are, by
one of two measures: the cosine between the judge's maps of them (where in the glyph what is), or the overlap of their
ink, strokes a pixel thicker and shifted by up to 3 pixels. The one finds a copy that was bent, the other one that was
blurred or inked anew.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from metrics.figures import resampled

CANDIDATES = 100  # training glyphs nearest by cosine, whose ink is compared
SHIFT = 3  # pixels
SHOWN = 100  # copies in a report
TWICE = 0.99  # from this overlap on it is the same picture
SHARE = 0.05  # of held-out real glyphs that count as copies: characters that differ by a dot are real


def nearest(glyphs, maps, train_glyphs, train_maps, own=None):
    """The training glyphs that glyphs (n, side, side) are nearest to.

    maps (n, dim), train_maps (m, dim): of unit length. own (n,): the number of the training glyph that is the same
    picture, not to be counted, or -1. -> cosine (n,), overlap (n,), and the training glyphs' numbers (n,) by each.
    """
    cosines = maps @ train_maps.T
    if own is not None:
        cosines[np.flatnonzero(own >= 0), own[own >= 0]] = -1
    candidates = np.argpartition(-cosines, min(CANDIDATES, cosines.shape[1]) - 1, axis=1)[:, :CANDIDATES]
    by_cosine = cosines.argmax(1)
    thick = ndimage.binary_dilation(glyphs > 0.5, np.ones((1, 3, 3), bool)).astype(np.float32)
    train_thick = ndimage.binary_dilation(train_glyphs > 0.5, np.ones((1, 3, 3), bool)).reshape(len(train_glyphs), -1)
    side = glyphs.shape[1]
    overlap, by_overlap = np.zeros(len(glyphs)), np.zeros(len(glyphs), dtype=int)
    for number, (glyph, near) in enumerate(zip(thick, candidates, strict=True)):
        padded = np.pad(glyph, SHIFT)
        places = range(2 * SHIFT + 1)
        shifted = np.stack([padded[y : y + side, x : x + side].ravel() for y in places for x in places])
        ink = train_thick[near].astype(np.float32)
        both = shifted @ ink.T
        either = shifted.sum(1)[:, None] + ink.sum(1)[None] - both
        overlaps = np.where(cosines[number, near] < 0, 0, (both / np.maximum(either, 1)).max(0))
        overlap[number], by_overlap[number] = overlaps.max(), near[overlaps.argmax()]
    return cosines.max(1), overlap, by_cosine, by_overlap


class Marks(NamedTuple):
    """From where on a glyph counts as a copy, and what share of real ones that were never seen does."""

    cosine: float
    overlap: float
    of_real: float


def marks(cosine, overlap):
    """The marks that one in twenty real glyphs (n,) passes, by one measure or the other, both as strict.

    Pictures that are in the data twice do not count: they would put the marks where nothing passes them.
    """
    once = overlap < TWICE
    if not once.any():
        return Marks(0.9999, TWICE, 0.0)
    cosine, overlap = cosine[once], overlap[once]
    ranks = np.maximum(cosine.argsort().argsort(), overlap.argsort().argsort())
    cut = np.sort(ranks)[min(int(np.ceil((1 - SHARE) * len(ranks))), len(ranks) - 1) - 1]
    cosine_mark, overlap_mark = min(np.sort(cosine)[cut], 0.9999), np.sort(overlap)[cut]
    return Marks(cosine_mark, overlap_mark, float(((cosine > cosine_mark) | (overlap > overlap_mark)).mean()))


def copies(real, glyphs, look, groups=None):
    """The figure of drawings as glyphs (n, side, side), and which of them are copies, bool (n,).

    real: a Yardstick; groups: see figures.resampled. A case is a copy, the nearest first, its training picture's row as
    "beside"; its score is the overlap of their ink.
    """
    cosine, overlap, by_cosine, by_overlap = nearest(glyphs, look.maps, real.train, real.train_look.maps)
    cosine_mark, overlap_mark, of_real = real.copy_marks
    # an empty picture is nobody's copy
    flagged = ((cosine > cosine_mark) | (overlap > overlap_mark)) & glyphs.any((1, 2))
    original = np.where(overlap > overlap_mark, by_overlap, by_cosine)
    order = sorted(np.flatnonzero(flagged), key=lambda place: -overlap[place])
    figure = {
        "value": float(flagged.mean()),
        "spread": resampled(flagged, groups),
        "yardstick": of_real,
        "n": len(glyphs),
        "details": {
            "cosine of maps above": float(cosine_mark),
            "overlap of ink above": float(overlap_mark),
            "different training pictures copied": len(set(original[order].tolist())),
        },
        "cases": {
            "worst": [
                {"index": int(place), "score": float(overlap[place]), "beside": real.train_rows[original[place]]}
                for place in order[:SHOWN]
            ]
        },
    }
    if len(order) > SHOWN:
        figure["note"] = f"The {SHOWN} nearest of {len(order)} copies are shown."
    return figure, flagged
