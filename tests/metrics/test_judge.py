"""A judge sees more than chance does, is kept whole, and is never used for other data."""

import numpy as np
import pytest
from made_dataset import NAMES, save_dataset

from metrics import components
from metrics.components import is_aside, judge_of, make_judge
from metrics.glyphs import SIDE, fingerprint, load_glyphs, read_rows
from metrics.judge import FILE, Judge, build, build_critic, open_judge, save_judge

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, one_thread):
    """200 pictures of 25 components, with their judge."""
    folder = tmp_path_factory.mktemp("judge") / "data"
    save_dataset(folder, [{"components": ...}] * 200)
    save_dataset(folder, [{"components": ...}] * 30, "test")
    make_judge(folder, max_train_steps=40)
    return folder


@pytest.fixture(scope="module")
def judge(dataset):
    judge, why_not = open_judge(dataset / FILE, fingerprint(dataset))
    assert why_not == ""
    return judge


def test_a_judge_is_better_than_chance_on_what_it_never_saw(judge):
    assert judge.kind == "components" and judge.names == NAMES
    told = judge.info["held_out_figures"]
    assert told["map"] > 3 * told["chance"] and told["micro"] > 3 * told["chance"]


def test_how_the_judge_was_made_is_kept_with_it(judge, dataset):
    aside = sum(map(is_aside, read_rows(dataset / "train")))
    assert 10 < aside < 50
    assert judge.info["learned_from"] == 200 - aside and judge.info["held_out"] == 30 + aside
    assert judge.info["steps"] == 40 and judge.info["data"] == fingerprint(dataset)
    assert judge.critic is None  # pictures of no characters


def test_a_judge_that_was_kept_gives_the_answers_that_it_gave(judge, dataset, tmp_path):
    glyphs = load_glyphs(sorted((dataset / "test").glob("*.png")))
    critic = build_critic(judge.look(glyphs[:1]).maps.shape[1]).eval()
    save_judge(judge._replace(critic=critic), tmp_path / "again")
    again, why_not = open_judge(tmp_path / "again", judge.info["data"])
    assert why_not == "" and (again.kind, again.names, again.info) == (judge.kind, judge.names, judge.info)
    for one, other in zip(judge.look(glyphs), again.look(glyphs), strict=True):
        assert np.array_equal(one, other)
    assert [file.name for file in tmp_path.iterdir()] == ["again"]
    told, before = again.critic.state_dict(), critic.state_dict()
    assert all((told[name] == before[name]).all() for name in before)


def test_a_judge_can_be_read_by_everybody_who_can_read_the_data(dataset):
    assert (dataset / FILE).stat().st_mode == (dataset / "train" / "metadata.jsonl").stat().st_mode


def test_a_look_has_a_row_for_each_glyph_whatever_is_drawn(judge):
    glyphs = np.concatenate([np.zeros((1, SIDE, SIDE)), np.ones((1, SIDE, SIDE)), np.eye(SIDE)[None]]).astype(
        np.float32
    )
    look = judge.look(glyphs)
    assert [part.shape for part in look] == [(3, 25), (3, 256), (3, 2304)]
    assert all(part.dtype == np.float32 and np.isfinite(part).all() for part in look)
    assert look.probabilities.min() >= 0 and look.probabilities.max() <= 1
    assert np.linalg.norm(look.maps, axis=1) == pytest.approx(np.ones(3), abs=1e-3)
    assert [part.shape for part in judge.look(glyphs[:0])] == [(0, 25), (0, 256), (0, 2304)]


def test_what_is_seen_in_a_glyph_does_not_depend_on_the_others(judge, monkeypatch):
    glyphs = np.random.default_rng(0).random((7, SIDE, SIDE), dtype=np.float32)
    whole = judge.look(glyphs)
    monkeypatch.setattr("metrics.judge.BATCH", 3)
    for one, other in zip(whole, judge.look(glyphs), strict=True):
        assert one == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize("kind", ["classes", "images"])
def test_where_one_of_all_is_told_the_answers_add_up_to_1(kind):
    look = Judge(build(5).eval(), kind, list("abcde"), {}).look(np.zeros((4, SIDE, SIDE), np.float32))
    assert look.probabilities.sum(1) == pytest.approx(np.ones(4), abs=1e-5)


def truncated(file):
    file.write_bytes(file.read_bytes()[:-100])


def emptied(file):
    file.write_bytes(b"")


def gone(file):
    file.unlink()


def of_others(file):
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(3)}, file)


def of_others_with_a_story(file):
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(3)}, file, metadata={"format": "pt"})


def changed(file, change):
    """Its tensors made others by `change`, its story as it was."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(file, "pt") as stored:
        story, tensors = stored.metadata(), {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    change(tensors)
    save_file(tensors, file, metadata=story)


def without_a_tensor(file):
    changed(file, lambda tensors: tensors.pop("net.0.1.weight"))


def of_another_shape(file):
    changed(file, lambda tensors: tensors.update({"net.0.1.weight": tensors["net.0.1.weight"][:, :1].clone()}))


def without_a_version(file):
    from safetensors.numpy import save_file

    save_file({"x": np.zeros(3)}, file, metadata={"judge": "{}"})


def older(file):
    judge, _ = open_judge(file, "data")
    save_judge(judge._replace(info=judge.info | {"version": 0}), file)


def of_other_data(file):
    judge, _ = open_judge(file, "data")
    save_judge(judge._replace(info=judge.info | {"data": "else"}), file)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (truncated, "cannot be read"),
        (emptied, "cannot be read"),
        (gone, "there is none yet"),
        (of_others, "cannot be read"),
        (of_others_with_a_story, "cannot be read"),
        (without_a_tensor, "cannot be read"),
        (of_another_shape, "cannot be read"),
        (without_a_version, "cannot be read"),
        (older, "of another version"),
        (of_other_data, "made of other data"),
    ],
)
def test_a_judge_that_cannot_be_used_is_not_and_it_is_said_why(judge, tmp_path, change, why):
    file = tmp_path / FILE
    save_judge(judge._replace(info=judge.info | {"data": "data"}), file)
    assert open_judge(file, "data")[1] == ""
    change(file)
    told, reason = open_judge(file, "data")
    assert told is None and why in reason and "\n" not in reason


def test_the_judge_that_is_there_is_used_and_one_of_other_data_is_made_anew(dataset, tmp_path, monkeypatch, capsys):
    made = []
    monkeypatch.setattr(components, "make_judge", lambda *args: made.append(args) or "new")
    assert judge_of(dataset).names == NAMES and not made and capsys.readouterr().err == ""
    (dataset / "train" / "new.png").touch()
    try:
        assert judge_of(dataset) == "new" and made == [(dataset, dataset / FILE)]
    finally:
        (dataset / "train" / "new.png").unlink()
    assert "made of other data" in capsys.readouterr().err


@pytest.mark.parametrize("change", [of_others, of_other_data, emptied, None])
def test_a_file_that_somebody_named_is_never_written_over(judge, tmp_path, monkeypatch, change):
    made = []
    monkeypatch.setattr(components, "make_judge", lambda *args: made.append(args) or "new")
    monkeypatch.setattr(components, "fingerprint", lambda dataset: "data")
    file = tmp_path / "mine"
    if change is None:  # where there is none, one is made
        assert judge_of(tmp_path, file) == "new" and made == [(tmp_path, file)]
        return
    save_judge(judge._replace(info=judge.info | {"data": "data"}), file)
    change(file)
    with pytest.raises(ValueError, match=r"mine: the one there .*; name another file, or remove it"):
        judge_of(tmp_path, str(file))
    assert not made
