"""The CLIP score is that of CLIP, and where there are no weights the figure says so in one line."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from made_dataset import lines
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

from metrics import downloaded
from metrics.downloaded import clip_score
from metrics.figures import CASES
from models.tiny_stable_diffusion import clip_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder that has a CLIP of random weights."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    tokenizer = clip_tokenizer(folder)
    config = CLIPConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 16,
            "patch_size": 8,
        },
        projection_dim=4,
    )
    sizes = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    clip = folder / "clip-vit-base-patch32"
    CLIPModel(config).save_pretrained(clip)
    CLIPProcessor(sizes, tokenizer).save_pretrained(clip)
    return folder


@pytest.fixture
def few_do(monkeypatch):
    monkeypatch.setattr(downloaded, "FEWEST", 4)


def test_clip_score_is_the_mean_cosine_of_the_pairs(weights, few_do):
    images, texts = lines(6, across=3), ["fire", "rain", "fire", "tree", "word " * 200, ""]
    figure = clip_score(images, texts, images[:5], texts[:5], weights)
    model, processor = downloaded._clip(weights)
    inputs = processor(text=texts, images=images, padding=True, truncation=True, return_tensors="pt")
    with torch.no_grad():
        cosines = (model(**inputs).logits_per_image / model.logit_scale.exp()).numpy()
    pairs = 100 * cosines.clip(0)
    other = [(i, j) for i in range(6) for j in range(6) if texts[i] != texts[j]]
    assert figure["value"] == pytest.approx(pairs.diagonal().mean(), rel=1e-4)
    assert figure["yardstick"] == pytest.approx(pairs.diagonal()[:5].mean(), rel=1e-4)
    assert figure["shuffled"] == pytest.approx(np.mean([pairs[i, j] for i, j in other]), rel=1e-4)
    assert figure["spread"][0] < figure["value"] < figure["spread"][1]
    assert figure["n"] == 6
    assert "cases" not in figure  # the images are not files
    json.dumps(figure)


def test_clip_shows_its_best_and_worst_drawings(weights, few_do, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(12)]
    for path, image in zip(paths, lines(12, across=4), strict=True):
        image.save(path)
    figure = clip_score(paths, [f"word {path.stem}" for path in paths], paths, ["x"] * 12, weights)
    best, worst = figure["cases"]["best"], figure["cases"]["worst"]
    scores = [case["score"] for case in (*best, *reversed(worst))]
    assert scores == sorted(scores, reverse=True)
    assert len({case["image"] for case in (*best, *worst)}) == 2 * CASES
    assert all(case["word"] == f"word {os.path.basename(case['image'])[:-4]}" for case in (*best, *worst))
    json.dumps(figure)


def test_the_spread_draws_drawings_of_one_word_together(weights, few_do):
    images, texts = lines(8, across=3), ["fire", "rain"] * 4
    spread = clip_score(images, texts, images, texts, weights)["spread"]
    scores = [clip_score(images[i::2], texts[i::2], images, texts, weights)["value"] for i in (0, 1)]
    assert spread == pytest.approx(sorted(scores), rel=1e-4)


def test_drawings_of_one_word_have_no_shuffled_score(weights, few_do):
    assert "shuffled" not in clip_score(lines(4), ["fire"] * 4, lines(4), ["fire"] * 4, weights)


def test_clip_takes_as_many_texts_as_images(few_do):
    with pytest.raises(ValueError, match="4 images with 3 texts"):
        clip_score(lines(4), ["fire"] * 3, lines(4), ["fire"] * 4)


def test_clip_of_too_few_images_is_not_computed(few_do):
    figure = clip_score(lines(4), ["fire"] * 4, lines(3), ["fire"] * 3)
    assert "4 drawings and 3 real images" in figure["not_computed"]


@pytest.mark.parametrize("broken", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_clip_that_is_not_whole_is_not_computed(broken, weights, few_do, tmp_path):
    folder = tmp_path / "clip-vit-base-patch32"
    folder.mkdir()
    for file in (weights / folder.name).iterdir():
        if file.name != broken:
            (folder / file.name).write_bytes(file.read_bytes())
    figure = clip_score(lines(4), ["fire"] * 4, lines(4), ["fire"] * 4, tmp_path)
    assert figure["not_computed"].startswith(f"no weights: {folder} cannot be opened as CLIP")
    assert "\n" not in figure["not_computed"]


def test_weights_that_do_not_fit_are_not_made_up(weights, few_do, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "clip-vit-base-patch32"
    folder.mkdir()
    for file in (weights / folder.name).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    figure = clip_score(lines(4), ["fire"] * 4, lines(4), ["fire"] * 4, tmp_path)
    assert "1 of its weights are missing" in figure["not_computed"]


HUB = """
import json, os, sys
from pathlib import Path
import fake_hub

repositories = {}
with fake_hub.serve(repositories) as (url, asked):
    os.environ.update(HF_ENDPOINT=url, HF_HUB_DISABLE_TELEMETRY="1", HF_UPDATE_DOWNLOAD_COUNTS="0")
    from PIL import Image
    from metrics.downloaded import clip_score

    images = [Image.new("L", (16, 16), 5 * number) for number in range(50)]
    words = [f"word {number}" for number in range(50)]

    def score():
        return clip_score(images, words, images, words)

    seen = []
    for state in (fake_hub.BROKEN, Path(sys.argv[1]), fake_hub.BROKEN):
        repositories["openai/clip-vit-base-patch32"] = state
        asked.clear()
        figure = score()
        seen.append((figure, len(asked)))
print(json.dumps(seen))
"""


def test_clip_comes_from_the_hub_once(weights, root, tmp_path):
    """Asked once while it is broken; computed when it is there; then the same from the cache, without asking."""
    environment = os.environ | {"HF_HOME": str(tmp_path), "PYTHONPATH": f"{root}:{root / 'tests'}"}
    command = [sys.executable, "-c", HUB, weights / "clip-vit-base-patch32"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (broken, tries), (there, _), (again, more) = json.loads(done.stdout.splitlines()[-1])
    assert (tries, more) == (1, 0)
    assert broken["not_computed"].startswith("no weights: openai/clip-vit-base-patch32 is neither a folder here")
    assert "\n" not in broken["not_computed"]
    assert there["n"] == 50
    assert again == there
