"""Real glyphs made wrong, or copied, in known ways: what each figure must catch, and what a critic learns from.

Every function takes glyphs (n, side, side), 0 paper to 1 ink, and an `np.random.Generator`, and returns as many float32
glyphs of the same size, made of the ones given, which are left as they are. It raises ValueError where those do not
have what it needs: two glyphs, or gaps between parts.

What is put together anew is put together by whole pixels and fills a real glyph's box, so that neither crispness nor
margin gives it away. Warps and blurs change size and tone a little, as drawings do, and are brought to one size and
tone by who measures them, as drawings are (`glyphs.fitted`). Which of them a critic learns from, and which it meets
unseen, is in `metrics/legibility.py`.
"""

from functools import partial

import numpy as np
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.segmentation import expand_labels

from metrics.strokes import EIGHT, skeletons

INK = 0.3  # of full ink: from here on a pixel belongs to a stroke
SAME = 0.75  # cosine from which two parts look the same: at 0.7 木 and 扌 begin to
DISTINCT = 50  # different glyphs that are left when a model collapses


def chimera(glyphs, rng):
    """The left half of each, and the right half of another one."""
    left = np.arange(glyphs.shape[2]) < glyphs.shape[2] // 2
    return np.where(left, glyphs, glyphs[_others(len(glyphs), rng)])


def overlay(glyphs, rng):
    """Each with another one on top."""
    return np.maximum(glyphs, glyphs[_others(len(glyphs), rng)])


def _others(n, rng):
    """For each of n the place of another one; all are different."""
    if n < 2:
        raise ValueError(f"{n} glyphs: each needs another one to be mixed with")
    order = rng.permutation(n)
    partner = np.empty(n, int)
    partner[order] = np.roll(order, 1)
    return partner


def new_legal_pairs(glyphs, rng):
    """The left (or top) part of one with the right (bottom) part of another: whole parts in legal places.

    Both have the gap at about the same place, the parts do not touch, and none of the glyphs given has both. It may
    still be a character that is not among them: of pairs out of 1,500 characters of KanjiVG one in ten was.
    """
    first, second, turned = _parts(glyphs)
    gap = (_columns(first)[1] + _columns(second)[0]) / 2
    pool = np.nonzero(first.any(axis=(1, 2)))[0]
    one_looks, two_looks = _looks(first), _looks(second)
    found = []
    for _ in range(100 if len(pool) else 0):
        one, two = rng.choice(pool, (2, len(glyphs)))
        fits = (turned[one] == turned[two]) & (abs(gap[one] - gap[two]) <= glyphs.shape[2] / 16)
        one, two = one[fits], two[fits]
        known = (one_looks[one] @ one_looks[pool].T > SAME) & (two_looks[two] @ two_looks[pool].T > SAME)
        fits = ~known.any(axis=1) & ~_touch(first[one], second[two])
        found.append(_turn(np.minimum(first[one] + second[two], 1), turned[one])[fits])
        if sum(map(len, found)) >= len(glyphs):
            return np.concatenate(found)[: len(glyphs)]
    raise ValueError(f"of {len(glyphs)} glyphs {len(pool)} have a gap between two parts: too few to make new pairs of")


def part_swap(glyphs, rng):
    """Legal parts in illegal places: left and right exchanged where there is a gap between them, else top and bottom.

    A glyph that has no gap, or looks the same with its parts exchanged, is replaced by one of the others that do.
    """
    first, second, turned = _parts(glyphs)
    alike = (_looks(first) * _looks(second)).sum(axis=1) > SAME
    (first_start, first_stop), (second_start, second_stop) = _columns(first), _columns(second)
    for moved, by in ((first, second_stop - first_stop), (second, first_start - second_start)):
        moved[:] = [np.roll(part, shift, axis=1) for part, shift in zip(moved, by, strict=True)]
    swapped = _turn(np.minimum(first + second, 1), turned)
    whole = swapped.sum(axis=(1, 2)) > 0.995 * glyphs.sum(axis=(1, 2))  # parts that leant into each other may now cross
    good = first.any(axis=(1, 2)) & whole & ~alike
    if not good.any():
        raise ValueError(f"none of {len(glyphs)} glyphs has a gap between two different parts")
    return swapped[np.where(good, np.arange(len(glyphs)), rng.choice(np.nonzero(good)[0], len(glyphs)))]


def _parts(glyphs):
    """(first, second, turned): the two parts of each glyph, turned where these are its top and bottom.

    first is (n, side, side) with the ink of the left part, and empty where there is no gap; second has the rest of the
    ink; where turned (n,) is true both are transposed, so that top and bottom are left and right.
    """
    turned = ~_left_part(glyphs).any(axis=(1, 2))
    glyphs = _turn(glyphs, turned)
    first = _left_part(glyphs)
    return first, glyphs - first, turned


def _turn(glyphs, turned):
    return np.where(turned[:, None, None], glyphs.transpose(0, 2, 1), glyphs)


