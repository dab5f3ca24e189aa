"""The preflight as a whole: what it shows of steps, disk, memory, data and model, and when it stops a launch."""

import re
from pathlib import Path

import pytest
from good_facts import GOOD
from PIL import Image

from launch import data_traps, footprint, hub, preflight, traps
from launch.flags import Setting, read_recipe, script_flags, to_argv
from launch.script import script_path


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty project, on a machine with a GPU of 24 GB and no way to the Hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(preflight, "gpu_count", lambda: 1)
    monkeypatch.setattr(footprint, "gpu_memory", lambda: 24 * 10**9)

    def no_way(*_):
        raise OSError("the Hub cannot be reached")

    monkeypatch.setattr(hub, "read", no_way)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "config.yaml").write_text("distributed_type: 'NO'\n")
    return tmp_path


def run(script, mode="check", config="config.yaml", **settings):
    argv = (f"--{key}" if value is True else f"--{key}={value}" for key, value in settings.items())
    return preflight.main(mode, config, "recipe.yaml", script, *argv)


REAL = {"pretrained_model_name_or_path": "CompVis/stable-diffusion-v1-4", "dataset_name": "a/b", "output_dir": "runs/x"}
REAL |= {"train_batch_size": 4, "gradient_accumulation_steps": 2, "checkpointing_steps": 500, "resolution": 512}


def test_without_script_data_base_model_and_hub_it_says_what_it_could_not_look_at(project, capsys):
    assert run("nowhere/train_text_to_image.py", output_dir="runs/x", train_data_dir="data/kanji/train") == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    assert "Not seen  the data: data/kanji/train is not built yet" in output
    assert "Not seen  the number of steps" in output
    assert "not at hand, knows resolution, train_batch_size, checkpointing_steps\n" in output
    assert run("nowhere/train_text_to_image.py", **REAL) == 0
    output = capsys.readouterr().out
    assert output.count("Not seen  the Hub cannot be reached") == 2
    assert all(line[9] == " " != line[10] for line in output.splitlines())  # labels of ten columns


def test_arithmetic_disk_and_memory_are_shown_and_compared_with_the_machine(project, capsys):
    assert (
        run("train_text_to_image.py", max_train_steps=20000, checkpoints_total_limit=2, use_8bit_adam=True, **REAL) == 0
    )
    output = capsys.readouterr().out
    assert "Steps     20,000 of 8 images (4 x 2 accumulated) = 160,000 images" in output
    assert "Disk      15.8 GB: 2 x 5.2 GB for checkpoints, 5.5 GB for the model; " in output
    assert " GB a GPU, computed: weights 3.4 GB + gradients 3.4 GB + optimizer 1.7 GB + VAE and text enc" in output
    assert "the GPU has 24.0 GB" in output


def test_scripts_without_numbers_are_not_seen_and_scripts_without_a_base_model_not_mentioned(project, capsys):
    assert run("train_text_to_image_sdxl.py", max_train_steps=10, **REAL) == 0
    assert "Not seen  disk and memory: there are no numbers for train_text_to_image_sdxl.py" in capsys.readouterr().out
    assert run("train_ours.py", output_dir="runs/x") == 0
    assert capsys.readouterr().out == ""


def test_a_disk_that_is_too_small_is_an_error_with_the_number_of_checkpoints_that_fit(project, capsys, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 45 * 10**9}))
    assert run("train_text_to_image.py", max_train_steps=20000, **REAL) == 2
    output, errors = capsys.readouterr()
    assert (
        "40 x 10.3 GB for checkpoints, 5.5 GB for the model; what is downloaded comes on top; 45.0 GB are free"
        in output
    )
    assert errors == "Error     the run needs about 418.1 GB, and 45.0 GB are free: --checkpoints_total_limit=3\n"
    assert run("train_text_to_image.py", max_train_steps=20000, checkpoints_total_limit=3, **REAL) == 0
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 9 * 10**9}))
    assert run("train_text_to_image.py", max_train_steps=20000, checkpoints_total_limit=3, **REAL) == 2
    assert "free some, or choose another --output_dir" in capsys.readouterr().err


