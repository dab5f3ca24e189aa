"""diffusers' own scripts run through the launcher: in two processes, after a kill, from the Hub.

tests/test_docs.py runs the smoke recipes as they are.
"""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from models.tiny_stable_diffusion import make
from tests import fake_hub
from tests.conftest import copy_checkout

FULL, LORA = "recipes/train_text_to_image/smoke.yaml", "recipes/train_text_to_image_lora/smoke.yaml"
REAL = "recipes/train_text_to_image_lora/kanji-sd-v1-5.yaml"
SMALL = ["--resolution=64", "--train_batch_size=2", "--max_train_steps=1", "--mixed_precision=no"]
SMALL += ["--dataloader_num_workers=0"]
TWO_PROCESSES = "{distributed_type: MULTI_CPU, num_processes: 2, use_cpu: true, mixed_precision: 'no'}"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory, official_scripts):
    folder = copy_checkout(tmp_path_factory.mktemp("official") / "kanji diffusion")
    (folder / "two.yaml").write_text(TWO_PROCESSES)
    (folder / "prompts" / "new_words.txt").write_text("forest fire\nYouTube\n")  # two will do
    return folder


def command(*arguments):
    return ["./launch_training.sh", *arguments], {**os.environ, "PYTHON": sys.executable, "HF_HUB_OFFLINE": "1"}


def launch(checkout, *arguments):
    """What the launcher said, all in one."""
    words, env = command(*arguments)
    done = subprocess.run(words, cwd=checkout, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


def launch_and_kill(checkout, checkpoint, *arguments):
    """Launches, and kills everything that was started once `checkpoint` is written."""
    words, env = command(*arguments)
    with open(checkout / "killed.log", "w") as log:
        process = subprocess.Popen(words, cwd=checkout, env=env, stdout=log, stderr=log)
        while not (checkpoint / "random_states_0.pkl").exists() and process.poll() is None:
            time.sleep(0.02)
        family = psutil.Process(process.pid)
        for member in [family, *family.children(recursive=True)]:  # torch's launcher makes a session for each process
            member.kill()
        process.wait()
    assert process.returncode == -signal.SIGKILL, (checkout / "killed.log").read_text()


def finished(run):
    return json.loads((run / "run.json").read_text())["finished"]


@pytest.mark.parametrize(("recipe", "weights"), [(FULL, "unet_ema"), (LORA, "pytorch_lora_weights.safetensors")])
def test_two_processes_are_two_and_go_on_after_a_kill(checkout, recipe, weights):
    run = checkout / "runs" / f"killed-{weights[:4]}"
    arguments = [recipe, f"--output_dir=runs/{run.name}", "--accelerate_config", "two.yaml"]
    launch_and_kill(checkout, run / "checkpoint-2", *arguments, "--max_train_steps=500")
    assert not finished(run)

    said = launch(checkout, *arguments, "--max_train_steps=6")
    assert "Backend: gloo" in said and "[RANK 1]" in said and said.count("Num processes: 2") == 2
    assert "Resuming from checkpoint checkpoint-" in said
    assert finished(run)
    assert (run / "checkpoint-6" / weights).exists()


def test_a_real_recipe_finds_base_model_and_dataset_on_the_hub_and_draws_from_the_cache(checkout, tmp_path):
    subprocess.run(
        [sys.executable, "-m", "dataset_builder", "starter", "--export", "parquet"], cwd=checkout, check=True
    )
    text = (checkout / REAL).read_text().replace("train_data_dir: data/kanji/train", "dataset_name: user/starter")
    (checkout / "recipes" / "train_text_to_image_lora" / "from-the-hub.yaml").write_text(text)
    command = ["./launch_training.sh", "recipes/train_text_to_image_lora/from-the-hub.yaml", *SMALL]
    base = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    make(tmp_path / "tiny")
    served = {base: tmp_path / "tiny", "user/starter": checkout / "data" / "starter-parquet"}
    env = {**os.environ, "PYTHON": sys.executable, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
    env.pop("HF_HUB_OFFLINE", None)
    with fake_hub.serve(served) as (url, asked):
        done = subprocess.run(command, cwd=checkout, env=env | {"HF_ENDPOINT": url}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "80 rows in user/starter" in done.stdout
    assert any(base in request and "unet/diffusion_pytorch_model.safetensors" in request for request in asked)

    words = [sys.executable, "generate.py", "runs/kanji-sd-v1-5-lora", "fire", "--num_images", "1"]
    done = subprocess.run(words, cwd=checkout, env=env | {"HF_HUB_OFFLINE": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["killed-unet", "killed-pyto"])
def test_a_checkpoint_is_drawn_from_as_the_finished_model_is(checkout, name):
    words = [sys.executable, "generate.py", f"runs/{name}/checkpoint-5", "fire", "--num_inference_steps", "2"]
    done = subprocess.run(words, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
