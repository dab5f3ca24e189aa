"""What a dataset has to teach is what its judge learns; what is wrong with it is one clear line."""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from made_dataset import save_dataset

from metrics import components
from metrics.components import held_out_figures, is_aside, labels, make_judge, multi_hot
from metrics.glyphs import SIDE, fingerprint, read_rows
from metrics.judge import FILE, Judge, build, open_judge

pytestmark = pytest.mark.usefixtures("one_thread")


def rows_of(key, values):
    return [{"file_name": f"{number}.png", key: value} for number, value in enumerate(values)]


COMMON = [[chr(97 + number % 20), "rare" if number < 14 else "water"] for number in range(300)]


@pytest.mark.parametrize(
    ("rows", "kind", "names"),
    {
        "components in 15 characters": (
            rows_of("components", COMMON),
            "components",
            sorted([*map(chr, range(97, 117)), "water"]),
        ),
        "in 14, and nothing else": (rows_of("components", COMMON[:280]), "images", [f"{n}.png" for n in range(280)]),
        "twice in one is once": (rows_of("components", [[c, c] for c, _ in COMMON[:280]]), "images", None),
        "two classes": (rows_of("class", ["cat", "dog"] * 15), "classes", ["cat", "dog"]),
        "numbered classes": (rows_of("class", [0, 1] * 15), "classes", ["0", "1"]),
        "a rare class": (rows_of("class", ["cat", "dog"] * 15 + ["eel"] * 14), "classes", ["cat", "dog"]),
        "a single class": (rows_of("class", ["cat"] * 30), "images", None),
        "classes that are not told": (rows_of("class", [None] * 30), "images", None),
        "components that are not told": (rows_of("components", [None] * 30), "images", None),
        "nothing told": (rows_of("text", ["a"] * 3), "images", ["0.png", "1.png", "2.png"]),
        "no rows": ([], "images", []),
    }.values(),
)
def test_a_judge_tells_components_or_classes_or_else_images(rows, kind, names):
    told = labels(rows)
    assert told[0] == kind
    if names is not None:
        assert told[1] == names


def test_components_come_before_classes():
    rows = [row | {"class": "cat" if number % 2 else "dog"} for number, row in enumerate(rows_of("components", COMMON))]
    assert labels(rows)[0] == "components"
    assert labels(rows[:100])[0] == "classes"


@pytest.mark.parametrize(
    ("rows", "kind", "names", "hot"),
    [
        (
            rows_of("components", [["b"], ["a", "c", "b"], [], None, ["z"]]),
            "components",
            ["a", "b"],
            [[0, 1], [1, 1], [0, 0], [0, 0], [0, 0]],
        ),
        (rows_of("class", ["dog", 1, None, "eel"]), "classes", ["1", "dog"], [[0, 1], [1, 0], [0, 0], [0, 0]]),
        (rows_of("text", "abc"), "images", ["1.png", "0.png"], [[0, 1], [1, 0], [0, 0]]),
        ([], "classes", ["1", "dog"], np.zeros((0, 2))),
    ],
)
def test_each_row_has_what_is_told_of_it(rows, kind, names, hot):
    told = multi_hot(rows, kind, names)
    assert told.dtype == np.float32
    assert np.array_equal(told, hot)


def test_one_picture_in_eight_is_kept_aside_wherever_the_data_lie():
    names = [f"{number:05x}.png" for number in range(0x4E00, 0x5E00)]
    aside = [is_aside({"file_name": name}) for name in names]
    assert np.mean(aside) == pytest.approx(1 / 8, abs=0.02)
    assert aside == [is_aside({"file_name": name, "file": Path("/elsewhere", name), "text": "x"}) for name in names]


def test_a_dataset_of_classes_gets_a_judge_of_its_classes(tmp_path):
    classes = ["cat", "dog"] * 16 + ["eel"] * 8
    data = save_dataset(tmp_path / "data", [{"class": name} for name in classes])
    judge = make_judge(data, max_train_steps=1)
    assert (judge.kind, judge.names) == ("classes", ["cat", "dog"])
    assert 0 <= judge.info["held_out_figures"]["accuracy"] <= 1


def test_a_dataset_of_pictures_and_words_gets_a_judge_that_tells_each_from_all_others(tmp_path):
    data = save_dataset(tmp_path / "data", [{}] * 20)
    judge = make_judge(data, tmp_path / "elsewhere", max_train_steps=1)
    assert judge.kind == "images" and len(judge.names) == judge.info["learned_from"]
    assert judge.info["held_out_figures"] == {}
    assert open_judge(tmp_path / "elsewhere", fingerprint(data))[1] == "" and not (data / FILE).exists()


