"""README.md is true: its commands run, and every path and flag that it names is there."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", README, re.S) for line in block.splitlines()]
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.S)
MADE = ("data/", "runs/", "outputs/", ".venv")  # by the commands, not in the checkout

TINY_UNET = ["--resolution=16", "--patch_size=1", "--layers_per_block=1", "--train_batch_size=2", "--max_train_steps=1"]
TINY = {
    "quickstart": [*TINY_UNET, "--block_out_channels", "32", "32", "--validation_prompts", "fire"],
    "kanji-cpu": [*TINY_UNET, "--block_out_channels", "32", "32", "32", "--validation_prompts", "fire"],
    "kanji": [*TINY_UNET, "--block_out_channels", "32", "32", "32", "32", "--validation_prompts", "fire"],
}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what git would take, for commands that write beside the code."""
    copy = tmp_path_factory.mktemp("checkout") / "kanji diffusion"  # with a space, as people have them
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    return copy


def tiny(command, shared_data):
    """`command` with settings that end in a moment: flags at the end take the place of what stands before."""
    words = shlex.split(command)
    if words[0] == "./launch_training.sh" and "--check" not in words:
        recipe = re.search(r"([\w-]+)\.yaml", command)
        if not recipe:
            return [*words, *TINY["quickstart"]]  # the next commands draw with this run
        return [*words, *TINY[recipe[1]], f"--output_dir=runs/tiny-{recipe[1]}"]
    if words[:2] == ["python", "generate.py"]:
        return [sys.executable, *words[1:], "--num_inference_steps", "2"]
    if words[:3] == ["python", "-m", "dataset_builder"]:
        data = ["--kanjidic2", f"{shared_data()}/kanjidic2.xml.gz"]
        data += ["--kanjivg", f"{shared_data()}/kanjivg-20260513.xml.gz"]
        return [sys.executable, *words[1:], *data, "--resolution", "16", "--max_samples", "40"]
    if words[0] == "make":
        return ["make", "--dry-run", *words[1:]]  # the tests do not run themselves
    if words[0] == "accelerate":
        return [sys.executable, "-m", "accelerate.commands.accelerate_cli", *words[1:2], "--help"]  # it asks questions
    return words


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_runs(command, checkout, request):
    if "data/kanji" in command or "/kanji" in command or " kanji" in command:
        request.getfixturevalue("shared_data")
    env = {**os.environ, "PYTHON": sys.executable, "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    words = tiny(command, lambda: request.getfixturevalue("shared_data"))
    done = subprocess.run(words, cwd=checkout, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_quickstart_leaves_what_the_readme_says(checkout):
    for name in ("outputs/quickstart/sheet.png", "outputs/quickstart/index.html", "runs/quickstart/run.json"):
        assert (checkout / name).stat().st_size


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
    for name in named - {"index.html", "sheet.png", "run.json", "/path/to/python3.12"}:
        found = (ROOT / name).exists() or list(ROOT.glob(f"recipes/*/{name}"))
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
