"""A model on the Hub is drawn from, and again without a network; what is in the way is one line with the way out."""

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import fake_hub
import numpy as np
import pytest
import tiny_sd
from PIL import Image
from tiny_run import save_tiny_run

from models.find import find_model

FAST = ("fire", "--num_images", "1", "--num_inference_steps", "2")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A Hub with models to draw from and others that cannot be had: .url, .asked (requests so far), .folder."""
    folder = tmp_path_factory.mktemp("hub")
    base = tiny_sd.save_base(folder / "base")
    tiny_sd.save_full_run(folder / "tuned", base, resolution="32", caption_template="a kanji of {meanings}")
    tiny_sd.save_lora(tiny_sd.save_record(folder / "lora", "ours/base"), base)
    tiny_sd.save_lora(tiny_sd.save_record(folder / "astray", "their/gated"), base)
    save_tiny_run(folder / "glyphs")
    indices = {
        "other": {"_class_name": "FluxPipeline"},
        "code": {"_class_name": ["mine", "Mine"]},
        "list": [],
        "no": {},
        "half": {"_class_name": "StableDiffusionPipeline", "vae": ["diffusers", "AutoencoderKL"]},
    }
    for name, index in indices.items():
        (folder / name).mkdir()
        (folder / name / "model_index.json").write_text(json.dumps(index))
    (folder / "text").mkdir()
    (folder / "text" / "config.json").write_text("{}")
    shutil.copytree(base / "vae", folder / "half" / "vae")
    repositories = {f"ours/{path.name}": path for path in folder.iterdir()} | {
        "their/gated": fake_hub.GATED,
        "their/not-accepted": fake_hub.NOT_ACCEPTED,
        "their/disabled": fake_hub.DISABLED,
        "their/login": fake_hub.BAD_TOKEN,
        "their/broken": fake_hub.BROKEN,
        "their/busy": (429, None, "Too Many Requests"),
        "their/page": (200, None, None),  # as a network that wants a login answers
    }
    with fake_hub.serve(repositories) as (url, asked):
        yield SimpleNamespace(url=url, asked=asked, folder=folder)


@pytest.fixture
def run_python(hub, tmp_path):
    """Run Python in an empty folder, with an empty cache of the Hub."""

    def run(*argv, **environment):
        (tmp_path / "work").mkdir(exist_ok=True)
        environment = {**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.url, **environment}
        hub.asked.clear()
        command = [sys.executable, *map(str, argv)]
        return subprocess.run(command, cwd=tmp_path / "work", env=environment, capture_output=True, text=True)

    return run


@pytest.fixture
def generate_py(root, run_python):
    """Run the verb."""
    return lambda *argv, **environment: run_python(root / "generate.py", *argv, **environment)


def pictures(folder):
    return [np.asarray(Image.open(file)) for file in sorted(folder.glob("*/[0-9]*.png"))]


DRAW = """
import sys
sys.path.insert(0, sys.argv[1])
import generate
output, models = sys.argv[2], sys.argv[3:]
for model in models:
    sys.argv = ["generate.py", model, "fire", "--num_images=1", "--num_inference_steps=2", f"--output={output}/{model}"]
    generate.main()
