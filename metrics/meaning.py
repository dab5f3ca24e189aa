"""Do drawings of held-out characters carry their meaning? Component F1, radical hit, meaning match.

Each figure is made of a table of scores (drawings, rows): of drawing i, had it been drawn for row j. Its value is the
mean over the rows that the drawings were drawn for; `shuffled`, the same drawings with other prompts, over all others.
Row j's real image gives the yardstick, a training character in its place what a model without a grasp of meaning gets.
"""

from collections import Counter, defaultdict
from itertools import chain

import numpy as np
from scipy.stats import rankdata

from metrics.components import components_of, multi_hot
from metrics.figures import CASES, resampled
from metrics.text_predictor import component_probabilities, has_new_meaning, vote

FOUND = 0.25  # best F1 on training images that the judge did not learn from (0.85; 0.81 at 0.5)
FEWEST = 20  # rows; with fewer the spread is about as wide as the scale
FORM = 5  # training characters that must show how a radical is written as a part


def meaning_figures(told, drawn_for, rows, real, train_rows, components, neighbours, thresholds=FOUND, copies=None):
    """The figures component_f1, radical_hit and meaning_match, a dict, of n drawings made for m held-out `rows`.

    told (n, components) and real (m, components) are what the judge says, 0 to 1, of the drawings and of the rows' real
    images. drawn_for (n,) is each drawing's row. neighbours are what metrics.text_predictor.neighbours gives for the
    same rows. A component is found above its threshold (one for all, or one each). copies (n,) marks the drawings that
    meaning match leaves out. A case's `index` is the drawing's place.

    Left out are drawings for rows with the meanings of a training row, and for rows without a component that the judge
    knows; a figure is not computed where fewer than 20 rows remain. Raises ValueError for sizes that do not fit.
    """
    told, real, drawn_for = np.asarray(told), np.asarray(real), np.asarray(drawn_for, dtype=int)
    copies = np.zeros(len(told), dtype=bool) if copies is None else np.asarray(copies, dtype=bool)
    places, weights, predictor = neighbours
    for what, *counts in (
        ("drawings", len(told), len(drawn_for), len(copies)),
        ("held-out rows", len(rows), len(real), len(places), len(weights)),
        ("components", len(components), *told.shape[1:], *real.shape[1:]),
    ):
        if len(set(counts)) > 1:
            raise ValueError(f"meaning figures: the numbers of {what} differ: {', '.join(map(str, counts))}")
    if len(drawn_for) and not 0 <= drawn_for.min() <= drawn_for.max() < len(rows):
        raise ValueError(f"meaning figures: drawn_for must be places of the {len(rows)} held-out rows")

    truth, train_truth = (multi_hot(each, "components", components) > 0 for each in (rows, train_rows))
    new, known = has_new_meaning(rows, train_rows), truth.any(1)
    left_out = {
        "for meanings that a training character has": ~new[drawn_for],
        "for characters without a component that the judge knows": (new & ~known)[drawn_for],
    }
    number = {name: at for at, name in enumerate(components)}
    part = np.array([number.get(name, -1) for name in radical_parts(rows, train_rows)], dtype=int)
    no_part = {"for characters whose radical the judge does not know": (new & known & (part < 0))[drawn_for]}
    copied = {"that are copies": copies & (new & known)[drawn_for]}

    expected = component_probabilities(places, weights, train_truth)
    memorised = train_truth[places[:, 0]]
    guesses = radical_guesses(rows, train_rows, places, weights)
    figures = {
        "component_f1": component_f1(
            told, real, thresholds, truth, train_truth, memorised, expected, drawn_for, left_out
        ),
        "radical_hit": radical_hit(
            told, real, thresholds, part, train_truth, memorised, guesses, drawn_for, left_out | no_part
        ),
        "meaning_match": meaning_match(told, real, expected, memorised, drawn_for, left_out | copied),
    }
    for computed in figures.values():
        if "details" in computed:
            computed["details"]["meanings compared by"] = predictor
    return figures


