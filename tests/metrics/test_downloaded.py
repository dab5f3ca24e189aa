"""FID, KID and CLIP score are those of the libraries, and where there are no weights the figure says so in one line."""

import hashlib
import io
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from PIL import Image
from torch_fidelity import FeatureExtractorInceptionV3, feature_extractor_inceptionv3
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

from metrics import downloaded
from metrics.downloaded import clip_score, fid_kid
from models.tiny_stable_diffusion import clip_tokenizer

INCEPTION = feature_extractor_inceptionv3.URL_INCEPTION_V3.rsplit("/", 1)[-1]
pytestmark = pytest.mark.usefixtures("one_thread")


class Untrained(FeatureExtractorInceptionV3):
    """Inception with random weights."""

    def load_state_dict(self, state_dict):
        pass


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of Inception's weights and of a CLIP, both random: the first as large as the real ones, 95 MB."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save({}, folder / "none.pth")
    network = Untrained("untrained", ["64"], feature_extractor_weights_path=folder / "none.pth")
    torch.save(network.state_dict(), folder / INCEPTION)
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
    yield folder
    (folder / INCEPTION).unlink()


@pytest.fixture
def few_do(monkeypatch):
    monkeypatch.setattr(downloaded, "FEWEST", 4)


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache of torch, where the weights would be kept."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def lines(n, seed=0, across=1, side=32):
    """`n` images of `across` black lines each."""
    rng = np.random.default_rng(seed)
    images = np.full((n, side, side), 255, np.uint8)
    for image in images:
        image[rng.integers(side, size=across)] = 0
    return [Image.fromarray(image) for image in images]


def test_real_images_are_at_the_yardstick_and_others_are_not(weights, few_do):
    reals, held_out = lines(12), lines(6, seed=1)
    fid, kid = fid_kid(held_out, reals, held_out, weights, layer="64")
    assert fid["value"] == fid["yardstick"]
    assert kid["value"] == kid["yardstick"]
    other_fid, other_kid = fid_kid(lines(8, seed=2, across=16), reals, held_out, weights, layer="64")
    assert other_fid["value"] > 2 * fid["yardstick"] > 0
    assert other_kid["spread"][0] > kid["spread"][1] > kid["value"] > kid["spread"][0]
    assert other_fid["yardstick"] == fid["yardstick"]
    for figure in (other_fid, other_kid):
        json.dumps(figure)
        assert figure["n"] == 6
        assert "6 of the 8 drawings" in figure["note"]
    assert "n = 6" in other_fid["note"]
    assert "subsets of 3" in other_kid["note"]


def test_as_many_drawings_as_held_out_images_are_compared_with_all_real_ones(few_do, monkeypatch):
    compared = []

    def features(extractor, images, bar):
        compared.append(len(images))
        return torch.randn(len(images), 3)

    monkeypatch.setattr(downloaded, "_inception", lambda weights_dir, layer: None)
    monkeypatch.setattr(downloaded, "_inception_features", features)
    fid_kid(lines(9), lines(12), lines(5))
    fid_kid(lines(5), lines(12), lines(9))
    assert compared == [5, 5, 12] * 2


def test_fid_is_that_of_torch_fidelity(weights, few_do, tmp_path):
    """On images of the size that Inception takes nothing but torch-fidelity has a say."""
    from torch_fidelity import calculate_metrics

    sets = {"drawings": lines(4, 3, 2, side=299), "reals": lines(5, side=299)}
    for name, images in sets.items():
        for number, image in enumerate(images):
            (tmp_path / name).mkdir(exist_ok=True)
            image.save(tmp_path / name / f"{number}.png")
    theirs = calculate_metrics(
        input1=str(tmp_path / "drawings"),
        input2=str(tmp_path / "reals"),
        feature_extractor_weights_path=weights / INCEPTION,
        feature_layer_fid="64",
        fid=True,
        cuda=False,
        save_cpu_ram=True,
        cache=False,
        verbose=False,
    )
    drawings, reals = (sorted((tmp_path / name).iterdir()) for name in sets)
    fid, _ = fid_kid(drawings, reals, drawings, weights, layer="64")
    assert fid["value"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)


def test_images_of_other_sizes_are_compared_and_said_to_be(weights, few_do):
    for figure in fid_kid(lines(4), lines(4, side=48), lines(4, side=40), weights, layer="64"):
        assert "32 x 32 pixels and the real images 48 x 48" in figure["note"]


