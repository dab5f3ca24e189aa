"""The figures of meaning, on characters made up of four components, and their invariances."""

from unittest.mock import patch

import numpy as np
import pytest

from metrics import meaning
from metrics.meaning import meaning_figures

PARTS = ["一", "口", "木", "氵"]
EXACT = ("value", "yardstick", "shuffled", "n")  # and not by chance, as the spread is


def row(name, components, radical="木"):
    return {"text": name, "meanings": [name], "components": list(components), "radical": radical}


def told(*drawings):
    """What a judge that is sure says of drawings with these components."""
    return np.array([[float(part in drawing) for part in PARTS] for drawing in drawings]).reshape(-1, len(PARTS))


TRAIN = [row("pond", "氵口", "水"), row("sea", "氵", "水"), row("tree", "木"), row("line", "一", "一")]
TRAIN += [row(f"water {n}", "氵一", "水") for n in range(4)]
ROWS = [row("lake", "氵口", "水"), row("forest", "木一"), row("hall", "口木", "木")]
#: the nearest training rows of lake, forest and hall, and how much each counts
NEAR = (np.array([[0, 1], [2, 3], [2, 0]]), np.array([[0.5, 0.5], [0.75, 0.25], [0.5, 0.5]]), "hand")


def figures(drawings=None, drawn_for=(0, 1, 2), rows=ROWS, near=NEAR, fewest=1, **more):
    """meaning_figures of drawings that have the true components, or of the given ones; real images are perfect.

    So few characters that values can be computed by hand are enough, unless told otherwise.
    """
    real = told(*(each["components"] for each in rows))
    drawings = real[list(drawn_for)] if drawings is None else drawings
    with patch.object(meaning, "FEWEST", fewest):
        return meaning_figures(drawings, np.array(drawn_for, dtype=int), rows, real, TRAIN, PARTS, near, **more)


@pytest.fixture
def many():
    """60 held-out rows, their neighbours, and what a judge says of three drawings a row: everything by chance."""
    rng = np.random.default_rng(0)
    some = [rng.choice(PARTS, rng.integers(1, 4), replace=False).tolist() for _ in range(60)]
    rows = [row(f"word {n}", components, components[0]) for n, components in enumerate(some)]
    near = rng.integers(len(TRAIN), size=(60, 2)), np.full((60, 2), 0.5), "chance"
    return rows, near, rng.random((180, 4)), np.repeat(np.arange(60), 3)


