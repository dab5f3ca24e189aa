"""How complex is a drawing? Strokes, loops, ink and balance, read off its skeleton: no network, no training."""

import numpy as np
from scipy import ndimage
from scipy.stats import wasserstein_distance
from skimage.morphology import skeletonize
from tqdm import tqdm

from metrics.figures import CASES, resampled

INK = 1 / 3  # of full ink: at a half, a stroke that grows faint on its way counts as several
FINER = 3  # the skeleton is taken at three times the glyph's pixels: strokes a pixel apart would melt together
AT_ONCE = 100  # glyphs in one tall image
EIGHT = np.ones((3, 3), np.uint8)


def skeletons(ink):
    """The skeletons of binary glyphs (n, height, width), as one tall image (n * height, width), which is much faster.

    Each pixel has the number of its 8 neighbours that are of the skeleton too: 0 is a dot, 1 an end, 2 a line, more a
    junction; off the skeleton it is -1. The glyphs' borders must be paper, or neighbours would grow together.
    """
    skeleton = skeletonize(ink.reshape(-1, ink.shape[2]))
    around = ndimage.convolve(skeleton.astype(np.int8), EIGHT.astype(np.int8), mode="constant")
    return np.where(skeleton, around - 1, -1)  # it has counted the pixel itself


def measure(glyphs):
    """What `glyphs` (n, side, side), 0 paper to 1 ink, are made of: name -> (n,) float. ValueError where n is 0.

    - endpoints: free ends of the skeleton (a dot has two); junctions: where strokes meet; loops: enclosed areas of
      paper (components minus the Euler number).
    - strokes: an estimate of their number. A stroke has two ends, which show as endpoints, or as junctions with an odd
      number of arms, or lie hidden in corners, of which about every loop has one: (endpoints + odd junctions + loops)
      / 2. A crossing of which the skeleton makes two junctions counts as one stroke too many. On 1,500 characters of
      KanjiVG at 48 pixels the correlation with the true count is 0.95, and the mean 12.6 for 12.3.
    - ink: share of the area, by tone; balance: how far the ink's centre of mass is from the middle of the ink's
      bounding box, as a share of the side, and 0 where there is no ink.
    """
    if not len(glyphs):
        raise ValueError("strokes: there are no glyphs to measure")
    starts = range(0, len(glyphs), AT_ONCE)
    bar = tqdm(starts, "strokes", leave=False, disable=len(starts) < 5)
    chunks = [_topology(glyphs[at : at + AT_ONCE]) | _weight(glyphs[at : at + AT_ONCE]) for at in bar]
    return {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}


def _topology(glyphs):
    fine = np.stack([ndimage.zoom(glyph, FINER, grid_mode=True, mode="nearest") for glyph in glyphs])
    ink = np.pad(fine > INK, ((0, 0), (1, 1), (1, 1)))
    neighbours = skeletons(ink)

    def per_glyph(rows, weights=None):  # how many of these rows of the tall image belong to each glyph
        return np.bincount(np.asarray(rows, int) // ink.shape[1], weights, minlength=len(glyphs)).astype(float)

    endpoints = per_glyph(np.nonzero(neighbours == 1)[0]) + 2 * per_glyph(np.nonzero(neighbours == 0)[0])
    knots, _ = ndimage.label(neighbours > 2, EIGHT)  # pixels of one junction
    knot_rows = [rows.start for rows, _ in ndimage.find_objects(knots)]
    # A junction's arms are the groups of other skeleton pixels that touch it.
    near = ndimage.binary_dilation(knots > 0, EIGHT) & (neighbours >= 0) & (knots == 0)
    arms, _ = ndimage.label(near, EIGHT)
    rows, columns = np.nonzero(near)  # never at the border, which is paper
    around = [knots[rows + dy, columns + dx] for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    touching = np.unique([np.concatenate(around), np.tile(arms[rows, columns], 9)], axis=1)
    odd = np.bincount(touching[0], minlength=knots.max() + 1)[1:] % 2  # [0] is no junction

    # The paper around all glyphs holds the corner, and so is labelled first.
    paper, _ = ndimage.label(~ink.reshape(neighbours.shape))
    loops = per_glyph([rows.start for rows, _ in ndimage.find_objects(paper)[1:]])
    strokes = (endpoints + per_glyph(knot_rows, odd) + loops) / 2
    return {"endpoints": endpoints, "junctions": per_glyph(knot_rows), "loops": loops, "strokes": strokes}


def _weight(glyphs):
    def off_middle(weights):  # (n, side), the ink along one axis
        side = weights.shape[1]
        inked = weights > 0.5
        middle = (inked.argmax(axis=1) + side - 1 - inked[:, ::-1].argmax(axis=1)) / 2
        return weights @ np.arange(side) / np.maximum(weights.sum(axis=1), 1e-6) - middle

    balance = np.hypot(off_middle(glyphs.sum(axis=1)), off_middle(glyphs.sum(axis=2))) / glyphs.shape[1]
    balance = np.where(glyphs.any(axis=(1, 2)), balance, 0)
    return {"ink": glyphs.mean(axis=(1, 2)).astype(float), "balance": balance.astype(float)}


def compare(drawn, real, groups=None):
    """The figure "strokes": mean stroke estimate of drawings beside that of real characters, both (n, side, side).

    details: for each measure the mean and the 5th, 50th and 95th percentile of both, and the Wasserstein distance of
    the two distributions in standard deviations of the real one. A case is {"index": place in `drawn`, "score"}; the
    score says how far the drawing is from the mean real character, as the root mean square over the measures, in
    standard deviations again. ValueError where there are no drawings or no real characters.
    """
    drawn, real = measure(drawn), measure(real)
    unit = {name: values.std() or 1.0 for name, values in real.items()}  # where all are the same, the measure's own
    details = {
        name: {
            "drawn": _summary(drawn[name]),
            "real": _summary(real[name]),
            "distance": float(wasserstein_distance(drawn[name], real[name]) / unit[name]),
        }
        for name in real
    }
    score = np.sqrt(np.mean([((drawn[name] - real[name].mean()) / unit[name]) ** 2 for name in real], axis=0))
    order = [{"index": int(place), "score": float(score[place])} for place in np.argsort(score, kind="stable")]
    return {
        "value": details["strokes"]["drawn"]["mean"],
        "spread": resampled(drawn["strokes"], groups),
        "yardstick": details["strokes"]["real"]["mean"],
        "n": len(score),
        "details": details,
        "cases": {"best": order[:CASES], "worst": order[::-1][:CASES]},
    }


def _summary(values):
    low, middle, high = np.percentile(values, [5, 50, 95]).tolist()
    return {"mean": float(values.mean()), "p5": low, "p50": middle, "p95": high}