def test_many_checkpoints_that_are_all_kept_are_a_warning(project, capsys, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10**12}))
    assert run("train_text_to_image.py", max_train_steps=20000, **REAL) == 0
    assert "Warning   all 40 checkpoints are kept, 412.6 GB: --checkpoints_total_limit=3" in capsys.readouterr().out
    assert run("train_text_to_image_lora.py", max_train_steps=20000, rank=4, **REAL) == 0
    assert "Warning" not in capsys.readouterr().out


def test_a_gpu_that_is_too_small_is_a_warning_with_what_helps(project, capsys, monkeypatch):
    monkeypatch.setattr(footprint, "gpu_memory", lambda: 8 * 10**9)
    assert run("train_text_to_image.py", max_train_steps=1000, **REAL) == 0
    output = capsys.readouterr().out
    assert " computed, and the GPU has 8.0 GB; what helps: --gradient_checkpointing, --use_8bit" in output
    assert "--train_batch_size=2 with twice the --gradient_accumulation_steps" in output
    assert run("train_text_to_image_lora.py", max_train_steps=1000, rank=4, mixed_precision="fp16", **REAL) == 0
    assert "Warning" not in capsys.readouterr().out


def test_what_a_check_cannot_know_a_launch_insists_on(project, capsys):
    assert run("train_text_to_image.py", "launch", max_train_steps=1000, **REAL) == 2
    output, errors = capsys.readouterr()
    assert errors.startswith("Error     the Hub cannot be reached: set HF_ENDPOINT to a mirror")  # the base model
    assert "Warning   the Hub cannot be reached: set HF_ENDPOINT to a mirror" in output  # the data may be in a cache


def test_the_tiny_model_may_be_missing_in_a_check_only(project, capsys):
    settings = REAL | {"pretrained_model_name_or_path": "runs/tiny-stable-diffusion", "max_train_steps": 10}
    assert run("train_text_to_image.py", **settings) == 0
    assert run("train_text_to_image.py", "launch", **settings) == 2
    assert "runs/tiny-stable-diffusion is no folder" in capsys.readouterr().err
    (project / "runs/tiny-stable-diffusion/vae").mkdir(parents=True)
    assert run("train_text_to_image.py", **settings) == 2
    errors = capsys.readouterr().err
    assert (
        "lacks model_index.json, scheduler, text_encoder, tokenizer, unet: name the folder of a whole pipel" in errors
    )
    for part in preflight.PARTS:
        (project / "runs/tiny-stable-diffusion" / part).mkdir(exist_ok=True)
    assert run("train_text_to_image.py", **settings) == 0


def test_values_are_what_the_scripts_parser_makes_of_them(project):
    (project / "train_x.py").write_text(
        "parser.add_argument('--steps', type=int, default=3)\nparser.add_argument('--rate', type=float)\n"
        "parser.add_argument('--prompt', type=str)\nparser.add_argument('--sizes', type=int, nargs='+')\n"
        "parser.add_argument('--ema', action='store_true')\n"
    )
    texts = {"rate": "1", "prompt": "5", "ema": True, "sizes": ["1", "2"]}
    settings = {key: Setting(value, "") for key, value in texts.items()}
    args = preflight.script_arguments(settings, script_flags(project / "train_x.py"))
    assert args == {"steps": 3, "rate": 1.0, "prompt": "5", "sizes": ["1", "2"], "ema": True}
    assert isinstance(args["rate"], float)
    without = preflight.script_arguments(
        {"rate": Setting("1e-4", ""), "n": Setting("8", ""), "t": Setting("a", "")}, {}
    )
    assert without == {"rate": 1e-4, "n": 8, "t": "a"}


@pytest.mark.parametrize(
    ("folders", "named", "instead"),
    [
        (["test", "train"], "data/mine", "data/mine/train"),
        (["a", "b"], "data/mine", "data/mine/a"),
        (["train"], "data/mine", None),
        (["train/deep"], "data/mine/train", None),
    ],
)
def test_several_splits_below_the_training_folder_are_an_error(project, folders, named, instead):
    for folder in folders:
        (project / "data" / "mine" / folder).mkdir(parents=True)
        (project / "data" / "mine" / folder / "metadata.jsonl").touch()
    found = data_traps.nested_splits(Path(named))
    assert bool(found) == bool(instead)
    assert not instead or f"--train_data_dir={instead}" in found[0][1]


