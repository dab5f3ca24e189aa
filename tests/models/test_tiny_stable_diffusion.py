"""models/tiny_stable_diffusion.py: what the smoke recipes are tried on."""

import hashlib
import os
import subprocess
import sys

import pytest

from models.tiny_stable_diffusion import make


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny") / "new folder" / "tiny"
    make(folder)
    return folder


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_it_is_the_same_model_every_time(tiny, tmp_path):
    make(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tiny)


def test_it_has_every_part_of_a_stable_diffusion(tiny):
    parts = {path.name for path in tiny.iterdir() if path.is_dir()}
    assert parts == {"unet", "vae", "text_encoder", "tokenizer", "scheduler"}


@pytest.mark.parametrize("text", ["fire", "Fire!", "山の火", "forest  fire\n", "naïve 🔥", ""])
def test_its_tokenizer_takes_any_text_and_tells_words_apart(tiny, text):
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(tiny / "tokenizer")
    tokens = tokenizer(text).input_ids
    assert tokenizer.model_max_length == 77 and max(tokens) < len(tokenizer)
    assert (tokens[0], tokens[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)
    assert tokens != tokenizer("water").input_ids


def test_a_folder_that_is_there_is_left_alone(tmp_path, root):
    (tmp_path / "mine").mkdir()
    command = [sys.executable, "-m", "models.tiny_stable_diffusion", tmp_path / "mine"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 1 and "there already" in done.stderr and not os.listdir(tmp_path / "mine")


def test_nothing_is_left_behind_beside_it(tiny):
    assert os.listdir(tiny.parent) == ["tiny"]
