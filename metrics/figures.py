"""The twelve figures of a report in words: what each asks, how it is computed, which way is better."""

from typing import NamedTuple

import numpy as np

CASES = 6  # best and worst drawings that a figure shows


class Figure(NamedTuple):
    """What a reader has to know of a figure beside its numbers.

    better: "higher", "lower", or "near" (the yardstick is best, more is as bad as less).
    share: the value is a share of the drawings and is written in percent.
    slack: a difference that is worth a word but no blame, as a share of the yardstick.
    same_n: the value depends on the number of drawings, so that it compares only with one of as many.
    """

    title: str
    question: str
    definition: str
    better: str
    share: bool = False
    slack: float = 0.0
    same_n: bool = False


FIGURES = {
    "fd_glyph": Figure(
        "FD-glyph",
        "Are the drawings, as a set, distributed like real ones?",
        "The judge, a small network (trained to find components, where the data are characters), turns each drawing "
        "into a feature vector. The Fréchet distance between the drawings and the training images that the judge "
        "learned from is |m1 - m2|² + "
        "trace(S1 + S2 - 2 (S1 S2)^½), of the means m and the covariances S of their features (Heusel et al. 2017, who "
        "take Inception's). It "
        "sees wrong shapes and lack of variety alike. Even real ones are not at 0, and fewer of them are farther "
        "off: the yardstick is the distance of as many real ones, and only values at the same n compare.",
        better="lower",
        slack=0.25,
        same_n=True,
    ),
    "mmd_glyph": Figure(
        "MMD-glyph",
        "Does a typical drawing lie where real ones lie?",
        "The squared maximum mean discrepancy between the same features of the drawings and of 2,000 such training "
        "images, with an RBF kernel, in the unbiased estimate (Gretton et al. 2012), times 1000. Unbiased, it is "
        "about 0 for real ones whatever their number, and may fall below 0 by chance. It says little about "
        "variety: a few good drawings over and over keep it low while FD-glyph is high.",
        better="lower",
    ),
    "legibility": Figure(
        "Legibility",
        "How many of the drawings pass as characters?",
        "A critic, a small network on the judge's features, was trained to tell real characters from broken ones (made "
        "of real ones by corruption). Its threshold is set so that 95% of real held-out characters pass; the figure is "
        "the share of the drawings that do. More than 95% is no merit. Whole parts newly put together, each in its "
        "place, pass as often as real characters: it sees what is broken, and cannot know what was never written.",
        better="higher",
        share=True,
        slack=0.1,
    ),
    "copies": Figure(
        "Copies",
        "How many of the drawings are images of the training data, learnt by heart?",
        "A drawing is flagged when it is too close to some training image, by the cosine between the two maps of "
        "the judge's features, or by the overlap (intersection over union) of their thickened strokes at the best "
        "shift of up to 3 pixels. The thresholds flag 5% of real held-out ones, which are no copies but look "
        "like one. Each flagged drawing is shown beside the original that it is close to.",
        better="lower",
        share=True,
    ),
    "diversity": Figure(
        "Diversity",
        "Is all the variety of real ones there, or does the model repeat itself?",
        "Recall in the judge's feature space: the share of real ones that lie nearer to some drawing than "
        "that drawing's 5th nearest neighbour among the drawings (Kynkäänniemi et al. 2019; the recall of PRDC, Naeem "
        "et al. 2020, k = 5). It falls when the model repeats itself, and when it draws what is unlike the training "
        "data. It depends on the number of drawings.",
        better="higher",
        share=True,
        slack=0.1,
        same_n=True,
    ),
    "component_f1": Figure(
        "Component F1",
        "Do the drawings have the parts that their meaning asks for?",
        "The model draws held-out characters from their English meanings alone, without those whose meanings a "
        "training character has too. The judge says which components are in each drawing. F1 is the harmonic mean of "
        "precision (found ones that the true character has) and recall (the true character's that were found). "
        "Nobody can guess a character from its meaning: a real one of the nearest meaning in the training data "
        "gets about 0.19, a random one 0.06. The yardstick is the judge's own F1 on the real held-out images.",
        better="higher",
    ),
    "radical_hit": Figure(
        "Radical hit",
        "Is the radical, the part that names a character's field (water, tree, speech), the right one?",
        "Over the same drawings: the share in which the judge finds the true character's radical, as it is written in "
        "that character (氵 for 水). The yardstick is the same on the real held-out images.",
        better="higher",
        share=True,
    ),
    "meaning_match": Figure(
        "Meaning match",
        "Can one tell from a drawing which prompt it was made for?",
        "A text model predicts from a prompt how probable each component c is (by the training characters of the "
        "nearest meanings), and the judge says how probable it is in the drawing. The match of drawing and prompt is "
        "the sum over c of P(c | drawing) log(P(c | text) / P(c)). The figure is the AUC: how often the true prompt "
        "matches better than that of another drawing (0.5 is chance). Copies are left out. "
        "More than real characters reach is no merit: a model that learnt its training data by heart gets 0.99.",
        better="higher",
    ),
    "strokes": Figure(
        "Strokes",
        "Do the drawings have as many strokes as characters have?",
        "Strokes are counted on the drawing's skeleton, a line of one pixel along the middle of the ink, from its "
        "ends, junctions and loops. It is an estimate, made the same way for the real characters, and compares only "
        "with theirs. Too many strokes are what native speakers complain about most.",
        better="near",
        slack=0.1,
    ),
    "fid": Figure(
        "FID",
        "The usual figure of image generators: are the images, as a set, distributed like real ones?",
        "The Fréchet distance as for FD-glyph, on the features of Inception v3, a network trained on photographs "
        "(Heusel et al. 2017; computed by torch-fidelity). A weak judge of characters, here for comparison with other "
        "work. It falls with the number of images: only values at the same n compare. It has no spread, for the "
        "bootstrap would make it larger.",
        better="lower",
        slack=0.25,
        same_n=True,
    ),
    "kid": Figure(
        "KID",
        "The same by an estimate that does not depend on the number of images.",
        "The squared maximum mean discrepancy on Inception's d features with the kernel (x·y / d + 1)³, in the "
        "unbiased estimate, averaged over random subsets (Bińkowski et al. 2018; computed by torch-fidelity). A weak "
        "judge of characters, as FID is.",
        better="lower",
    ),
    "clip_score": Figure(
        "CLIP score",
        "Does CLIP, a network that learnt images and captions of the web, see the word in the drawing?",
        "The mean cosine between CLIP's embeddings of the drawing and of its prompt, below 0 taken as 0, times 100 "
        "(Hessel et al. 2021, who weight it by 2.5). CLIP has seen few characters: a picture of the thing would score "
        "higher than its character.",
        better="higher",
        slack=0.05,
    ),
}

