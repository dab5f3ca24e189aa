"""README.md is true: its commands run, and every path and flag that it names is there."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from launch.processes import gpu_count
from tests.conftest import ROOT, copy_checkout

README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, re.S)
LOOPS = [block for block in BLOCKS if block.startswith("for ")]
COMMANDS = [line for block in BLOCKS if block not in LOOPS for line in block.splitlines()]
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.S)
MADE = ("data/", "runs/", "outputs/", ".venv")  # by the commands, not in the checkout

TINY_MODEL = "runs/tiny-stable-diffusion"
TINY_SD = [f"--pretrained_model_name_or_path={TINY_MODEL}", "--resolution=64", "--mixed_precision=no"]
TINY_SD += ["--max_train_samples=4", "--train_batch_size=2", "--max_train_steps=1", "--dataloader_num_workers=0"]
TINY_UNET = ["--resolution=16", "--patch_size=1", "--layers_per_block=1", "--train_batch_size=2", "--max_train_steps=1"]
TINY = {
    "smoke": [],
    "kanji-sd-v1-5": TINY_SD,
    "quickstart": [*TINY_UNET, "--block_out_channels", "32", "32", "--validation_prompts", "fire"],
    "kanji-cpu": [*TINY_UNET, "--block_out_channels", "32", "32", "32", "--validation_prompts", "fire"],
    "kanji": [*TINY_UNET, "--block_out_channels", "32", "32", "32", "32", "--output_dir=runs/tiny-kanji"],
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    folder = copy_checkout(tmp_path_factory.mktemp("checkout") / "kanji diffusion")  # with a space, as people have them
    (folder / "prompts" / "new_words.txt").write_text("forest fire\nYouTube\n")  # two will do
    return folder


def tiny(command, shared_data):
    """`command` with settings that end in a moment: flags at the end take the place of what stands before."""
    words = shlex.split(command)
    if words[0] == "./launch_training.sh" and "--check" not in words:
        recipe = re.search(r"([\w-]+)\.yaml", command)
        return [*words, *TINY[recipe[1] if recipe else "quickstart"]]  # later commands draw with these runs
    if words[:2] == ["python", "generate.py"]:
        words = [TINY_MODEL if word.startswith("stable-diffusion-v1-5/") else word for word in words]
        return [sys.executable, *words[1:], "--num_inference_steps", "2"]
    if words[:3] == ["python", "-m", "metrics.components"]:
        return [sys.executable, *words[1:], "--max_train_steps", "2"]
    if words[:2] == ["python", "evaluate.py"]:
        return [sys.executable, *words[1:], "--num_images", "6", "--num_inference_steps", "2"]
    if words[:3] == ["python", "-m", "dataset_builder"]:
        data = ["--kanjidic2", f"{shared_data()}/kanjidic2.xml.gz"]
        data += ["--kanjivg", f"{shared_data()}/kanjivg-20260513.xml.gz"]
        words = words[: words.index("--push_to_hub")] if "--push_to_hub" in words else words  # a test of its own
        return [sys.executable, *words[1:], *data, "--resolution", "16", "--max_samples", "40"]
    if words[0] == "make":
        return ["make", "--dry-run", *words[1:]]  # the tests do not run themselves
    if words[0] == "accelerate":
        return [sys.executable, "-m", "accelerate.commands.accelerate_cli", *words[1:2], "--help"]  # it asks questions
    return words


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_runs(command, checkout, request):
    if "/kanji" in command or " kanji" in command:
        request.getfixturevalue("shared_data")
    if "train_text_to_image" in command or "-sd-" in command or "stable-diffusion" in command:
        request.getfixturevalue("official_scripts")
    env = {**os.environ, "PYTHON": sys.executable, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    words = tiny(command, lambda: request.getfixturevalue("shared_data"))
    done = subprocess.run(words, cwd=checkout, env=env, capture_output=True, text=True)
    if "--check" in words and "-sd-" in command and not gpu_count():
        errors = done.stderr.splitlines()
        assert done.returncode == 2 and errors and all("on the CPU" in error for error in errors), done.stderr
        return
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_of_the_readme_runs(loop, checkout, request):
    request.getfixturevalue("shared_data")
    request.getfixturevalue("official_scripts")
    bases = re.search(r"for base in (.*); do", loop)[1].split()
    for base in bases:
        subprocess.run([sys.executable, "-m", "models.tiny_stable_diffusion", checkout / base], cwd=ROOT, check=True)
    tiny_loop = re.sub(r"(?=\ndone)", " " + " ".join(TINY_SD[1:]), loop)
    env = {**os.environ, "PYTHON": sys.executable, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(["bash", "-ec", tiny_loop], cwd=checkout, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = [checkout / "runs" / f"compare-{base.split('/')[1]}" for base in bases]
    assert all((run / "pytorch_lora_weights.safetensors").exists() for run in runs) and len(runs) > 1


@pytest.mark.parametrize("name", ["quickstart", "smoke", "smoke-lora"])
def test_a_launch_leaves_what_the_readme_says(name, checkout, request):
    if name != "quickstart":
        request.getfixturevalue("official_scripts")
    for file in (f"outputs/{name}/sheet.png", f"outputs/{name}/index.html", f"runs/{name}/run.json"):
        assert (checkout / file).stat().st_size
    assert json.loads((checkout / "runs" / name / "run.json").read_text())["finished"]


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_python_of_the_readme_runs(snippet, checkout, shared_data):
    done = subprocess.run([sys.executable, "-c", snippet], cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_flag_of_the_readme_is_one_of_ours():
    sources = [ROOT / "launch_training.sh", *ROOT.glob("*.py"), *ROOT.glob("[!.]*/**/*.py")]
    known = {flag for file in sources if "tests" not in file.parts for flag in re.findall(r"--\w+", file.read_text())}
    known |= {"--config_file"}  # accelerate's
    assert set(re.findall(r"(?<!\S|`)--[a-z]\w+|(?<=`)--[a-z]\w+", README)) <= known


def test_every_path_of_the_readme_is_there():
    named = set(re.findall(r"(?:`|\]\()([\w./-]*(?:/|\.(?:py|sh|yaml|md|txt|toml|png))[\w./-]*)(?:`|\))", README))
    named = {name for name in named if not name.startswith((*MADE, "http", "outputs")) and "NAME" not in name}
    assert len(named) > 5
    elsewhere = {"index.html", "sheet.png", "run.json", "/path/to/python3.12"}
    elsewhere |= {"train_text_to_image.py", "train_text_to_image_lora.py"}  # diffusers' own
    for name in named - elsewhere:
        found = (ROOT / name).exists() or list(ROOT.glob(f"recipes/*/{name}")) or list(ROOT.glob(f"recipes/{name}"))
        assert found, name


def test_the_tree_of_the_readme_is_the_tree():
    tree = re.search(r"## What is where\n+```\n(.*?)```", README, re.S)[1]
    parent = ""
    for line in filter(None, tree.splitlines()):
        name = line.split()[0]
        if not line.startswith(" "):
            parent = name
        path = name if not line.startswith(" ") else parent + name
        if not path.startswith(MADE) and "NAME" not in path:
            assert (ROOT / path).exists(), path