def component_f1(told, real, thresholds, truth, train_truth, memorised, expected, drawn_for, left_out):
    """Mean over the drawings of F1, of the components found in each against the true ones that the judge knows.

    truth, memorised (rows, components) and train_truth (train rows, components) are bool: what the rows have, what the
    training characters of the nearest meanings have, and what all of these have; expected (rows, components) is
    P(c | text). The mean is over drawings, and not F1 of all counts together (0.03 higher on real images): each drawing
    has a score that can be shown, and a character of many components counts no more than another.
    """
    found, found_real = told > thresholds, real > thresholds
    frequency = np.broadcast_to(train_truth.mean(0), truth.shape)
    details = {
        "F1 of the training character of the nearest meaning": np.diag(f1_table(memorised, truth))[drawn_for],
        "F1 of a random training character": f1_table(train_truth, truth).mean(0)[drawn_for],
        "components found in a drawing": found.sum(1),
        "components found in a real image": found_real.sum(1)[drawn_for],
        "true components among the 5 most probable, drawings": recall_at_5(told, truth[drawn_for]),
        "real images": recall_at_5(real, truth)[drawn_for],
        "guessed from the meaning": recall_at_5(expected, truth)[drawn_for],
        "guessed by frequency": recall_at_5(frequency, truth)[drawn_for],
    }
    return figure(f1_table(found, truth), np.diag(f1_table(found_real, truth)), drawn_for, left_out, details)


def radical_hit(told, real, thresholds, part, train_truth, memorised, guesses, drawn_for, left_out):
    """Share of the drawings in which the judge finds the true radical, as it is written in that character.

    part (rows,) is its place among the components; guesses: see radical_guesses. Found, and not the most probable of
    all radicals: most components are the radical of some character, so that even in few real images the most probable
    one is the true one (0.29 on data/kanji, where it is found in 0.85). A case's score is its probability.
    """
    rows = np.arange(len(part))
    details = {
        "found in the training character of the nearest meaning": memorised[rows, part][drawn_for],
        "found in a random training character": train_truth.mean(0)[part][drawn_for],
        **{name: right[drawn_for] for name, right in guesses.items()},
    }
    found, found_real = told > thresholds, real > thresholds
    probability = told[np.arange(len(told)), part[drawn_for]]
    return figure(found[:, part], found_real[rows, part], drawn_for, left_out, details, probability)


def meaning_match(told, real, expected, memorised, drawn_for, left_out):
    """How often a drawing matches its own prompt better than it matches another: AUC, ties count half, 0.5 is chance.

    The match is the sum over components c of P(c | drawing) log(P(c | text) / P(c)); P(c) is left out, as it takes the
    same from every text's. expected (rows, components) is P(c | text), above 0. A prompt is compared with all others
    that were drawn for: how many these are does not change what AUC is expected to be, and to choose some by lot would
    only add noise.
    """
    prompts = np.unique(drawn_for[~np.any(list(left_out.values()), axis=0)])

    def auc(seen):
        table = np.full((len(seen), len(expected)), np.nan)
        ranks = rankdata(seen @ np.log(expected[prompts]).T, axis=1)
        table[:, prompts] = (ranks - 1) / max(len(prompts) - 1, 1)
        return table

    memoriser = np.diag(auc(memorised))
    details = {"drawing the training character of the nearest meaning": memoriser[drawn_for]}
    computed = figure(auc(told), np.diag(auc(real)), drawn_for, left_out, details)
    if "details" in computed:
        computed["note"] = (
            "More than the yardstick is no merit: who draws the training character of the nearest meaning, learnt by "
            f"heart, gets {computed['details'][next(iter(details))]:.2f}."
        )
    return computed


