"""Stable Diffusion draws by the same verb: each image from its own seed, at the size that its run was trained at."""

import json
import logging
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_sd
import torch
from PIL import Image

import generate

pytestmark = pytest.mark.usefixtures("one_thread")
FAST = ("--num_inference_steps", "2", "--num_images", "2")
PROMPTS, SEEDS = ["fire", "a much longer prompt", "雨"], [1, 2, 3]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    base = tiny_sd.save_base(folder / "base")
    tiny_sd.save_full_run(folder / "runs/full", base, caption_template="a kanji meaning {meanings}")
    return folder


@pytest.fixture
def place(saved, tmp_path, monkeypatch):
    """base and runs/full in the current folder."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(saved, tmp_path, dirs_exist_ok=True)


def draw(pipe, *args, **settings):
    images = generate.draw(pipe, PROMPTS, SEEDS, *args, num_inference_steps=2, **settings)
    return [np.asarray(image).astype(int) for image in images]


def texts(folder):
    return [Image.open(file).text for file in sorted(Path(folder).rglob("[0-9]*.png"))]


def test_an_image_depends_on_its_word_and_seed_only(saved):
    pipe = generate.load(saved / "runs/full")
    together, alone = draw(pipe, 3), draw(pipe, 1)
    assert max(abs(a - b).max() for a, b in zip(together, alone, strict=True)) <= 1
    assert abs(together[0] - together[1]).max() > 20


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_half_precision_draws_nearly_the_same(saved, dtype):
    full, half = (draw(generate.load(saved / "runs/full", dtype=name)) for name in ("fp32", dtype))
    assert all(abs(a - b).mean() < 5 for a, b in zip(full, half, strict=True))


def test_the_noise_is_the_one_that_diffusers_draws_itself(saved):
    pipe = generate.load(saved / "runs/full")
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    theirs = pipe(PROMPTS, generator=generators, num_inference_steps=2, height=32, width=64).images
    ours = draw(pipe, height=32, width=64)
    assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(ours, theirs, strict=True))


def test_a_negative_prompt_draws_away_from_it(saved):
    pipe = generate.load(saved / "runs/full")
    assert all(abs(a - b).max() > 5 for a, b in zip(draw(pipe), draw(pipe, 8, "water"), strict=True))


@pytest.mark.parametrize("name", generate.SCHEDULERS)
def test_every_scheduler_draws_with_the_noise_schedule_that_was_trained(saved, name):
    pipe = generate.load(saved / "runs/full", name)
    assert (pipe.scheduler.config.beta_end, pipe.scheduler.config.beta_schedule) == (0.012, "scaled_linear")
    assert all(image.std() > 5 for image in draw(pipe))


def test_the_run_and_its_base_model_are_drawn_into_folders_of_their_own(place, generated):
    assert generated("runs/full", *FAST, "fire") == generated("base", *FAST, "fire") == (2, 0)
    assert {text["prompt"] for text in texts("outputs/full")} == {"a kanji meaning fire"}
    assert {text["prompt"] for text in texts("outputs/base")} == {"fire"}
    assert {text["guidance_scale"] for text in texts("outputs")} == {"7.5"}


def test_another_trained_size_is_drawn_again(place, generated):
    assert generated("runs/full", *FAST, "fire") == (2, 0)
    assert generated("runs/full", *FAST, "fire") == (0, 2)
    record = json.loads((place / "runs/full/run.json").read_text()) | {"resolution": "32"}
    (place / "runs/full/run.json").write_text(json.dumps(record))
    assert generated("runs/full", *FAST, "fire") == (2, 0)
    assert {Image.open(file).size for file in Path("outputs").rglob("[0-9]*.png")} == {(32, 32)}
    assert generated("runs/full", *FAST, "--resolution", "64", "fire") == (2, 0)
    assert {Image.open(file).size for file in Path("outputs").rglob("[0-9]*.png")} == {(64, 64)}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--resolution", "30"], "divisible by 8"),
        (["--resolution", "1"], "divisible by 8"),
        (["--resolution", "8000000"], "cpu is out of memory: a --batch_size below 8 needs less"),
        (["--resolution", "8000000", "--batch_size", "1"], "cpu is out of memory: a smaller --resolution needs less"),
        (["--scheduler", "DDIM", "--num_inference_steps", "1001"], "1000"),
        (["--device", "nonsense"], "cannot be opened on nonsense"),
    ],
)
def test_what_only_the_model_can_tell_is_one_line(place, monkeypatch, argv, said):
    monkeypatch.setattr(sys, "argv", ["generate.py", "runs/full", "fire", *FAST, *argv])
    with pytest.raises(SystemExit) as stop:
        generate.main()
    assert said in stop.value.code and "\n" not in stop.value.code
    assert not list(Path("outputs").rglob("*.png"))


def test_a_prompt_that_is_cut_is_told(saved, caplog, monkeypatch):
    pipe = generate.load(saved / "runs/full")
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    with caplog.at_level(logging.WARNING):
        list(generate.draw(pipe, ["short"], [1], num_inference_steps=1))
        assert not caplog.messages
        list(generate.draw(pipe, ["word " * 20 + "end"], [1], num_inference_steps=1))
    assert any("truncated" in message and "end" in message for message in caplog.messages)
