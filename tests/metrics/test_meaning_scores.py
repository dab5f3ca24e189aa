"""What the figures of meaning are made of: F1, recall, match, and how radicals are written."""

import numpy as np
import pytest

from metrics import meaning
from metrics.meaning import f1_table, meaning_match, radical_parts, recall_at_5


def row(name, components, radical):
    return {"text": name, "meanings": [name], "components": list(components), "radical": radical}


@pytest.mark.parametrize(
    "found, true, f1",
    [
        ("氵口", "氵口", 1),
        ("氵", "氵口", 2 / 3),  # precision 1, recall 1/2
        ("氵一", "氵口", 1 / 2),
        ("氵口木一", "氵", 2 / 5),  # who finds everything has a recall of 1 and a precision of 1/4
        ("木", "氵口", 0),
        ("", "氵口", 0),
        ("", "", 0),
    ],
)
def test_f1_is_the_harmonic_mean_of_precision_and_recall(found, true, f1):
    found, true = (np.array([[part in components for part in "一口木氵"]]) for components in (found, true))
    assert f1_table(found, true).item() == pytest.approx(f1)


@pytest.mark.parametrize(
    "drawn_for, of_each, auc",
    [
        ([0, 1, 2], [[0.9, 0.2, 0.1], [0.1, 0.3, 0.2], [0.0, 0.0, 0.1]], [1, 1, 1]),
        ([0, 1, 2], [[0.1, 0.2, 0.9], [0.3, 0.1, 0.2], [0.5, 0.5, 0.0]], [0, 0, 0]),
        ([0, 1, 2], [[0.9, 0.9, 0.9], [0.1, 0.1, 0.1], [0.0, 0.0, 0.0]], [1 / 2, 1 / 2, 1 / 2]),
        ([0, 1, 2], [[0.3, 0.3, 0.1], [0.2, 0.2, 0.5], [0.1, 0.3, 0.2]], [3 / 4, 1 / 4, 1 / 2]),
        ([0, 0, 1], [[0.3, 0.2, 0.9], [0.2, 0.3, 0.0], [0.3, 0.2, 0.9]], [1, 0, 0]),  # nothing was drawn for row 2
    ],
)
def test_meaning_match_is_the_share_of_other_prompts_that_match_less(monkeypatch, drawn_for, of_each, auc):
    monkeypatch.setattr(meaning, "FEWEST", 1)
    # row j's text makes component j e times as probable as others do: the match with row j is P(component j)
    expected = np.exp(np.eye(3))  # up to a factor, which changes nothing but the rounding of ties
    drawn_for, of_each = np.array(drawn_for), np.array(of_each)
    figure = meaning_match(of_each, np.eye(3), expected, np.eye(3), drawn_for, {"none": np.zeros(3, dtype=bool)})
    assert figure["value"] == pytest.approx(np.mean(auc))
    scores = {case["index"]: case["score"] for case in figure["cases"]["best"]}
    assert [scores[at] for at in range(3)] == pytest.approx(auc)


@pytest.mark.parametrize(
    "scores, recall",
    [([6, 5, 4, 3, 2, 1], 2 / 3), ([1, 2, 3, 4, 5, 6], 1), ([0, 0, 0, 0, 0, 0], 2 / 3)],
)
def test_recall_at_5_is_the_share_of_the_true_ones_among_the_first_five(scores, recall):
    truth = np.array([[False, True, True, False, False, True]])
    assert recall_at_5(np.array([scores]), truth) == pytest.approx([recall])


def test_how_a_radical_is_written_is_learnt_from_the_training_rows():
    train = [
        row(f"go {n}", components, "辵") for n, components in enumerate(["辶一", "辶口", "辶木"] * 2 + ["⻌一"] * 5)
    ]
    train += [row("one", "一", "一"), *[row(f"gold {n}", "金", "金") for n in range(9)], row("odd", "玉", "金")]
    rows = [row("way", "口辶", "辵"), row("road", "一⻌", "辵"), row("walk", "辵一", "辵"), row("gem", "玉", "金")]
    # a single character that lacks its radical shows nothing; 一, in all those with ⻌, is in others too
    assert radical_parts([*rows, row("one", "一", "辵")], train) == ["辶", "⻌", "辵", None, None]


def test_what_fewer_than_half_have_is_not_how_a_radical_is_written():
    train = [row(f"gold {n}", name, "金") for n, name in enumerate("甲乙丙丁戊己")]
    assert radical_parts([row("gem", "甲", "金")], train) == [None]


def test_rows_without_radical_or_components_have_no_radical_part():
    train = [{"text": "a", "components": ["木"]}] * 9
    rows = [{"text": "b", "components": ["木"]}, {"text": "c", "radical": "木"}]
    assert radical_parts(rows, train) == [None, None]