def figure(table, yardstick, drawn_for, left_out, details, order=None):
    """The figure of a table of scores (drawings, rows), with the yardstick's scores (rows,) and details (drawings,).

    left_out gives, for each reason, which drawings (drawings,) do not count. The spread is 95% of a bootstrap over
    rows, each with all its drawings: those of one row are alike. Cases go by `order` (drawings,), else by their score.
    """
    kept = np.flatnonzero(~np.any(list(left_out.values()), axis=0))
    rows, own = np.unique(drawn_for[kept], return_inverse=True)
    counts = {why: int(mask.sum()) for why, mask in left_out.items() if mask.any()}
    if len(rows) < FEWEST:
        without = ", ".join(f"{count} {why}" for why, count in counts.items())
        return {
            "not_computed": f"{FEWEST} held-out characters are needed, and {len(rows)} were drawn"
            + (f", not counting drawings left out: {without}" if without else "")
        }
    table = table[np.ix_(kept, rows)].astype(float)
    score = table[np.arange(len(kept)), own]
    spread = resampled(score, own)
    order = score if order is None else order[kept]
    cases = [{"index": int(kept[at]), "score": float(order[at])} for at in np.argsort(-order, kind="stable")]
    means = {name: float(values[kept].mean()) for name, values in details.items()}
    return {
        "value": float(score.mean()),
        "spread": spread,
        "yardstick": float(yardstick[rows][own].mean()),
        "n": len(kept),
        "shuffled": float((table.sum(1) - score).mean() / (len(rows) - 1)),
        "details": means | ({"drawings left out": counts} if counts else {}),
        "cases": {"best": cases[:CASES], "worst": cases[::-1][:CASES]},
    }


def f1_table(found, truth):
    """F1 of each of `found` (n, components) against each of `truth` (m, components), both bool -> (n, m).

    0, not undefined, where nothing is found and nothing true.
    """
    found, truth = found.astype(float), truth.astype(float)
    return 2 * found @ truth.T / np.maximum(found.sum(1)[:, None] + truth.sum(1), 1)


def recall_at_5(scores, truth):
    """Share of the true components among the five of the highest score; both (n, components) -> (n,)."""
    first = np.argsort(-scores, axis=1, kind="stable")[:, :5]
    return np.take_along_axis(truth, first, axis=1).sum(1) / np.maximum(truth.sum(1), 1)


def radical_parts(rows, train_rows):
    """The component of each row that is its radical, as a list; None where none is known to be.

    KANJIDIC2 names the classical radical (水), KanjiVG's components are what is drawn (氵). How a radical is written
    where it is itself no component is learnt from the training characters of that kind: the component that at least
    half of them have and fewest others; then again from those left (辵 is 辶 in some and ⻌ in others).
    """
    lacking, frequency = defaultdict(list), Counter()
    for row in train_rows:
        components = components_of(row)
        frequency.update(components)
        if row.get("radical") and row["radical"] not in components:
            lacking[row["radical"]].append(components)
    forms = defaultdict(list)
    for radical, left in lacking.items():
        while len(left) >= FORM:
            counts = Counter(chain.from_iterable(left))
            common = [(count / frequency[name], name) for name, count in counts.items() if 2 * count >= len(left)]
            if not common:
                break
            form = max(common)[1]
            forms[radical].append(form)
            left = [components for components in left if form not in components]
    parts = []
    for row in rows:
        written = [row.get("radical"), *forms[row.get("radical")]]
        parts.append(next((form for form in written if form in components_of(row)), None))
    return parts


def radical_guesses(rows, train_rows, places, weights):
    """Whether each row's radical is the one that its neighbours vote for, and whether it is the commonest: (rows,)."""
    names, codes = np.unique([row.get("radical") or "" for row in train_rows], return_inverse=True)
    votes = vote(places, weights, np.eye(len(names))[codes])
    true = np.array([row.get("radical") or "" for row in rows])
    return {
        "right at the first guess from the meaning": names[votes.argmax(1)] == true,
        "right at the first guess by frequency": names[np.bincount(codes).argmax()] == true,
    }
