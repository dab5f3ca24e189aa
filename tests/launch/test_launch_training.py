"""launch_training.sh as a user runs it: real processes, real accelerate, a trainer of a few lines."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import zipfile

import pytest
from PIL import Image

TINY = "recipes/train_fake/tiny.yaml"


def finished_run(checkout, steps=4, recipe="", finished="2026-01-01T00:00:00+00:00"):
    """What a launch of tiny.yaml leaves that trained `steps` steps, made by hand."""
    checkout.write("data/tiny/build.json", '{"fingerprint": "f1"}')
    (checkout.folder / "data" / "tiny" / "train").mkdir()
    record = {"script": "trainers/train_fake.py", "data": {"name": "tiny", "fingerprint": "f1"}}
    record |= {"started": "2026-01-01T00:00:00+00:00", "finished": finished}
    checkout.write("runs/tiny/run.json", json.dumps(record))
    checkout.write("runs/tiny/recipe.yaml", "train_data_dir: data/tiny/train\noutput_dir: runs/tiny\n" + recipe)
    for step in range(1, steps + 1):
        checkpoint = checkout.run / f"checkpoint-{step}"
        checkpoint.mkdir()
        zipfile.ZipFile(checkpoint / "random_states_0.pkl", "w").close()


def test_one_command_builds_trains_records_and_draws_and_the_second_has_nothing_left_to_do(checkout):
    odd = "森 の 'fire' \"$HOME\" `id` \\ --use_ema"
    checkout.write(
        TINY,
        f"train_data_dir: data/tiny/train\noutput_dir: runs/tiny\nprompt: {json.dumps(odd)}\n"
        "validation_prompts: [forest fire, 石橋]\nuse_ema: true\nlearning_rate: 1e-4\n",
    )
    first = checkout.launch("--learning_rate", "1e-5")
    assert first.returncode == 0, first.stderr
    assert "Building data/tiny" in first.stdout
    assert "outputs/tiny/sheet.png" in first.stdout.splitlines()[-1]
    assert (checkout.folder / "outputs/tiny/sheet.png").read_text() == "--prompts prompts/new_words.txt"

    argv = json.loads((checkout.run / "argv.json").read_text("utf-8"))
    assert argv == [
        *("--train_data_dir=data/tiny/train", "--output_dir=runs/tiny", f"--prompt={odd}"),
        *("--validation_prompts", "forest fire", "石橋", "--use_ema", "--learning_rate=1e-5"),
    ]
    record = checkout.record()
    assert record["recipe"] == TINY
    assert record["command"][-len(argv) :] == argv
    assert record["data"] == {"name": "tiny", "fingerprint": "f1"}
    assert record["caption_template"] == "a kanji meaning {meanings}"
    assert {"python", "torch", "diffusers", "accelerate"} <= record["versions"].keys()
    assert record["git_commit"] is None
    assert record["started"] <= record["finished"]
    assert "learning_rate: 1e-5\n" in (checkout.run / "recipe.yaml").read_text("utf-8")

    before = checkout.record()
    second = checkout.launch("--learning_rate", "1e-5")
    assert second.returncode == 0, second.stderr
    assert "done: nothing left to train" in second.stdout
    assert "Building" not in second.stdout
    assert "the trainer runs" not in second.stderr
    assert checkout.record() == before


def test_a_killed_training_goes_on_from_its_newest_whole_checkpoint(checkout):
    killed = checkout.launch(KILL_AT="4")
    assert killed.returncode != 0
    assert "runs/tiny/run.json says what was run" in killed.stderr
    assert checkout.record()["finished"] is None
    cut = checkout.run / "checkpoint-3" / "model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-1])
    (checkout.run / "checkpoint-4.tmp").mkdir()

    again = checkout.launch()
    assert again.returncode == 0, again.stderr
    assert "Passing over runs/tiny/checkpoint-3: model.safetensors" in again.stderr
    assert "Passing over runs/tiny/checkpoint-4.tmp" in again.stderr
    assert "going on from checkpoint-2" in again.stdout
    assert (checkout.run / "steps.txt").read_text().split() == ["1", "2", "3", "4", "3", "4"]
    assert checkout.record()["resumed_from"] == "checkpoint-2"
    assert checkout.record()["finished"]
    assert "resume" not in (checkout.run / "recipe.yaml").read_text()


def test_a_failed_training_is_not_recorded_as_finished_and_nothing_is_drawn(checkout):
    failed = checkout.launch(EXIT_STATUS="3")
    assert failed.returncode == 1  # accelerate's own, whatever the script's was
    assert "Training failed with exit status 1; runs/tiny/run.json" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert checkout.record()["finished"] is None
    assert not (checkout.folder / "outputs").exists()


def test_ctrl_c_says_how_to_go_on_and_until_then_no_second_launch_comes_in(checkout):
    first = subprocess.Popen(
        [checkout.folder / "launch_training.sh", TINY],
        env=checkout.environment | {"PAUSE_AT": "3"},
        start_new_session=True,  # a process group of its own, as a terminal gives it
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not (checkout.run / "steps.txt").is_file() or "3" not in (checkout.run / "steps.txt").read_text():
            assert first.poll() is None and time.monotonic() < deadline, "the training did not get to step 3"
            time.sleep(0.05)
        second = checkout.launch()
        assert second.returncode == 2
        assert "another launch is training there" in second.stderr
        os.killpg(first.pid, signal.SIGINT)
        _, errors = first.communicate(timeout=60)
        assert first.returncode == 130
        assert "The same command goes on" in errors.splitlines()[-1]
        assert "going on from checkpoint-2" in checkout.launch("--check").stdout
    finally:
        if first.poll() is None:
            os.killpg(first.pid, signal.SIGKILL)
            first.wait()


def test_two_processes_on_the_cpu_are_really_two(checkout):
    checkout.write("two.yaml", "distributed_type: MULTI_CPU\nnum_processes: 2\nuse_cpu: true\n")
    both = checkout.launch("--say_processes", "--accelerate_config", "two.yaml")
    assert both.returncode == 0, both.stderr
    assert "the CPU, 2 processes with gloo" in both.stdout
    for rank in range(2):
        assert f"rank {rank} of 2 on cpu by gloo" in both.stdout
    assert both.stdout.count("2 answered") == 2


def test_nothing_on_the_network_is_contacted(checkout):
    (checkout.folder / "data" / "tiny" / "train").mkdir(parents=True)
    Image.new("L", (8, 8)).save(checkout.folder / "data" / "tiny" / "train" / "a.png")
    checkout.write("data/tiny/build.json", "{}")
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        proxies = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), address)
        answer = checkout.launch("--load_data", **proxies, HF_HOME=str(checkout.folder / "home"))
        assert answer.returncode == 0, answer.stderr
        proxy.settimeout(0)  # who called is in the queue, whether or not anybody answered
        with pytest.raises(BlockingIOError):
            proxy.accept()


def test_a_check_writes_nothing(checkout):
    before = checkout.files()
    answer = checkout.launch("--check")
    assert answer.returncode == 0, answer.stderr
    assert "data/tiny is not there yet" in answer.stdout
    assert "Nothing was trained" in answer.stdout
    assert checkout.files() == before


@pytest.mark.parametrize("recipe", ["tiny.yaml", "../train_fake/tiny.yaml", TINY])
def test_a_recipe_is_found_from_where_the_user_is_and_from_the_project(checkout, recipe):
    answer = checkout.launch("--check", recipe=recipe, cwd=checkout.folder / "recipes" / "train_fake")
    assert answer.returncode == 0, answer.stderr
    assert f"Recipe    {TINY}" in answer.stdout


def test_without_a_recipe_it_is_the_quickstart(checkout):
    quickstart = checkout.folder / "recipes" / "train_text_to_glyph" / "quickstart.yaml"
    quickstart.parent.mkdir()
    shutil.copy(checkout.folder / TINY, quickstart)
    shutil.copy(checkout.folder / "trainers/train_fake.py", checkout.folder / "trainers/train_text_to_glyph.py")
    assert "quickstart.yaml" in checkout.launch(recipe="--check").stdout
    assert "--use_ema" in checkout.launch("--use_ema", recipe="--check").stdout
    # a recipe behind the script's flags is not what a user can have meant to leave out
    assert f"{TINY}: not a flag" in checkout.launch(TINY, recipe="--max_train_steps=3").stderr


@pytest.mark.parametrize("first", [["--check"], ["--accelerate_config", "accelerate_config.yaml", "--check"]])
def test_the_launchers_own_flags_may_stand_before_the_recipe(checkout, first):
    answer = checkout.launch(*first[1:], TINY, recipe=first[0])
    assert answer.returncode == 0, answer.stderr
    assert f"Recipe    {TINY}" in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max_train_step", "5"], "did you mean max_train_steps?"),
        (["--max_train_steps", "many"], "takes int numbers"),
        (["--train_data_dir", "data/mine/train"], "no training data at data/mine/train"),
        (["--accelerate_config", "nowhere.yaml"], "no file nowhere.yaml"),
        (["--accelerate_config"], "takes a PATH"),
        (["--accelerate_config=requirements.txt"], "requirements.txt: no"),
        (["extra.yaml"], "not a flag"),
        (["--output_dir", "generate.py"], "generate.py is a file"),
        (["--output_dir", "trainers"], "choose another --output_dir"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(checkout, arguments, message):
    before = checkout.files()
    answer = checkout.launch(*arguments)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert answer.stderr.count("\n") == 1
    assert checkout.files() - {checkout.folder / "data", *(checkout.folder / "data").rglob("*")} == before


def test_an_unknown_recipe_lists_those_that_are_there(checkout):
    answer = checkout.launch(recipe="recipes/train_fake/tiney.yaml")
    assert answer.returncode == 2
    assert "no recipe recipes/train_fake/tiney.yaml" in answer.stderr
    assert f"  {TINY}" in answer.stderr.splitlines()


@pytest.mark.parametrize(
    ("arguments", "recorded", "expected"),
    [
        ([], {}, "done: nothing left to train"),
        (["--checkpointing_steps=2"], {}, "done: nothing left to train"),
        (["--max_train_steps=9"], {"recipe": "max_train_steps: 4\n"}, "going on from checkpoint-4"),
        (["--max_train_steps=3"], {"recipe": "max_train_steps: 4\n"}, "done: nothing left to train"),
        ([], {"finished": None}, "going on from checkpoint-4"),
        ([], {"finished": None, "steps": 0}, "Run       runs/tiny\n"),
        (["--learning_rate=1"], {"finished": None, "steps": 0}, "Run       runs/tiny\n"),  # nothing to mix it with
        (["--resume_from_checkpoint=latest"], {"finished": None}, "going on from checkpoint-4"),
        (["--resume_from_checkpoint=checkpoint-2"], {"finished": None}, "where --resume_from_checkpoint says"),
    ],
)
def test_what_a_launch_does_with_what_is_there(checkout, arguments, recorded, expected):
    finished_run(checkout, **recorded)
    answer = checkout.launch("--check", *arguments)
    assert answer.returncode == 0, answer.stderr
    assert expected in answer.stdout


@pytest.mark.parametrize(
    ("arguments", "recorded", "message"),
    [
        (["--learning_rate=1"], {}, "other settings (learning_rate)"),
        (["--learning_rate=1", "--use_ema"], {"finished": None}, "other settings (learning_rate, use_ema)"),
        (["--max_train_steps=9"], {"steps": 0}, "no checkpoint to go on from"),
    ],
)
def test_a_run_is_not_mixed_with_another(checkout, arguments, recorded, message):
    finished_run(checkout, **recorded)
    answer = checkout.launch(*arguments)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert "choose another --output_dir" in answer.stderr


def test_data_that_was_built_anew_is_another_run(checkout):
    finished_run(checkout)
    checkout.write("data/tiny/build.json", '{"fingerprint": "f2"}')
    assert "other settings (the data's fingerprint)" in checkout.launch().stderr


def test_help_needs_no_environment(checkout):
    answer = checkout.launch(recipe="--help", PYTHON="/nonexistent")
    assert answer.returncode == 0
    assert "./launch_training.sh [RECIPE] [--flag value ...]" in answer.stdout
    assert not (checkout.folder / ".venv").exists()