def test_f1_is_averaged_over_drawings():
    f1 = figures(told("氵", "木一", "一"))["component_f1"]
    assert f1["value"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    # each drawing against the two other rows: 氵 has nothing of forest and hall, 木一 half of hall, 一 2/3 of forest
    assert f1["shuffled"] == pytest.approx((0 + 0 + 0 + 1 / 2 + 0 + 2 / 3) / 6)
    assert f1["details"]["components found in a drawing"] == pytest.approx(4 / 3)
    assert f1["details"]["components found in a real image"] == 2


def test_training_characters_stand_beside_component_f1():
    details = figures()["component_f1"]["details"]
    # pond has lake's components; tree has one of forest's two, and one of hall's two
    assert details["F1 of the training character of the nearest meaning"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    # of the eight training characters: lake 1 + 2/3 + 4 * 1/2, forest 2/3 + 2/3 + 4 * 1/2, hall 1/2 + 2/3
    expected = (11 / 3 + 10 / 3 + 7 / 6) / 24
    assert details["F1 of a random training character"] == pytest.approx(expected)


@pytest.mark.parametrize("figure, value", [("component_f1", 1), ("radical_hit", 1)])
def test_perfect_drawings_get_1(figure, value):
    computed = figures()[figure]
    assert (computed["value"], computed["yardstick"], computed["spread"]) == (value, value, [1, 1])


@pytest.mark.parametrize("figure, value", [("component_f1", 0), ("radical_hit", 0), ("meaning_match", 0.5)])
def test_empty_drawings_get_0_or_chance_and_nothing_is_undefined(figure, value):
    computed = figures(told("", "", ""))[figure]
    assert computed["value"] == computed["shuffled"] == value
    numbers = [computed["yardstick"], *computed["spread"]]
    numbers += [number for number in computed["details"].values() if isinstance(number, float)]
    assert np.isfinite(numbers).all()


def test_radical_hit_looks_for_the_radical_as_it_is_written():
    # lake's radical is 水 and its part 氵; 口 is in lake, but is not its radical
    hit = figures(told("氵", "一", "木一"))["radical_hit"]
    assert hit["value"] == pytest.approx(2 / 3)
    assert figures(told("口", "一", "木一"))["radical_hit"]["value"] == pytest.approx(1 / 3)
    # drawing 1 has no other's radical either; drawing 0 has 氵, no 木; drawing 2 has 木, which forest has, no 氵
    assert hit["shuffled"] == pytest.approx((0 + 0 + 0 + 0 + 0 + 1) / 6)
    assert hit["details"]["found in the training character of the nearest meaning"] == 1
    assert hit["details"]["found in a random training character"] == pytest.approx((6 / 8 + 1 / 8 + 1 / 8) / 3)
    # neighbours vote 水 for lake and 木 for forest, and are undecided about hall; the commonest radical is 水
    assert hit["details"]["right at the first guess from the meaning"] >= 2 / 3
    assert hit["details"]["right at the first guess by frequency"] == pytest.approx(1 / 3)


def test_of_all_other_prompts_taken_together_the_match_is_chance(many):
    rows, near, drawings, drawn_for = many
    match = figures(drawings, drawn_for, rows, near)["meaning_match"]
    mean_of_all = (match["value"] + 59 * match["shuffled"]) / 60
    assert mean_of_all == pytest.approx(0.5)


@pytest.mark.parametrize("figure", ["component_f1", "radical_hit", "meaning_match"])
def test_drawings_by_chance_are_as_good_as_shuffled_ones(many, figure):
    rows, near, drawings, drawn_for = many
    computed = figures(drawings, drawn_for, rows, near)[figure]
    assert computed["n"] == 180
    assert computed["spread"][0] < computed["shuffled"] < computed["spread"][1]


def test_the_order_of_rows_and_drawings_changes_nothing(many):
    rows, near, drawings, drawn_for = many
    rng = np.random.default_rng(1)
    of_rows, of_drawings = rng.permutation(60), rng.permutation(180)
    moved = [rows[at] for at in of_rows], (near[0][of_rows], near[1][of_rows], "chance")
    place = np.argsort(of_rows)
    before = figures(drawings, drawn_for, rows, near)
    after = figures(drawings[of_drawings], place[drawn_for[of_drawings]], *moved)
    for name, figure in before.items():
        assert [after[name][key] for key in EXACT] == pytest.approx([figure[key] for key in EXACT])


def test_each_drawing_twice_changes_no_value_and_no_spread(many):
    rows, near, drawings, drawn_for = many
    once = figures(drawings, drawn_for, rows, near)
    twice = figures(np.repeat(drawings, 2, 0), np.repeat(drawn_for, 2), rows, near)
    for name, figure in once.items():
        for key in ("value", "yardstick", "shuffled", "spread"):
            assert twice[name][key] == pytest.approx(figure[key])
        assert twice[name]["n"] == 2 * figure["n"]


def test_components_in_another_order_change_nothing(many):
    rows, near, drawings, drawn_for = many
    order = [2, 0, 3, 1]
    real = told(*(each["components"] for each in rows))
    limits = np.array([0.2, 0.4, 0.6, 0.8])
    before = meaning_figures(drawings, drawn_for, rows, real, TRAIN, PARTS, near, limits)
    names = [PARTS[at] for at in order]
    after = meaning_figures(drawings[:, order], drawn_for, rows, real[:, order], TRAIN, names, near, limits[order])
    for name, figure in before.items():
        assert after[name]["value"] == pytest.approx(figure["value"])
        assert after[name]["shuffled"] == pytest.approx(figure["shuffled"])


def test_a_component_is_found_above_its_own_threshold():
    drawings = told("氵口", "木一", "口木") * 0.4
    assert figures(drawings, thresholds=0.5)["component_f1"]["value"] == 0
    assert figures(drawings, thresholds=0.4)["component_f1"]["value"] == 0
    assert figures(drawings, thresholds=0.3)["component_f1"]["value"] == 1
    # 木 is not found: forest keeps 一 and hall 口
    limits = np.array([0.3, 0.3, 0.5, 0.3])
    assert figures(drawings, thresholds=limits)["component_f1"]["value"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)


def test_meanings_of_a_training_character_are_left_out_and_counted():
    rows = [*ROWS[:2], row("POND", "口木")]
    f1 = figures(told("氵口", "木一", "", ""), (0, 1, 2, 2), rows)["component_f1"]
    assert (f1["value"], f1["n"]) == (1, 2)
    assert f1["details"]["drawings left out"] == {"for meanings that a training character has": 2}


@pytest.mark.parametrize("components", ["", "齉"])
def test_a_row_without_known_components_is_left_out_and_counted(components):
    computed = figures(told("氵口", "木一", "口"), rows=[*ROWS[:2], row("nose", components, "鼻")])
    why = {"for characters without a component that the judge knows": 1}
    for figure in computed.values():
        assert figure["n"] == 2
        assert figure["details"]["drawings left out"] == why


@pytest.mark.parametrize("radical", ["鼻", None, ""])
def test_only_radical_hit_leaves_out_a_radical_that_the_judge_does_not_know(radical):
    computed = figures(rows=[*ROWS[:2], row("nose", "口木", radical)])
    assert {name: figure["n"] for name, figure in computed.items()} == {
        "component_f1": 3,
        "radical_hit": 2,
        "meaning_match": 3,
    }
    assert computed["radical_hit"]["value"] == 1


def test_only_meaning_match_leaves_out_copies():
    # hall's drawing is as unlike its prompt as can be, and a copy
    computed = figures(told("氵口", "木一", "氵一"), copies=[False, False, True])
    assert computed["meaning_match"]["value"] == 1
    assert computed["meaning_match"]["details"]["drawings left out"] == {"that are copies": 1}
    assert {name: figure["n"] for name, figure in computed.items()} == {
        "component_f1": 3,
        "radical_hit": 3,
        "meaning_match": 2,
    }


def test_a_memoriser_beats_real_images_at_meaning_match_and_the_note_says_what_it_gets(many):
    rows, near, drawings, drawn_for = many
    match = figures(drawings, drawn_for, rows, near)["meaning_match"]
    memoriser = match["details"]["drawing the training character of the nearest meaning"]
    assert memoriser > match["yardstick"]
    assert "no merit" in match["note"] and f"{memoriser:.2f}" in match["note"]


def test_yardstick_and_details_count_a_row_as_often_as_it_was_drawn_and_none_that_is_left_out():
    rows, drawn_for = [*ROWS[:2], row("pond", "口木一")], [0, 0, 0, 1, 2]
    drawings, real = told("氵", "氵", "氵", "一", ""), told("氵口", "", "口木一")
    with patch.object(meaning, "FEWEST", 1):
        computed = meaning_figures(drawings, drawn_for, rows, real, TRAIN, PARTS, NEAR)
    assert computed["component_f1"]["yardstick"] == computed["radical_hit"]["yardstick"] == pytest.approx(3 / 4)
    assert computed["component_f1"]["details"]["components found in a real image"] == pytest.approx((3 * 2 + 0) / 4)


def test_a_drawing_that_is_left_out_for_its_meaning_is_not_counted_as_a_copy_too():
    rows, near = [*ROWS, row("pond", "口")], (*(each[[0, 1, 2, 2]] for each in NEAR[:2]), "hand")
    match = figures(None, range(4), rows, near, copies=[True, False, False, True])["meaning_match"]
    assert match["n"] == 2
    counts = {"for meanings that a training character has": 1, "that are copies": 1}
    assert match["details"]["drawings left out"] == counts


def test_cases_are_the_best_and_worst_drawings_by_their_place_among_all_drawings():
    # the first drawing does not count, and the places of the others stay
    rows = [row("sea", "木"), *ROWS]
    near = (*(np.concatenate([each[:1], each]) for each in NEAR[:2]), "hand")
    computed = figures(told("木", "一", "木一", "口"), (0, 1, 2, 3), rows, near)
    cases = computed["component_f1"]["cases"]
    assert [case["index"] for case in cases["best"]] == [2, 3, 1]
    assert [case["index"] for case in cases["worst"]] == [1, 3, 2]
    assert [case["score"] for case in cases["best"]] == pytest.approx([1, 2 / 3, 0])
    # radical hit's cases go by how probable the radical is
    drawings = told("木", "氵口", "木一", "口木") * np.array([[1], [0.6], [0.9], [0.2]])
    cases = figures(drawings, (0, 1, 2, 3), rows, near)["radical_hit"]["cases"]["best"]
    assert [case["index"] for case in cases] == [2, 1, 3]


@pytest.mark.parametrize("count", [0, 1, 19])
def test_a_figure_of_fewer_than_20_characters_is_not_computed(count):
    rows = [row(f"word {n}", "木") for n in range(count)] + [row("pond", "口")]
    near = (np.zeros((count + 1, 1), dtype=int), np.ones((count + 1, 1)), "hand")
    # many drawings of few characters are few
    for figure in figures(
        drawn_for=[*range(count), *range(count), *[count] * 30], rows=rows, near=near, fewest=meaning.FEWEST
    ).values():
        assert list(figure) == ["not_computed"]
        assert f"20 held-out characters are needed, and {count} were drawn" in figure["not_computed"]
        assert "30 for meanings that a training character has" in figure["not_computed"]


def test_20_characters_are_enough():
    rows = [row(f"word {n}", "木") for n in range(20)]
    near = (np.zeros((20, 1), dtype=int), np.ones((20, 1)), "hand")
    assert figures(drawn_for=range(20), rows=rows, near=near, fewest=meaning.FEWEST)["component_f1"]["value"] == 1


@pytest.mark.parametrize("rows", [ROWS, []])
def test_no_drawings_at_all_are_not_computed(rows):
    near = (*(each[: len(rows)] for each in NEAR[:2]), "hand")
    for figure in figures(told(), (), rows, near, meaning.FEWEST).values():
        assert figure == {"not_computed": "20 held-out characters are needed, and 0 were drawn"}


@pytest.mark.parametrize(
    "change, what",
    [
        ({"drawn_for": (0, 1)}, "drawings"),
        ({"copies": [True]}, "drawings"),
        ({"drawings": told("口", "口", "口")[:, :3]}, "components"),
        ({"near": (NEAR[0][:2], NEAR[1], "hand")}, "held-out rows"),
        ({"drawn_for": (0, 1, 3)}, "drawn_for"),
        ({"drawn_for": (0, 1, -1)}, "drawn_for"),
    ],
)
def test_sizes_that_do_not_fit_are_named(change, what):
    with pytest.raises(ValueError, match=f"meaning figures: .*{what}"):
        figures(**({"drawings": told("口", "口", "口")} | change))
