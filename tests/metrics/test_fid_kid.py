"""FID and KID are those of torch-fidelity, and where there are no weights the figures say so in one line."""

import hashlib
import io
import json
import os
import pickle
import socket
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from made_dataset import lines
from PIL import Image
from torch_fidelity import FeatureExtractorInceptionV3, feature_extractor_inceptionv3

from metrics import downloaded
from metrics.downloaded import fid_kid

INCEPTION = feature_extractor_inceptionv3.URL_INCEPTION_V3.rsplit("/", 1)[-1]
pytestmark = pytest.mark.usefixtures("one_thread")


class Untrained(FeatureExtractorInceptionV3):
    """Inception with random weights."""

    def load_state_dict(self, state_dict):
        pass


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A folder of Inception's weights, random and as large as the real ones, 95 MB."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save({}, folder / "none.pth")
    network = Untrained("untrained", ["64"], feature_extractor_weights_path=folder / "none.pth")
    torch.save(network.state_dict(), folder / INCEPTION)
    yield folder
    (folder / INCEPTION).unlink()


@pytest.fixture
def few_do(monkeypatch):
    monkeypatch.setattr(downloaded, "FEWEST", 4)
    monkeypatch.setattr(downloaded, "LAYER", "64")  # hundreds of numbers an image take long


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache of torch, where the weights would be kept."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub" / "checkpoints"


def test_real_images_are_at_the_yardstick_and_others_are_not(weights, few_do):
    reals, held_out = lines(12), lines(6, seed=1)
    fid, kid = fid_kid(held_out, reals, held_out, weights)
    assert fid["value"] == fid["yardstick"]
    assert kid["value"] == kid["yardstick"]
    other_fid, other_kid = fid_kid(lines(8, seed=2, across=16), reals, held_out, weights)
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

    monkeypatch.setattr(downloaded, "_inception", lambda weights_dir: None)
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
    fid, _ = fid_kid(drawings, reals, drawings, weights)
    assert fid["value"] == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)


def test_images_of_other_sizes_are_compared_and_said_to_be(weights, few_do):
    for figure in fid_kid(lines(4), lines(4, side=48), lines(4, side=40), weights):
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


def test_an_image_that_is_too_large_to_open_is_named(tmp_path, monkeypatch):
    lines(1)[0].save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match=r"huge\.png cannot be read as an image"):
        downloaded._read(tmp_path / "huge.png")


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
        downloaded._inception(None)
    assert [file.name for file in cache.iterdir()] == [name]
    downloaded._inception(None)  # the server is gone
