"""trainers/checkpoints.py: nothing half-made is ever taken for whole."""

import pytest

from trainers.checkpoints import find_checkpoint, save_whole


def write(folder, text="new"):
    (folder / "weights").write_text(text)


def test_a_save_that_fails_leaves_what_was_there(tmp_path):
    save_whole(lambda folder: write(folder, "old"), tmp_path / "unet")

    def fails(folder):
        write(folder)
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"):
        save_whole(fails, tmp_path / "unet")
    assert (tmp_path / "unet" / "weights").read_text() == "old"


def test_the_name_appears_only_when_everything_is_written(tmp_path):
    def save(folder):
        write(folder)
        assert not (tmp_path / "unet").exists()

    save_whole(save, tmp_path / "unet")
    assert (tmp_path / "unet" / "weights").read_text() == "new"


def test_what_an_earlier_kill_left_half_written_is_not_mixed_in(tmp_path):
    (tmp_path / "unet.tmp").mkdir()
    (tmp_path / "unet.tmp" / "left over").touch()
    save_whole(write, tmp_path / "unet")
    assert [file.name for file in (tmp_path / "unet").iterdir()] == ["weights"]


@pytest.mark.parametrize(
    "asked, step",
    [(None, 0), ("latest", 100), ("checkpoint-9", 9), ("{run}/checkpoint-9", 9), ("{run}/checkpoint-9/", 9)],
)
def test_a_checkpoint_is_found_by_latest_name_or_path(tmp_path, asked, step):
    for name in ("checkpoint-9", "checkpoint-100", "checkpoint-200.tmp", "checkpoint-x", "logs"):
        (tmp_path / name).mkdir()
    found, folder = find_checkpoint(tmp_path, asked and asked.format(run=tmp_path))
    assert (found, folder and folder.name) == (step, f"checkpoint-{step}" if step else None)


def test_latest_of_a_run_without_checkpoints_starts_at_0(tmp_path):
    assert find_checkpoint(tmp_path, "latest") == (0, None)
    assert find_checkpoint(tmp_path / "not there", "latest") == (0, None)


@pytest.mark.parametrize("asked", ["checkpoint-7", "checkpoint-200.tmp", "logs", "nowhere/checkpoint-1"])
def test_a_checkpoint_that_is_not_there_is_one_line_that_names_what_is(tmp_path, asked):
    for name in ("checkpoint-9", "checkpoint-200.tmp", "logs"):
        (tmp_path / name).mkdir()
    with pytest.raises(ValueError, match="there: checkpoint-9"):
        find_checkpoint(tmp_path, asked)