"""


def test_models_on_the_hub_draw_and_draw_the_same_again_without_a_network(root, hub, run_python, tmp_path):
    models = {"tuned": 32, "lora": 64, "glyphs": 16}

    def draw(output, *names, **environment):
        return run_python("-c", DRAW, root, output, *(f"ours/{name}" for name in names), **environment)

    done = draw("first", *models)
    assert done.returncode == 0, done.stderr
    first = {name: pictures(tmp_path / "work/first/ours" / name) for name in models}
    assert {name: image.shape[0] for name, (image,) in first.items()} == models
    assert "Fetching" in done.stderr  # a real download is gigabytes: its bar is seen
    assert not any("safety_checker" in line for line in hub.asked)
    (file,) = (tmp_path / "work/first/ours/tuned/fire").iterdir()
    assert Image.open(file).text["prompt"] == "a kanji of fire" and Image.open(file).text["model"] == "ours--tuned"

    fetch = "import sys; sys.path.insert(0, sys.argv[1]); from models.hub import fetch_description as f; f('ours/half')"
    assert run_python("-c", fetch, root).returncode == 0
    done = draw("again", *models, "half", HF_HUB_OFFLINE="1")
    for name in models:
        assert np.array_equal(first[name], pictures(tmp_path / "work/again/ours" / name)), done.stderr
    assert not hub.asked
    assert "its download is not whole, and the Hub is out of reach: connect" in done.stderr.splitlines()[-1]
    assert done.returncode == 1 and "Traceback" not in done.stderr


WAYS_OUT = [
    ("their/gated", "accept its conditions at https://huggingface.co/their/gated, then `hf auth login`"),
    ("their/not-accepted", "accept its conditions at https://huggingface.co/their/not-accepted"),
    ("their/nothing", "no model their/nothing, neither a folder here nor on the Hub: check the spelling"),
    ("their/disabled", "no model their/disabled"),
    ("runwayml/stable-diffusion-v1-5", "is gone from the Hub: stable-diffusion-v1-5/stable-diffusion-v1-5 is a copy"),
    ("their/login", "does not take this machine's token: `hf auth login` again"),
    ("their/broken", "503"),
    ("their/busy", "429"),
    ("their/page", "set HF_ENDPOINT to a mirror"),
    ("ours/other", "ours/other is a FluxPipeline"),
    ("ours/code", "brings code of its own"),
    ("ours/list", "not a pipeline's index"),
    ("ours/no", "not a pipeline's index"),
    ("ours/text", "has no model_index.json"),
    ("ours/astray", "the base model of ours/astray: their/gated is gated"),
    ("a--b/c..d", "a--b/c..d"),
]


@pytest.mark.parametrize(("model", "said"), WAYS_OUT)
def test_what_is_in_the_way_is_one_line_with_the_way_out(generate_py, model, said):
    done = generate_py(model, *FAST)
    assert done.returncode == 2
    usage, *lines = done.stderr.splitlines()
    assert usage.startswith("usage:") and len(lines) == 1 and said in lines[0], done.stderr


@pytest.mark.parametrize(
    "environment", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_ENDPOINT": "nonsense"}]
)
def test_a_hub_out_of_reach_is_one_line_at_once(generate_py, environment):
    done = generate_py("ours/base", *FAST, **environment)
    _, line = done.stderr.splitlines()
    assert done.returncode == 2
    assert "connect, set HF_ENDPOINT to a mirror, or name a local folder" in line
    assert all(value in line for name, value in environment.items() if name == "HF_ENDPOINT")


def test_a_runs_base_model_is_looked_for_before_anything_is_loaded(generate_py, tmp_path):
    run = tiny_sd.save_record(tmp_path / "work/runs/lora", "runwayml/stable-diffusion-v1-5")
    (run / "pytorch_lora_weights.safetensors").touch()
    done = generate_py("runs/lora", *FAST)
    assert done.returncode == 2
    assert "the base model of runs/lora: runwayml/stable-diffusion-v1-5 is gone" in done.stderr.splitlines()[-1]
    tiny_sd.save_record(tmp_path / "work/runs/lora", "ours/base", revision="v9")
    done = generate_py("runs/lora", *FAST)
    assert "ours/base has no revision v9" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "typo", ["runs/typo", "outputs/typo", "./typo", "../typo", "typo", "~/typo", "a/b/c", "/a/b", ""]
)
def test_what_looks_like_a_folder_is_never_asked_of_the_hub(hub, generate_py, tmp_path, typo):
    (tmp_path / "work/outputs").mkdir(parents=True)
    done = generate_py(typo, *FAST)
    assert done.returncode == 2 and "not a folder" in done.stderr
    assert not hub.asked


def test_a_folder_here_is_taken_before_a_model_on_the_hub(hub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(hub.folder / "base", tmp_path / "ours/base")
    hub.asked.clear()
    assert find_model("ours/base").base == tmp_path / "ours/base"
