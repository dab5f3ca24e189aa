"""A run remembers what it was trained with, and is never mixed with another."""

import json
import os
import subprocess
import sys

import pytest

from launch import record
from launch.flags import Setting, read_command_line, read_recipe


def settings(*argv):
    return read_command_line(list(argv))


@pytest.mark.parametrize(
    "value",
    [
        *(True, "5", "1e-4", "010", "no", "true", "null", "", " a ", "a: b", "# a", "-", "...", "x...", "2026-01-02"),
        *("漢字", 'it\'s "x"', "two\nlines", "\t", "a" * 500, ["a", "no"], ["1", "2"], ["a, b", "[c]"]),
    ],
)
def test_the_recipe_that_is_kept_reads_back_as_it_was(tmp_path, value):
    path = tmp_path / "recipe.yaml"
    path.write_text(record.to_yaml({"key": Setting(value, ""), "next": Setting("1", "")}), encoding="utf-8")
    assert {key: kept for key, (kept, _) in read_recipe(path).items()} == {"key": value, "next": "1"}


def test_numbers_are_kept_as_they_were_written():
    assert record.to_yaml(settings("--a=1e-4", "--b=500", "--c", "64", "0.10")) == "a: 1e-4\nb: 500\nc: [64, 0.10]\n"


@pytest.mark.parametrize(
    ("old", "new", "differing"),
    [
        (["--lr=1e-4"], ["--lr=0.0001"], []),
        (["--lr=1e-4"], ["--lr=1e-5"], ["lr"]),
        (["--a", "--b=1"], ["--b=1"], ["a"]),
        ([], ["--a"], ["a"]),
        (["--a=x"], ["--a=X"], ["a"]),
        (["--a", "1", "2"], ["--a", "2", "1"], ["a"]),
        (["--a=1", "--b=1"], ["--b=2", "--a=2"], ["a", "b"]),
        (["--seed=0"], [], ["seed"]),
        (["--max_train_steps=5", "--num_train_epochs=1"], ["--max_train_steps=6"], []),
        (["--checkpointing_steps=5", "--checkpoints_total_limit=1"], [], []),
        (["--validation_prompts", "a", "b", "--validation_steps=5"], ["--report_to=none"], []),
        (["--logging_dir=a", "--tracker_project_name=b"], ["--resume_from_checkpoint=latest"], []),
    ],
)
def test_what_changes_the_training_is_told_from_what_does_not(old, new, differing):
    assert record.differences(settings(*old), settings(*new)) == differing


@pytest.mark.parametrize(
    ("old", "new", "longer"),
    [
        (["--max_train_steps=5"], ["--max_train_steps=5"], False),
        (["--max_train_steps=5"], ["--max_train_steps=10"], True),  # as numbers, not as texts
        (["--max_train_steps=10"], ["--max_train_steps=9"], False),
        (["--num_train_epochs=1"], ["--num_train_epochs=2"], True),
        (["--num_train_epochs=1"], ["--num_train_epochs=1", "--max_train_steps=9"], True),
        ([], [], False),
    ],
)
def test_only_a_longer_training_has_something_left_to_do(old, new, longer):
    assert record.is_longer(settings(*old), settings(*new)) is longer


def test_a_folder_that_no_launch_recorded_is_not_written_into(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(ValueError, match="choose another --output_dir"):
        record.read_run(tmp_path)


def test_a_launch_that_was_killed_while_it_wrote_its_record_is_no_obstacle(tmp_path):
    for name in (".lock", "recipe.yaml", "run.json.tmp"):
        (tmp_path / name).touch()
    assert record.read_run(tmp_path) == ({}, {})


@pytest.mark.parametrize("text", ["", "{", "\xff"])
def test_a_damaged_record_is_one_line(tmp_path, text):
    (tmp_path / "run.json").write_bytes(text.encode("latin-1"))
    (tmp_path / "recipe.yaml").write_text("a: b")
    with pytest.raises(ValueError, match="cannot be read"):
        record.read_run(tmp_path)


def test_a_full_disk_leaves_the_old_record(tmp_path, monkeypatch):
    (tmp_path / "run.json").write_text("old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        record.write_atomically(tmp_path / "run.json", "new")
    assert (tmp_path / "run.json").read_text() == "old"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--train_data_dir=data/kanji/train"], ("kanji", "f1", "kanji: {meanings}")),
        (["--train_data_dir=elsewhere/mine"], ("mine", None, "{meanings}")),
        (["--dataset_name=user/kanji"], ("user/kanji", None, "{meanings}")),
    ],
)
def test_the_data_is_named_with_its_fingerprint_and_caption_template(tmp_path, monkeypatch, argv, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "kanji").mkdir(parents=True)
    build = {"fingerprint": "f1", "caption_template": "kanji: {meanings}"}
    (tmp_path / "data" / "kanji" / "build.json").write_text(json.dumps(build))
    assert tuple(record.data_of(settings(*argv)).values()) == expected


def test_a_published_dataset_tells_fingerprint_and_caption_template_by_its_card(tmp_path, root):
    command = [sys.executable, "-m", "dataset_builder", "starter", "--output", tmp_path / "mine", "--resolution", "32"]
    command += ["--caption_style", "template", "--caption_template", "the kanji of {meanings}", "--export", "parquet"]
    subprocess.run([*command, "--max_samples", "2"], cwd=root, check=True, capture_output=True)
    of_folder = record.data_of(settings(f"--train_data_dir={tmp_path}/mine/train"))
    of_card = record.data_of(settings(f"--dataset_name={tmp_path}/mine-parquet"))
    assert of_card == of_folder | {"name": f"{tmp_path}/mine-parquet"}
    assert of_card["caption_template"] == "the kanji of {meanings}"


def test_a_process_that_outlived_its_launch_is_named_and_not_trained_beside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-c", "input()", "train.py", "--output_dir=runs/x"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as orphan:
        try:
            record.refuse_company("train.py", "runs/y")
            record.refuse_company("other.py", "runs/x")
            with pytest.raises(ValueError, match=f"process {orphan.pid}: wait for it or kill it"):
                record.refuse_company("train.py", "runs/x")
            monkeypatch.chdir("/")
            record.refuse_company("train.py", "runs/x")
        finally:
            orphan.kill()


def test_a_damaged_build_is_named(tmp_path):
    (tmp_path / "build.json").write_text("{")
    with pytest.raises(ValueError, match=r"build\.json cannot be read"):
        record.data_of(settings(f"--train_data_dir={tmp_path}/train"))


def test_the_commit_is_recorded_and_changes_to_it_are_seen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert record._git_commit() is None  # not a checkout
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "file").write_text("one")
    try:
        subprocess.run([*git, "init", "-q"], check=True)
    except FileNotFoundError:
        pytest.skip("needs git")
    assert record._git_commit() is None  # no commit yet
    subprocess.run([*git, "add", "file"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "one"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    assert record._git_commit() == commit
    (tmp_path / "file").write_text("two")
    assert record._git_commit() == commit + "-dirty"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert record._git_commit() is None  # no git on this machine
