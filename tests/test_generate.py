"""Words in, images out: each from a seed of its own, none drawn twice, and no word breaks out of its folder."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_run import save_tiny_run, tiny_unet, unfinish

import generate
from models.open import open_model

pytestmark = pytest.mark.usefixtures("one_thread")
FAST = ("--num_inference_steps", "2", "--num_images", "2")


@pytest.fixture(scope="module")
def saved_run(tmp_path_factory):
    return save_tiny_run(tmp_path_factory.mktemp("saved") / "quick", caption_template="a kanji meaning {meanings}")


@pytest.fixture
def run(saved_run, tmp_path, monkeypatch):
    """runs/quick below the current folder."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(saved_run, tmp_path / "runs" / "quick")


def generate_py(root, *argv, **options):
    command = [sys.executable, str(root / "generate.py"), *argv]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", errors="surrogateescape", **options
    )


def pixels(folder):
    return {file.name: np.asarray(Image.open(file)).astype(int) for file in Path(folder).rglob("[0-9]*.png")}


def test_a_list_of_words_becomes_images_a_sheet_and_a_page(root, run):
    Path("words.txt").write_text("\ufeff# a comment\r\n\r\nforest fire\r\n  雨  \r\nfire\r\n", encoding="utf-8")
    done = generate_py(root, "runs/quick", *FAST, "fire", "--prompts", "words.txt", "--seed", "7", "stone  bridge")
    assert done.returncode == 0, done.stderr
    assert "drawing: 100%" in done.stderr and "8/8" in done.stderr
    assert len(done.stderr.replace("\r", "\n").splitlines()) <= 12, done.stderr  # the bar, and nobody's warnings
    output = Path("outputs/quick")
    assert {path.name for path in output.iterdir()} == {
        *("fire", "stone bridge", "forest fire", "雨", "sheet.png", "index.html")
    }
    assert done.stdout.splitlines()[-2:] == [str(output / "sheet.png"), str(output / "index.html")]
    assert len(pixels(output)) == 8 and not list(output.rglob("*.tmp"))
    with Image.open(output / "sheet.png") as sheet:
        sheet.load()
    page = (output / "index.html").read_text(encoding="utf-8")
    assert page.count("<img ") == 8 and "a kanji meaning forest fire" in page

    for word in ("fire", "stone bridge", "forest fire", "雨"):
        for file in (output / word).iterdir():
            text = Image.open(file).text
            assert text.pop("versions").startswith("diffusers ")
            assert len(text.pop("fingerprint")) == 16
            assert text == {
                "word": word,
                "prompt": f"a kanji meaning {word}",
                "negative_prompt": "",
                "seed": file.stem,
                "model": "quick",
                "scheduler": "DPMSolverMultistep",
                "num_inference_steps": "2",
                "guidance_scale": "2.5",
                "resolution": "as trained",
                "dtype": "fp32",
            }


def test_every_link_of_the_page_leads_to_a_file_beside_it(run, generated):
    words = ["fire", "雨", "50%", "a#b?c", "../x", "😀", "x" * 300]
    generated("runs/quick", *FAST, *words)
    links = re.findall(r'(?:src|href)="([^"]*)"', Path("outputs/quick/index.html").read_text(encoding="utf-8"))
    assert len(links) == 2 * 2 * len(words)
    assert all((Path("outputs/quick") / unquote(link)).is_file() for link in links)


def test_nothing_is_written_outside_the_output_folder(run, generated):
    words = ["../../../etc/x", "/tmp/x", "..", ".", "~", "a/b", "a\\b", "sheet.png", "index.html", "C:", "-rf", "nul"]
    before = {path for path in Path().rglob("*") if path.is_file()}
    generated("runs/quick", "--output", "out/deep", *FAST, "--", *words)
    new = {path for path in Path().rglob("*") if path.is_file()} - before
    assert all(path.parts[:2] == ("out", "deep") and len(path.parts) <= 4 for path in new)
    assert len(new) == 2 * len(words) + 2