def _left_part(glyphs):
    """The ink of each glyph's left part, (n, side, side); none where no gap divides it in two.

    A gap is where the strokes fall into two groups that do not touch each other. The groups may overlap by a sixteenth
    of the side (parts lean into each other), the gap must lie in the middle half of the width, and each group must have
    a fifth of the ink, or it is a stroke and no part. The widest gap is taken.
    """
    n, side, _ = glyphs.shape
    tall = np.pad(glyphs, ((0, 0), (1, 1), (1, 1))).reshape(-1, side + 2)  # one image is labelled faster than many
    labels, count = ndimage.label(tall > INK, EIGHT)
    blobs = [[] for _ in range(n)]
    weights = ndimage.sum_labels(tall, labels, range(1, count + 1))
    for label, ((rows, columns), weight) in enumerate(zip(ndimage.find_objects(labels), weights, strict=True), 1):
        blobs[rows.start // (side + 2)].append((columns.start, columns.stop, weight, label))
    in_left = np.zeros(count + 1, bool)
    for found in blobs:
        if len(found) < 2:
            continue
        start, stop, weight, label = np.array(sorted(found, key=lambda blob: blob[0] + blob[1])).T
        left_stop, right_start = np.maximum.accumulate(stop)[:-1], np.minimum.accumulate(start[::-1])[::-1][1:]
        place = ((left_stop + right_start) / 2 - start.min()) / (stop.max() - start.min())
        share = weight.cumsum()[:-1] / weight.sum()
        fits = (left_stop - right_start <= side / 16) & (abs(place - 0.5) < 0.25) & (abs(share - 0.5) < 0.3)
        if fits.any():
            last = np.where(fits, left_stop - right_start, side).argmin()
            in_left[label[: last + 1].astype(int)] = True
    near = expand_labels(labels, side / 24)  # the grey rims of the strokes go with them
    return np.where(in_left[near], tall, 0).reshape(n, side + 2, side + 2)[:, 1:-1, 1:-1]


def _columns(parts):
    """The first column of each part's ink and the one after its last."""
    inked = parts.any(axis=1)
    return inked.argmax(axis=1), parts.shape[2] - inked[:, ::-1].argmax(axis=1)


def _touch(one, two):
    """Whether the strokes of each two parts touch: (n,) bool."""
    return ((ndimage.maximum_filter(one, (1, 3, 3)) > INK) & (two > INK)).any(axis=(1, 2))


def _looks(parts):
    """Unit vectors (n, 144) of what each part looks like wherever it stands and however wide it is."""
    looks = np.zeros((len(parts), 144))
    for look, part in zip(looks, parts, strict=True):
        (top, left), (bottom, right) = _box(part)
        small = Image.fromarray(part[top:bottom, left:right]).resize((12, 12), Image.Resampling.BILINEAR)
        look[:] = np.ravel(small) - np.mean(small)
    return looks / np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-9)


