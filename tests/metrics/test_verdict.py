"""The sentences of a report say what its figures say, and no more."""

import pytest
from made_report import figure, made_report, nothing_computed

from metrics.figures import FIGURES, number, shortfall, standing
from metrics.verdict import KINDS, compare, verdict


def said_of(key, made):
    """(kind, sentence) about one figure, of a report that has it."""
    return next(
        (kind, text) for kind, said in verdict(made_report(**{key: made})).items() for of, text in said if of == key
    )


@pytest.mark.parametrize(
    ("key", "made", "kind", "words"),
    [
        ("fd_glyph", figure(47.0, 12.5, wide=2), "bad", "not distributed like real ones: FD-glyph 47.0, and 12.5"),
        ("fd_glyph", figure(13, 12.5, wide=1), "good", "distributed like real ones"),
        ("fd_glyph", figure(14, 12.5, wide=1), "fair", "nearly like real ones"),
        ("fd_glyph", figure(9, 12.5, wide=1), "fair", "no merit"),
        ("mmd_glyph", figure(27, 1.5, wide=2), "bad", "does not lie where real ones lie"),
        ("mmd_glyph", figure(-0.1, 0.1, wide=0.3), "good", "lies where real ones lie"),
        (
            "legibility",
            figure(0.71, 0.95, wide=0.04),
            "bad",
            "71% of the drawings pass as characters where 95% of real",
        ),
        ("legibility", figure(0.94, 0.95, wide=0.02), "good", "94% of the drawings pass"),
        ("legibility", figure(0.99, 0.95, wide=0.005), "good", "more would be no merit"),
        ("legibility", figure(0.88, 0.95, wide=0.02), "fair", "nearly as many"),
        ("copies", figure(0.0, 0.048), "good", "No drawing is a copy."),
        ("copies", figure(0.0, 0.0), "good", "No drawing is a copy."),
        ("copies", figure(0.02, 0.048, wide=0.01), "good", "does not memorise"),
        ("copies", figure(0.06, 0.048, wide=0.02), "good", "does not memorise"),
        ("copies", figure(0.1, 0.048, wide=0.02), "bad", "memorises some"),
        ("copies", figure(0.97, 0.048, wide=0.02), "bad", "It memorises: 97%"),
        ("diversity", figure(0.07, 0.94, wide=0.02), "bad", "repeats itself"),
        ("diversity", figure(0.88, 0.94, wide=0.02), "fair", "repeats itself a little"),
        ("diversity", figure(0.98, 0.94, wide=0.01), "good", "does not repeat itself"),
        (
            "component_f1",
            figure(0.057, 0.83, 0.045, wide=0.008),
            "bad",
            "hardly follow the meaning: component F1 0.057",
        ),
        ("component_f1", figure(0.057, 0.83, 0.045, wide=0.02), "bad", "do not follow the meaning"),
        ("component_f1", figure(0.12, 0.83, 0.045, wide=0.01), "fair", "follow the meaning a little"),
        ("component_f1", figure(0.2, 0.83, 0.045, wide=0.01), "good", "follow the meaning in part"),
        ("component_f1", figure(0.5, 0.83, 0.045, wide=0.6), "untold", "too few to tell chance from real"),
        ("component_f1", figure(0.2, 0.83, wide=0.01), "bad", "worse than real ones"),
        ("radical_hit", figure(0.042, 0.78, 0.026, wide=0.02), "bad", "no more often than by chance"),
        ("radical_hit", figure(0.042, 0.78, 0.026, wide=0.01), "bad", "hardly more often than by chance"),
        ("radical_hit", figure(0.22, 0.78, 0.026, wide=0.01), "good", "right more often than by chance"),
        ("meaning_match", figure(0.49, 0.765, 0.5, wide=0.02), "bad", "no better than another's"),
        ("meaning_match", figure(0.76, 0.765, 0.5, wide=0.02), "good", "as well as real characters"),
        ("meaning_match", figure(0.97, 0.765, 0.5, wide=0.01), "fair", "learnt its data by heart"),
        ("strokes", figure(14.2, 11.9, wide=0.3), "bad", "too many strokes: 14.2 a drawing, and 11.9"),
        ("strokes", figure(8, 11.9, wide=0.3), "bad", "too few strokes"),
        ("strokes", figure(12.6, 11.9, wide=0.3), "fair", "slightly too many"),
        ("strokes", figure(12, 11.9, wide=0.3), "good", "as many strokes as real characters"),
        ("fid", {"value": 80.0, "yardstick": 30.0, "n": 516}, "bad", "worse than real ones: FID 80.0"),
        ("clip_score", figure(21, 23, 20.99, wide=0.005), "bad", "hardly better than another word"),
        ("clip_score", figure(26, 23, 20.9, wide=0.5), "fair", "picture of the thing"),
        ("kid", {"not_computed": "no weights"}, "untold", "KID was not computed: no weights."),
        ("kid", {"value": 1.0, "yardstick": None, "n": 5}, "untold", "no yardstick"),
    ],
)
def test_a_figure_is_put_into_words(key, made, kind, words):
    assert said_of(key, made)[0] == kind
    assert words in said_of(key, made)[1]