def test_an_image_does_not_depend_on_its_company(run, generated):
    generated("runs/quick", *FAST, "--output", "all", "--batch_size", "16", "fire", "forest fire", "雨")
    generated("runs/quick", *FAST, "--output", "turned", "--batch_size", "2", "雨", "a much longer word", "fire")
    generated("runs/quick", *FAST, "--output", "alone", "--batch_size", "1", "fire")
    together, turned, alone = pixels("all"), pixels("turned"), pixels("alone")
    assert len(alone) == 2 and set(alone) <= set(turned) and set(alone) <= set(together)
    assert len(set(together) & set(turned)) == 4
    for name in alone:  # not the same bytes: matrix products of another shape round otherwise
        assert abs(alone[name] - together[name]).max() <= 1
    for name in set(together) & set(turned):
        assert abs(turned[name] - together[name]).max() <= 1
    distinct = list(together.values())
    assert all(abs(a - b).max() > 20 for i, a in enumerate(distinct) for b in distinct[:i])


@pytest.mark.parametrize("name", generate.SCHEDULERS)
def test_every_scheduler_draws_and_keeps_each_image_to_its_seed(saved_run, name):
    import diffusers

    pipe = open_model(saved_run)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = getattr(diffusers, f"{name}Scheduler").from_config(pipe.scheduler.config)
    assert pipe.scheduler.config["prediction_type"] == "v_prediction"
    prompts, seeds = ["fire", "rain", "forest fire"], [1, 2, 3]
    one, three = (
        [np.asarray(i).astype(int) for i in generate.draw(pipe, prompts, seeds, size, num_inference_steps=4)]
        for size in (1, 3)
    )
    assert len(one) == len(three) == 3
    assert all(image.std() > 5 for image in one)
    assert max(abs(a - b).max() for a, b in zip(one, three, strict=True)) <= 1


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_half_precision_draws_nearly_the_same(run, generated, dtype):
    generated("runs/quick", *FAST, "--output", "full", "fire")
    generated("runs/quick", *FAST, "--output", "half", "--dtype", dtype, "fire")
    full, half = pixels("full"), pixels("half")
    assert set(full) == set(half)
    assert all(abs(full[name] - half[name]).mean() < 5 for name in full)


def test_what_is_there_is_not_drawn_again(run, generated):
    assert generated("runs/quick", *FAST, "fire") == (2, 0)
    before = {file: file.stat().st_mtime_ns for file in Path("outputs/quick/fire").iterdir()}
    assert generated("runs/quick", *FAST, "rain", "fire", "fire", "--batch_size", "3") == (2, 2)
    assert {file: file.stat().st_mtime_ns for file in Path("outputs/quick/fire").iterdir()} == before
    assert generated("runs/quick", *FAST[:2], "--num_images", "3", "fire") == (1, 2)


@pytest.mark.parametrize(
    "change",
    [
        ("--guidance_scale", "4"),
        ("--num_inference_steps", "3"),
        ("--negative_prompt", "water"),
        ("--scheduler", "DDIMScheduler"),
        ("--resolution", "32"),
        ("--dtype", "bf16"),
        ("--seed", "1"),
        ("--raw_prompt",),
    ],
)
def test_another_setting_draws_again_and_differently(run, generated, change):
    generated("runs/quick", *FAST, "fire")
    before = {image.tobytes() for image in pixels("outputs").values()}
    assert generated("runs/quick", *FAST, *change, "fire") == (2, 0)
    after = pixels("outputs") if change[0] != "--seed" else {}
    assert not before & {image.tobytes() for image in after.values()}
    assert generated("runs/quick", *FAST, *change, "fire") == (0, 2)


def test_a_run_trained_again_is_drawn_again(run, generated):
    generated("runs/quick", *FAST, "fire")
    tiny_unet(seed=1).save_pretrained(run / "unet")
    assert generated("runs/quick", *FAST, "fire") == (2, 0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-40]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"not an image"),
        lambda file: Image.open(file).copy().save(file),  # its text is gone
        lambda file: Image.open(file).convert("RGB").save(file, "JPEG"),
    ],
)
def test_a_damaged_image_is_drawn_again(run, generated, damage):
    generated("runs/quick", *FAST, "fire")
    file = next(Path("outputs/quick/fire").iterdir())
    damage(file)
    assert generated("runs/quick", *FAST, "fire") == (1, 1)
    assert generate.is_drawn(file, {"word": "fire", "seed": file.stem})


def test_a_checkpoint_is_drawn_into_a_folder_of_its_own(run, monkeypatch, capsys):
    unfinish(run, 9, 10)
    monkeypatch.setattr(sys, "argv", ["generate.py", "runs/quick", *FAST, "fire"])
    generate.main()
    assert "not finished: drawing with its newest checkpoint, checkpoint-10" in capsys.readouterr().err
    assert [path.name for path in Path("outputs").iterdir()] == ["quick-checkpoint-10"]