def stroke_salad(glyphs, rng):
    """Pieces of strokes of all glyphs, cut at junctions, thrown together at random places of each glyph's box.

    Each piece is one of those that have most nearly as much ink as a piece of the glyph, so that number and ink of the
    pieces are a real one's.
    """
    side = glyphs.shape[2]
    tall = np.pad(glyphs, ((0, 0), (1, 1), (1, 1)))
    neighbours = skeletons(tall > INK)
    tall = tall.reshape(neighbours.shape)
    labels, count = ndimage.label((neighbours >= 0) & (neighbours <= 2), EIGHT)
    labels = np.where(tall > 0, expand_labels(labels, side / 12), 0)
    pieces = [
        (where[0].start // (side + 2), np.where(labels[where] == label, tall[where], 0))
        for label, where in enumerate(ndimage.find_objects(labels), 1)
    ]
    pieces.sort(key=lambda piece: piece[1].sum())
    owners = np.array([owner for owner, _ in pieces], int)
    reach = count // 50 + 1
    salad = np.zeros_like(glyphs)
    for number, glyph in enumerate(glyphs):
        ranks = np.nonzero(owners == number)[0]
        ranks = np.clip(ranks + rng.integers(-reach, reach + 1, len(ranks)), 0, count - 1)
        chosen = [pieces[rank][1] for rank in ranks]
        sizes = np.array([piece.shape for piece in chosen]).reshape(-1, 2)
        low, high = _box(glyph)
        spots = low + _full_range(rng.random((len(chosen), 2))) * np.maximum(high - low - sizes, 0)
        for piece, (top, left) in zip(chosen, np.minimum(spots.round().astype(int), side - sizes), strict=True):
            at = salad[number, top : top + piece.shape[0], left : left + piece.shape[1]]
            np.maximum(at, piece, out=at)
    return salad


def random_curves(glyphs, rng):
    """Smooth strokes of a pen (cubic Béziers) at random: as wide, and in all as long, as those of each glyph."""
    n, side, _ = glyphs.shape
    skeleton = skeletons(np.pad(glyphs > INK, ((0, 0), (1, 1), (1, 1)))) >= 0
    lengths = skeleton.reshape(n, -1).sum(axis=1)
    t = np.linspace(0, 1, 100)[:, None]
    bernstein = np.hstack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    pixels = np.indices((side, side)).reshape(2, -1).T
    curves = np.zeros_like(glyphs)
    for number in np.nonzero(lengths)[0]:
        low, high = _box(glyphs[number])
        width = glyphs[number].sum() / lengths[number]
        points, length = [], 0
        while length < lengths[number]:
            corner, opposite = rng.random((2, 2))  # of the stroke's own box, by which it is short or long
            points.append(bernstein @ (corner + (opposite - corner) * rng.random((4, 2))))
            length += width  # the ink of its round ends
            length += np.hypot(*(np.diff(points[-1], axis=0) * (high - low)).T).sum()
        points = low + width / 2 + _full_range(np.concatenate(points)) * np.maximum(high - low - width, 0) - 0.5
        away, _ = cKDTree(points).query(pixels, distance_upper_bound=width / 2 + 0.5)
        curves[number] = np.clip(width / 2 + 0.5 - away, 0, 1).reshape(side, side)
    return curves


def _box(glyph):
    """The corners of the ink's box, as (row, column): the first, and the one after the last."""
    inked = np.argwhere(glyph > INK) if (glyph > INK).any() else np.zeros((1, 2), int)
    return inked.min(axis=0), inked.max(axis=0) + 1


def _full_range(points):
    """Points (n, 2), stretched so that along both axes they go from 0 to 1."""
    reach = np.ptp(points, axis=0) if len(points) else 0
    return (points - points.min(axis=0, initial=np.inf)) / np.where(reach > 0, reach, 1)


def blots(glyphs, rng):
    """What no pen makes: each second one filled in, the others a chequered square of cells of 2 to 8 pixels of 48."""
    n, side, _ = glyphs.shape
    cells = rng.integers(2, 9, (n, 1, 1)) * side / 48
    across = np.arange(side) // cells + rng.integers(0, 2, (n, 1, 1))
    chequered = (across + np.arange(side)[:, None] // cells) % 2
    filled = ndimage.gaussian_filter(glyphs, (0, side / 12, side / 12))
    filled = filled > np.quantile(filled, rng.uniform(0.3, 0.7), axis=(1, 2), keepdims=True)
    return np.where(np.arange(n)[:, None, None] % 2, chequered, filled).astype(np.float32)


def mirror(glyphs, rng):
    """Each seen in a mirror."""
    return glyphs[:, :, ::-1].copy()


def blur(glyphs, rng, sigma=2.0):
    """Each blurred by a Gaussian of `sigma` pixels of a glyph of 48."""
    sigma = sigma * glyphs.shape[2] / 48
    return ndimage.gaussian_filter(glyphs, (0, sigma, sigma))


def collapse(glyphs, rng):
    """The same few over and over: 50 different ones, or a tenth where that is less."""
    kept = rng.choice(len(glyphs), max(1, min(DISTINCT, len(glyphs) // 10)), replace=False)
    return glyphs[rng.permutation(np.resize(kept, len(glyphs)))]


def exact(glyphs, rng):
    """Each as it is."""
    return glyphs.copy()


def reinked(glyphs, rng):
    """Each with a thinner or thicker pen, and paler ink."""
    level, tone = rng.uniform((0.15, 0.6), (0.45, 1), (len(glyphs), 2)).T[:, :, None, None]
    return np.float32(tone * np.clip((blur(glyphs, rng, 0.8) - level) * 4 + 0.5, 0, 1))


def warp(glyphs, rng, strength):
    """Each turned, sheared, scaled and bent like rubber; strength 1 moves ink by about a pixel of 48."""
    n, side, _ = glyphs.shape
    grid = np.indices((side, side)) - (side - 1) / 2
    matrices = np.eye(2) + strength * rng.normal(0, 0.03, (n, 2, 2))
    bends = ndimage.gaussian_filter(rng.normal(size=(n, 2, side, side)), (0, 0, side / 8, side / 8))
    bends *= strength / 2 * side / 48 / bends.std()
    places = np.einsum("nij,jyx->niyx", matrices, grid) + bends + (side - 1) / 2
    # Cubic, as linear interpolation would pale thin strokes. It swings over at edges, by a little.
    return np.clip([ndimage.map_coordinates(*both, order=3) for both in zip(glyphs, places, strict=True)], 0, 1)


# From the mildest to the worst. New legal pairs are no mistake: they are what a good new character looks like.
CORRUPTIONS = {
    "new_legal_pairs": new_legal_pairs,
    "chimera": chimera,
    "part_swap": part_swap,
    "overlay": overlay,
    "stroke_salad": stroke_salad,
    "mirror": mirror,
    "random_curves": random_curves,
    "blots": blots,
    "blur": blur,
    "collapse": collapse,
}

COPIES = {
    "exact": exact,
    "blurred": partial(blur, sigma=0.8),
    "reinked": reinked,
    "light_warp": partial(warp, strength=0.5),
    "medium_warp": partial(warp, strength=1.5),
}