def test_a_local_folder_as_dataset_name_is_looked_at_like_a_training_folder(project, capsys):
    folder = project / "mine" / "train"
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 64), "white").save(folder / "a.png")
    (folder / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "fire"}\n')
    assert run("train_text_to_image.py", **REAL | {"dataset_name": "mine", "max_train_steps": 1}) == 2
    output, errors = capsys.readouterr()
    assert "Data      1 images in mine/train, 64 x 64 pixels, 1 captions" in output
    assert "Steps     1 of 8 images (4 x 2 accumulated) = 8 images, 1.0 epochs of 1 steps\n" in output
    assert "1 images are blank: a.png" in errors
    (folder / "metadata.jsonl").write_text("{")
    assert run("train_text_to_image.py", **REAL | {"dataset_name": "mine", "max_train_steps": 1}) == 2
    assert "mine/train/metadata.jsonl, line 1: not JSON" in capsys.readouterr().err


@pytest.mark.parametrize("looked_at", [40, 100])
def test_images_that_a_check_had_no_time_for_are_counted(project, capsys, monkeypatch, looked_at):
    asked = []
    monkeypatch.setattr(data_traps, "lint", lambda *what: asked.append(what) or GOOD._replace(looked_at=looked_at))
    (project / "mine").mkdir()
    (project / "model" / "tokenizer").mkdir(parents=True)
    (project / "model" / "tokenizer" / "vocab.json").touch()
    settings = {"dataset_name": "imagefolder", "train_data_dir": "mine", "pretrained_model_name_or_path": "model"}
    run("train_text_to_image.py", **REAL | settings)
    output = capsys.readouterr().out
    assert "Data      100 images in mine" in output
    assert ("of the images: a launch looks at them all" in output) == (looked_at == 40)
    assert ("Not seen  60 of" in output) == (looked_at == 40)
    assert run("train_ours.py", output_dir="runs/x", train_data_dir="mine", caption_column="captions") == 2
    assert run("train_ours.py", output_dir="runs/x", train_data_dir="mine") == 0
    assert "Not seen  the data: train_ours.py reads it in a way of its own" in capsys.readouterr().out
    assert asked == [(Path("mine"), "text", Path("model/tokenizer"), 0.35), (Path("mine"), "captions", None, 0.35)]


@pytest.mark.parametrize("flag", traps.AT_LEAST_1)
def test_a_zero_that_no_training_can_do_with_is_one_error_and_nothing_is_counted_with_it(project, capsys, flag):
    assert run("train_text_to_image_lora.py", **REAL | {flag: 0}) == 2
    assert capsys.readouterr() == ("", f"Error     --{flag}=0: it must be 1 or more\n")


def test_a_base_model_that_is_gone_but_in_the_cache_is_used(project, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(project)
    (project / "model_index.json").write_text("{}")
    monkeypatch.setattr(hub, "find", lambda *_: project / "model_index.json")
    assert hub.read("model", "runwayml/stable-diffusion-v1-5", "model_index.json", None, 0.1) == "{}"


def test_a_real_unet_without_a_gpu_is_warned_of(project, capsys, monkeypatch):
    monkeypatch.setattr(preflight, "gpu_count", lambda: 0)
    run("train_text_to_image.py", **REAL)
    assert "Warning   there is no GPU here: for 859,520,964 parameters" in capsys.readouterr().out


def test_the_shipped_recipes_walk_into_no_trap(project, root, capsys, monkeypatch):
    """On one GPU of 24 GB. What they are said to need is in their heads."""
    monkeypatch.chdir(root)
    monkeypatch.setitem(preflight.IMAGE_SECONDS, "check", 0.05)
    for recipe in sorted(Path("recipes").glob("*/*.yaml")):
        try:
            script = str(script_path(recipe.parent.name, examples_url="file:///nowhere"))
        except OSError:  # not in the cache: then its defaults are not known
            script = f"{recipe.parent.name}.py"
        status = preflight.main("check", "accelerate_config.yaml", str(recipe), script, *to_argv(read_recipe(recipe)))
        output, errors = capsys.readouterr()
        assert (status, errors) == (0, ""), recipe
        assert "Warning" not in output, recipe
        if said := re.search(r"computed by --check and not measured yet: ([\d.]+ GB)", recipe.read_text("utf-8")):
            assert f"Memory    {said[1]} a GPU" in output or not Path(script).is_file(), recipe
        else:
            assert "-sd-" not in recipe.name