BAD = [
    (["runs/quick"], "nothing to draw"),
    (["runs/quick", ""], "word 1 is empty"),
    (["runs/quick", "fire", " \t"], "word 2 is empty"),
    (["runs/quick", "fire\udcff"], "not valid UTF-8"),
    (["runs/none", "fire"], "no model at runs/none: not a folder. There is runs/quick"),
    (["runs/quick", "--prompts", "missing.txt"], "missing.txt"),
    (["runs/quick", "--prompts", "empty.txt"], "empty.txt has no words"),
    (["runs/quick", "--prompts", "utf16.txt"], "utf16.txt is not UTF-8"),
    (["runs/quick", "--prompts", "runs"], "runs"),
    (["runs/quick", "fire", "--num_images", "-1"], "-1 is not a whole number of 1 or more"),
    (["runs/quick", "fire", "--num_images", "0"], "0 is not a whole number of 1 or more"),
    (["runs/quick", "fire", "--batch_size", "two"], "two is not a whole number of 1 or more"),
    (["runs/quick", "fire", "--num_inference_steps", "1.5"], "1.5 is not a whole number of 1 or more"),
    (["runs/quick", "fire", "--guidance_scale", "strong"], "--guidance_scale"),
    (["runs/quick", "fire", "--scheduler", "Eular"], "no scheduler Eular: choose from DPMSolverMultistep, "),
    (["runs/quick", "fire", "--dtype", "int8"], "--dtype"),
    (["runs/quick", "fire", "--num_image", "2"], "unrecognized arguments: --num_image"),
    (["runs/quick", "fire", "--output", "empty.txt"], "empty.txt"),
    (["runs/quick", "fire", "--output", "empty.txt/x"], "empty.txt"),
    ([], "MODEL"),
]


@pytest.mark.parametrize(("argv", "said"), BAD)
def test_bad_usage_is_one_clear_line(root, run, argv, said):
    Path("empty.txt").write_text("# nothing\n\n")
    Path("utf16.txt").write_text("fire", encoding="utf-16")
    argv = [os.fsencode(word) for word in argv]
    done = subprocess.run([sys.executable, root / "generate.py", *argv], capture_output=True)
    usage, error = done.stderr.decode().splitlines()
    assert done.returncode == 2
    assert usage.startswith("usage: python generate.py MODEL")
    assert said in error
    assert not Path("outputs").exists()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--resolution", "30"], "multiples of 4"),
        (["--device", "nonsense"], "cannot be opened on nonsense"),
    ],
)
def test_what_only_the_model_can_tell_is_one_line_too(run, monkeypatch, argv, said):
    monkeypatch.setattr(sys, "argv", ["generate.py", "runs/quick", "fire", *FAST, *argv])
    with pytest.raises(SystemExit) as stop:
        generate.main()
    assert said in stop.value.code and "\n" not in stop.value.code
    assert not list(Path("outputs").rglob("*.png"))


def test_a_template_with_more_fields_points_at_raw_prompt_and_raw_prompt_draws(root, run, generated):
    (run / "run.json").write_text(json.dumps({"caption_template": "{meanings} in {stroke_count} strokes"}))
    done = generate_py(root, "runs/quick", "fire")
    assert done.returncode == 2 and "--raw_prompt" in done.stderr.splitlines()[-1]
    assert generated("runs/quick", *FAST, "--raw_prompt", "fire {meanings}") == (2, 0)
    assert {Image.open(file).text["prompt"] for file in Path("outputs").rglob("[0-9]*.png")} == {"fire {meanings}"}


def test_when_memory_runs_out_the_batch_size_is_named(run, monkeypatch):
    def out_of_memory(*args, **options):
        raise torch.OutOfMemoryError

    monkeypatch.setattr("models.text_to_glyph.TextToGlyphPipeline.__call__", out_of_memory)
    monkeypatch.setattr(sys, "argv", ["generate.py", "runs/quick", "fire", *FAST, "--guidance_scale", "2"])
    with pytest.raises(SystemExit, match="--batch_size"):
        generate.main()


def test_help_loads_nothing_heavy(root):
    program = "import sys, generate; assert not {'torch', 'diffusers', 'transformers', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)
    done = generate_py(root, "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: python generate.py MODEL")
    assert generate.__doc__.strip() in done.stdout