def test_a_picture_of_a_class_that_is_too_rare_teaches_nothing():
    glyphs = np.random.default_rng(0).integers(0, 255, (8, 2 * SIDE, 2 * SIDE), dtype=np.uint8)
    net = components.fit(glyphs, np.zeros((8, 3), np.float32), "classes", 8)
    told = Judge(net, "classes", list("abc"), {}).look(np.float32(glyphs[:, ::2, ::2] / 255)).probabilities
    rarely = components.fit(glyphs, np.eye(3, dtype=np.float32)[[0] * 8], "classes", 8)
    taught = Judge(rarely, "classes", list("abc"), {}).look(np.float32(glyphs[:, ::2, ::2] / 255)).probabilities
    assert taught[:, 0].mean() > told[:, 0].mean() + 0.01


@pytest.mark.parametrize("kind", ["components", "classes", "images"])
def test_where_nothing_known_is_held_out_there_are_no_held_out_figures(kind):
    judge = Judge(build(3).eval(), kind, list("abc"), {})
    glyphs = np.zeros((4, SIDE, SIDE), np.float32)
    assert held_out_figures(judge, glyphs[:0], np.zeros((0, 3), np.float32)) == {}
    assert held_out_figures(judge, glyphs, np.zeros((4, 3), np.float32)) == {}
    assert (held_out_figures(judge, glyphs, np.eye(4, 3, dtype=np.float32)) == {}) == (kind == "images")


def test_right_answers_are_counted_of_pictures_whose_class_is_known():
    class Told(Judge):
        def look(self, glyphs):
            return Judge.look(self, glyphs)._replace(probabilities=np.float32([[0.9, 0.1]] * len(glyphs)))

    targets = np.float32([[1, 0], [0, 1], [0, 0], [0, 0]])
    glyphs = np.zeros((4, SIDE, SIDE), np.float32)
    assert held_out_figures(Told(build(2).eval(), "classes", list("ab"), {}), glyphs, targets) == {"accuracy": 0.5}


@pytest.mark.parametrize("few", [0, 1, 15])
def test_fewer_than_16_pictures_are_refused(tmp_path, few):
    data = save_dataset(tmp_path / "data", [{}] * few)
    with pytest.raises(ValueError, match=f"has {few} pictures: a judge needs 16 at least"):
        make_judge(data)
    assert not (data / FILE).exists()


def said(monkeypatch, *argv):
    """What the command ends with."""
    monkeypatch.setattr(sys, "argv", ["metrics.components", *map(str, argv)])
    with pytest.raises(SystemExit) as ended:
        components.main()
    return ended.value.code  # a text is printed, and the status is 1


def test_a_folder_that_is_not_there_is_one_clear_line(monkeypatch, tmp_path):
    line = said(monkeypatch, "--dataset", tmp_path / "nowhere")
    assert line == f"metrics.components: {tmp_path}/nowhere/train has 0 pictures: a judge needs 16 at least"


def test_a_picture_that_is_broken_is_named_in_one_line(monkeypatch, tmp_path):
    data = save_dataset(tmp_path / "data", [{}] * 20)
    (data / "train" / "004.png").write_bytes(b"no picture")
    line = said(monkeypatch, "--dataset", data)
    assert "004.png is not a whole picture" in line and "\n" not in line


def test_the_folder_of_the_output_is_made_or_refused_before_the_training(monkeypatch, tmp_path):
    data = save_dataset(tmp_path / "data", [{}] * 20)
    make_judge(data, tmp_path / "new" / "er" / "judge", max_train_steps=1)
    assert [file.name for file in (tmp_path / "new" / "er").iterdir()] == ["judge"]
    (tmp_path / "file").touch()
    monkeypatch.setattr(components, "fit", None)  # whoever trains fails
    line = said(monkeypatch, "--dataset", data, "--output", tmp_path / "file" / "judge")
    assert str(tmp_path / "file") in line and "\n" not in line


@pytest.mark.parametrize("name", ["x" * 300, "folder"])
def test_a_file_that_cannot_be_written_is_refused_before_the_training(monkeypatch, tmp_path, name):
    data = save_dataset(tmp_path / "data", [{}] * 20)
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(components, "fit", None)  # whoever trains fails
    line = said(monkeypatch, "--dataset", data, "--output", tmp_path / name)
    assert "cannot be written" in line and "--judge" in line and "\n" not in line
    assert not list((tmp_path / "folder").iterdir())


def test_a_training_that_is_stopped_keeps_nothing(monkeypatch, tmp_path):
    def stopped(*args):
        raise KeyboardInterrupt

    data = save_dataset(tmp_path / "data", [{}] * 20)
    monkeypatch.setattr(components, "fit", stopped)
    assert said(monkeypatch, "--dataset", data) == "metrics.components: stopped; nothing was kept"
    assert [file.name for file in data.iterdir()] == ["train"]


def test_the_command_says_what_was_made_and_how_good_it_is(monkeypatch, tmp_path, capsys):
    data = save_dataset(tmp_path / "data", [{}] * 20)
    monkeypatch.setattr(sys, "argv", ["metrics.components", "--dataset", str(data), "--max_train_steps", "1"])
    components.main()
    out = capsys.readouterr().out
    count = Counter(map(is_aside, read_rows(data / "train")))
    assert f"{data / FILE}: {count[False]} images" in out and f"on {count[True]} held out:" in out
