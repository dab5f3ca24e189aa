"""A checkpoint that was cut short is never taken for whole. The one that is cut here is accelerate's own."""

import shutil

import pytest

from launch.resume import damage, newest_whole_checkpoint


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A checkpoint as accelerate writes it."""
    torch = pytest.importorskip("torch")
    from accelerate import Accelerator

    model = torch.nn.Linear(8, 8)
    optimizer = torch.optim.AdamW(model.parameters())
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    accelerator = Accelerator(cpu=True)
    model, optimizer, scheduler = accelerator.prepare(model, optimizer, scheduler)
    model(torch.ones(1, 8)).sum().backward()
    optimizer.step()
    folder = tmp_path_factory.mktemp("saved") / "checkpoint-1"
    accelerator.save_state(str(folder))
    return folder


@pytest.fixture
def checkpoint(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "run" / "checkpoint-1")


def test_what_accelerate_saves_is_whole(checkpoint):
    assert {path.name for path in checkpoint.iterdir()} == {
        "model.safetensors",
        "optimizer.bin",
        "scheduler.bin",
        "random_states_0.pkl",
    }
    assert damage(checkpoint) == ""


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.bin", "scheduler.bin", "random_states_0.pkl"])
@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 100, -200, -1])
def test_a_file_cut_anywhere_is_seen_and_named(checkpoint, name, kept):
    whole = (checkpoint / name).read_bytes()
    (checkpoint / name).write_bytes(whole[:kept])
    assert damage(checkpoint).startswith(name)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.bin"])
def test_a_file_whose_blocks_never_reached_the_disk_is_seen(checkpoint, name):
    """What a power cut leaves: the right length, and zeros."""
    (checkpoint / name).write_bytes(bytes((checkpoint / name).stat().st_size))
    assert damage(checkpoint).startswith(name)


def test_a_file_below_a_folder_is_looked_at_too(checkpoint):
    (checkpoint / "unet").mkdir()
    (checkpoint / "model.safetensors").rename(checkpoint / "unet" / "model.safetensors")
    assert damage(checkpoint) == ""
    (checkpoint / "unet" / "model.safetensors").write_bytes(b"12345678")
    assert damage(checkpoint).startswith("unet/model.safetensors")


def test_a_checkpoint_without_its_last_file_is_not_whole(checkpoint):
    (checkpoint / "random_states_0.pkl").unlink()
    assert damage(checkpoint) == "random_states_0.pkl is missing"


def test_the_newest_whole_one_is_taken_and_what_is_passed_over_is_named(checkpoint):
    run = checkpoint.parent
    for step in (2, 9, 10, 100):
        shutil.copytree(checkpoint, run / f"checkpoint-{step}")
    (run / "checkpoint-100" / "optimizer.bin").write_bytes(b"")
    (run / "checkpoint-2" / "optimizer.bin").write_bytes(b"")  # older than the one that is taken: of no concern
    (run / "checkpoint-101.tmp").mkdir()
    (run / "checkpoint-best").mkdir()
    name, passed_over = newest_whole_checkpoint(run)
    assert name == "checkpoint-10"  # 10 comes after 9
    assert passed_over == [
        f"{run}/checkpoint-101.tmp: it was never finished",
        f"{run}/checkpoint-100: optimizer.bin is cut short",
    ]


@pytest.mark.parametrize("run", ["missing", "empty"])
def test_a_run_without_checkpoints_has_none(tmp_path, run):
    (tmp_path / "empty").mkdir()
    assert newest_whole_checkpoint(tmp_path / run) == ("", [])