@pytest.mark.parametrize(
    ("family", "fd", "mmd", "recall", "collapsed"),
    [  # measured on 641 drawings each, real ones at 10.5, 0.1 and 0.94
        ("collapse to 50 glyphs", 126, 7.5, 0.0, True),
        ("mirror", 80, 53, 0.07, False),
        ("chimera", 18.8, 6.3, 0.5, False),
        ("stroke salad", 63, 34, 0.1, False),
        ("overlay", 66, 49, 0.1, False),
        ("blur", 116, 97, 0.0, False),
        ("real", 10.5, 0.1, 0.94, False),
    ],
)
def test_only_few_different_drawings_are_called_a_collapse(family, fd, mmd, recall, collapsed):
    made = {"fd_glyph": figure(fd, 10.5), "mmd_glyph": figure(mmd, 0.1), "diversity": figure(recall, 0.94)}
    assert any("collapse" in text for _, text in verdict(made_report(**made))["bad"]) is collapsed


def test_figures_that_lack_for_one_reason_share_a_sentence():
    said = verdict(nothing_computed("no weights."))
    assert [len(said[kind]) for kind in KINDS] == [0, 0, 0, 1]
    (_, sentence), *_ = said["untold"]
    assert all(about.title in sentence for about in FIGURES.values()) and sentence.endswith("computed: no weights.")


def test_every_figure_is_spoken_of_whatever_its_value():
    for value in (-1, 0, 0.05, 0.5, 1, 12, 1000):
        for wide in (0, 0.1, 2000):
            for shuffled in (None, 0.05, 12):
                made = {key: figure(value, 0.5, shuffled, wide) for key in FIGURES}
                said = verdict(made_report(**made))
                assert {key for texts in said.values() for key, _ in texts} == set(FIGURES)
                assert not any("{" in text for texts in said.values() for _, text in texts)


@pytest.mark.parametrize("key", [key for key, about in FIGURES.items() if about.better != "near"])
def test_better_than_real_is_no_merit(key):
    sign = 1 if FIGURES[key].better == "lower" else -1
    assert standing(key, figure(0.5 - sign * 0.2, 0.5)) == "beyond"
    assert shortfall(key, figure(0.5 - sign * 0.2, 0.5, wide=0.1)) == (0, 0, 0)
    assert shortfall(key, figure(0.5 + sign * 0.2, 0.5, wide=0.1)) == pytest.approx((0.1, 0.2, 0.3))


@pytest.mark.parametrize(
    ("values", "wide", "words", "winners"),
    [
        ([0.4, 0.7, 0.5], 0.01, "b (70%) is best.", [1]),
        ([0.4, 0.7, 0.69], 0.01, "b (70%), c (69%) are best, none of them clearly better.", [1, 2]),
        ([0.4, 0.5, 0.45], 0.1, "no model is clearly better.", []),
        ([0.96, 0.99, 0.97], 0.001, "no model is clearly better.", []),  # all as good as real ones
    ],
)
def test_models_are_told_apart_only_where_their_spreads_are_apart(values, wide, words, winners):
    reports = [nothing_computed() | {"legibility": figure(value, 0.95, wide=wide)} for value in values]
    _, sentences, best = compare(reports, "abc", "model")
    assert (sentences, best) == ({"legibility": words}, winners)


def test_figures_that_depend_on_the_number_are_compared_only_at_the_same():
    reports = [made_report(), made_report(fd_glyph=figure(5, 12.5, n=1000), mmd_glyph=figure(2.0, 1.5, n=1000))]
    _, sentences, _ = compare(reports, "ab", "model")
    assert sentences["fd_glyph"] == "does not compare: of 516 and 1,000 drawings, and it depends on their number."
    assert sentences["mmd_glyph"] == "b (2.00) is best."


def test_a_difference_without_a_spread_is_not_called_one():
    reports = [made_report(), made_report(fid={"value": 40.0, "yardstick": 30.0, "n": 516})]
    assert "may be chance" in compare(reports, "ab", "model")[1]["fid"]


def test_reports_on_different_data_are_not_compared():
    headline, sentences, best = compare([made_report(), made_report(fingerprint="other")], "ab", "model")
    assert "different data" in headline and not sentences and not best


@pytest.mark.parametrize(
    ("value", "key", "text"),
    [
        (0.71, "legibility", "71%"),
        (0.0416, "copies", "4.2%"),
        (0.9949, "legibility", "99.5%"),
        (1.0, "legibility", "100%"),
        (0.0, "copies", "0%"),
        (0.0574, "component_f1", "0.057"),
        (0.00031, "kid", "0.00031"),
        (-0.1, "mmd_glyph", "-0.100"),
        (1234.5, "fd_glyph", "1,234"),
        (12.49, None, "12.5"),
        (1000, None, "1,000"),
        (None, None, "–"),
    ],
)
def test_numbers_are_written_with_the_digits_that_count(value, key, text):
    assert number(value, key) == text