WAYS = {"higher": "Higher is better.", "lower": "Lower is better.", "near": "Nearest to real ones is best."}

HOW_TO_READ = (
    "The yardstick is the same figure of as many real ones that the judge never saw: no model can be asked for more. "
    "Where the drawings are of held-out meanings, it is of their true characters, which the model never saw either. "
    "The spread holds the value with 95% probability, as far as the choice of words and drawings goes (words are drawn "
    "again by lot; for distances, halves of the drawings); where it includes the yardstick, the drawings are as good "
    "as real ones. "
    "Shuffled is the value when each drawing is judged by the prompt of another: what chance gives."
)


def number(value, key=None):
    """A number as a reader wants it: percent for the shares, else two or three digits that count; "–" for None."""
    if value is None:
        return "–"
    if key in FIGURES and FIGURES[key].share:
        percent = 100 * value
        return f"{percent:.0f}%" if percent == 0 or 10 <= percent <= 99 or percent == 100 else f"{percent:.1f}%"
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    if 0 < size < 0.01:
        return f"{value:.2g}"
    return f"{value:,.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3}f}"


def spread(figure):
    """The ends of a figure's 95% interval; the value itself twice where there is none."""
    low, high = figure.get("spread") or [figure["value"]] * 2
    return low, high


def shortfall(key, figure):
    """How far a figure falls short of its yardstick: (least, at its value, most) over its spread, none below 0.

    Real characters are the mark: to be "better" than they are is no merit, and counts as 0.
    """
    low, high = spread(figure)
    over = [x - figure["yardstick"] for x in (low, figure["value"], high)]
    if FIGURES[key].better == "near":
        low, at, high = map(abs, over)
        return (0.0 if over[0] <= 0 <= over[2] else min(low, high)), at, max(low, high)
    gaps = over if FIGURES[key].better == "lower" else [-gap for gap in over[::-1]]
    return tuple(max(0.0, gap) for gap in gaps)


def standing(key, figure):
    """A figure against its yardstick: "level" (within the spread), "beyond" (better), "close" or "short"."""
    low, high = spread(figure)
    if low <= figure["yardstick"] <= high:
        return "level"
    _, gap, most = shortfall(key, figure)
    if most == 0:
        return "beyond"
    return "close" if gap <= FIGURES[key].slack * abs(figure["yardstick"]) else "short"


def resampled(values, groups=None):
    """The 95% interval of the mean of `values` (n,), by a bootstrap of 1,000: [low, high].

    groups (n,): whole numbers; values of one group are drawn together, as drawings for one word are alike.
    """
    _, own = np.unique(np.arange(len(values)) if groups is None else groups, return_inverse=True)
    totals, counts = np.bincount(own, np.asarray(values, dtype=float)), np.bincount(own)
    picks = np.random.default_rng(0).integers(len(counts), size=(1000, len(counts)))
    return np.percentile(totals[picks].sum(1) / counts[picks].sum(1), [2.5, 97.5]).tolist()