@pytest.mark.parametrize("counts", [(3, 4, 4), (4, 3, 4), (4, 4, 3), (0, 0, 0)])
def test_too_few_images_are_not_computed(counts, few_do):
    for figure in fid_kid(*map(lines, counts), weights_dir="nowhere"):
        assert figure.keys() == {"not_computed"}
        assert f"{counts[0]} drawings, {counts[2]} held-out and {counts[1]} real" in figure["not_computed"]


@pytest.mark.parametrize("mode, paper", [("RGBA", (0, 0, 0, 0)), ("LA", (0, 0)), ("P", 0), ("1", 1), ("L", 255)])
def test_paper_is_white_in_every_mode(mode, paper, tmp_path):
    image = Image.new(mode, (4, 4), paper)
    image.save(tmp_path / "image.png", **({"transparency": 0} if mode == "P" else {}))
    assert downloaded._read(tmp_path / "image.png").getcolors() == [(16, (255, 255, 255))]


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"<html>"])
def test_a_broken_image_is_named(content, tmp_path):
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.png cannot be read as an image"):
        downloaded._read(tmp_path / "broken.png")


def test_an_image_that_is_cut_short_is_named(tmp_path):
    lines(1)[0].save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:-30])
    with pytest.raises(ValueError, match=r"cut\.png cannot be read as an image"):
        downloaded._read(tmp_path / "cut.png")


class RunsCode:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def other_weights():
    file = io.BytesIO()
    torch.save({"Conv2d_1a_3x3.conv.weight": torch.zeros(1)}, file)
    return file.getvalue()


NO_WEIGHTS = {
    "nothing": lambda whole: b"",
    "a page": lambda whole: b"<html>",
    "code": lambda whole: pickle.dumps(RunsCode(), 2),
    "cut short": lambda whole: whole[: 1 << 20],
    "of another network": lambda whole: other_weights(),
}


@pytest.mark.parametrize("kind", NO_WEIGHTS)
def test_weights_that_are_none_are_not_computed(kind, weights, few_do, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / INCEPTION).write_bytes(NO_WEIGHTS[kind]((weights / INCEPTION).read_bytes()))
    for figure in fid_kid(lines(4), lines(4), lines(4), tmp_path):
        assert figure["not_computed"].startswith(f"no weights: {tmp_path / INCEPTION} has no weights of Inception")
        assert "\n" not in figure["not_computed"]
    assert not (tmp_path / "ran").exists()


@contextmanager
def answering(answer):
    """A server on the loopback that does `answer(handler)` whatever it is asked; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer(self)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def send(handler, body, length=None):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


ANSWERS = {
    "half": lambda handler: send(handler, b"half", 1000),
    "another file": lambda handler: send(handler, b"<html>please log in</html>"),
    "gone": lambda handler: handler.send_error(404),
    "silent": lambda handler: time.sleep(2),
    "broken off": lambda handler: handler.connection.shutdown(socket.SHUT_RDWR),
}


@pytest.mark.parametrize("answer", [*ANSWERS, "refused"])
def test_weights_that_cannot_be_downloaded_are_not_computed(answer, few_do, cache, monkeypatch):
    monkeypatch.setattr(downloaded, "TIMEOUT", 0.5)
    with answering(ANSWERS.get(answer, "gone")) as url:
        url = "http://127.0.0.1:1" if answer == "refused" else url
        monkeypatch.setattr(feature_extractor_inceptionv3, "URL_INCEPTION_V3", f"{url}/{INCEPTION}")
        fid, kid = fid_kid(lines(4), lines(4), lines(4))
    assert fid == kid
    assert fid["not_computed"].startswith(f"no weights: no {INCEPTION} in {cache}")
    assert "--weights_dir" in fid["not_computed"]
    assert "\n" not in fid["not_computed"]
    assert ("timed out" in fid["not_computed"]) == (answer == "silent")
    assert not list(cache.iterdir())
    assert socket.getdefaulttimeout() is None


def test_downloaded_weights_are_kept(weights, few_do, cache, monkeypatch):
    body = (weights / INCEPTION).read_bytes()
    name = f"weights-inception-2015-12-05-{hashlib.sha256(body).hexdigest()[:8]}.pth"
    with answering(lambda handler: send(handler, body)) as url:
        monkeypatch.setattr(feature_extractor_inceptionv3, "URL_INCEPTION_V3", f"{url}/{name}")
        downloaded._inception(None, "64")
    assert [file.name for file in cache.iterdir()] == [name]
    downloaded._inception(None, "64")  # the server is gone


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
    assert len({case["image"] for case in (*best, *worst)}) == 8
    assert all(case["word"] == f"word {os.path.basename(case['image'])[:-4]}" for case in (*best, *worst))
    json.dumps(figure)


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
