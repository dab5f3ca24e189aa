"""What diffusers' official scripts save opens with the weights, the size and the base model of its training."""

import json
import logging
import re
import shutil

import pytest
import tiny_sd
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file
from tiny_run import save_tiny_run

from models.find import find_model, fingerprint
from models.open import open_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """base, and in runs/: full, lora (64 pixels) and unfinished (checkpoints 5, and 10 with averaged weights)."""
    folder = tmp_path_factory.mktemp("saved")
    base, runs = tiny_sd.save_base(folder / "base"), folder / "runs"
    tiny_sd.save_full_run(runs / "full", base)
    tiny_sd.save_lora(tiny_sd.save_record(runs / "lora", base), base)
    tiny_sd.save_lora(runs / "lora" / "checkpoint-3", base, seed=3, as_checkpoint=True)
    unfinished = tiny_sd.save_record(runs / "unfinished", base)
    tiny_sd.save_checkpoint(unfinished, base, 5)
    tiny_sd.save_checkpoint(unfinished, base, 10, ema_seed=77)
    return folder


@pytest.fixture
def place(saved, tmp_path, monkeypatch):
    """A copy of `saved` of the test's own, as the current folder; its records name the copy's base."""
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    for run in (tmp_path / "runs").iterdir():
        change_record(run, pretrained_model_name_or_path=str(tmp_path / "base"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def change_record(run, **changes):
    record = json.loads((run / "run.json").read_text()) | changes
    (run / "run.json").write_text(json.dumps({key: value for key, value in record.items() if value is not None}))


def same_weights(model, other):
    return all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def picture(path, **settings):
    pipe = open_model(path)
    pipe.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    return pipe("fire", num_inference_steps=2, generator=generator, output_type="pt", **settings).images


def test_a_finished_run_opens_as_the_pipeline_that_was_saved(saved):
    ours, theirs = open_model(saved / "runs/full"), StableDiffusionPipeline.from_pretrained(saved / "runs/full")
    for part in ("unet", "vae", "text_encoder"):
        assert same_weights(getattr(ours, part), getattr(theirs, part))
    assert same_weights(ours.unet, tiny_sd.other_unet(saved / "base", 1))


def test_the_base_model_the_full_run_and_the_lora_draw_differently(saved):
    pictures = [picture(saved / name) for name in ("base", "runs/full", "runs/lora", "runs/lora/checkpoint-3")]
    assert all((a - b).abs().max() > 0.05 for i, a in enumerate(pictures) for b in pictures[:i])


@pytest.mark.parametrize(("path", "seed"), [("checkpoint-5", 5), ("checkpoint-10", 77), ("", 77)])
def test_a_checkpoint_opens_with_its_averaged_weights_where_it_has_them(saved, path, seed):
    assert same_weights(open_model(saved / "runs/unfinished" / path).unet, tiny_sd.other_unet(saved / "base", seed))


def test_an_unfinished_run_says_which_checkpoint_it_draws_with(saved):
    found = find_model(saved / "runs/unfinished")
    assert found.name == "unfinished-checkpoint-10"
    assert "not finished" in found.note and "checkpoint-10" in found.note
    assert find_model(saved / "runs/unfinished/checkpoint-10").note == ""


@pytest.mark.parametrize(
    "cut",
    [
        lambda checkpoint: (checkpoint / "random_states_0.pkl").unlink(),
        lambda checkpoint: [shutil.rmtree(checkpoint / part) for part in ("unet", "unet_ema")],
        lambda checkpoint: [file.unlink() for file in checkpoint.glob("unet*/*.safetensors")],
        lambda checkpoint: checkpoint.rename(checkpoint.with_suffix(".tmp")),
    ],
)
def test_half_a_checkpoint_is_passed_over(place, cut):
    cut(place / "runs/unfinished/checkpoint-10")
    assert find_model("runs/unfinished").name == "unfinished-checkpoint-5"
    with pytest.raises(FileNotFoundError, match=r"not a whole checkpoint|not a folder"):
        find_model("runs/unfinished/checkpoint-10")


def test_half_a_checkpoint_of_a_lora_is_passed_over(place):
    (place / "runs/lora/pytorch_lora_weights.safetensors").unlink()
    assert find_model("runs/lora").name == "lora-checkpoint-3"
    (place / "runs/lora/checkpoint-3/random_states_0.pkl").unlink()
    with pytest.raises(FileNotFoundError, match="no weights yet"):
        find_model("runs/lora")


def test_a_pipeline_that_is_just_being_saved_is_not_taken_for_whole(place):
    shutil.copytree(place / "base/unet", place / "runs/unfinished/unet")  # its index is written last
    assert find_model("runs/unfinished").name == "unfinished-checkpoint-10"


def test_a_finished_run_and_its_checkpoints_need_no_base_model(place):
    tiny_sd.save_checkpoint(place / "runs/full", place / "base", 7)
    expected = tiny_sd.other_unet(place / "base", 7)
    shutil.rmtree(place / "base")
    assert find_model("runs/full").name == "full"
    assert same_weights(open_model("runs/full/checkpoint-7").unet, expected)
    (place / "runs/full/run.json").unlink()
    assert open_model("runs/full/checkpoint-7").unet.config.sample_size == 16


@pytest.mark.parametrize("path", ["runs/lora", "runs/lora/checkpoint-3"])
def test_a_lora_opens_with_its_own_matrices_on_its_base_model(saved, path):
    unet = open_model(saved / path).unet
    stored = load_file(saved / path / "pytorch_lora_weights.safetensors")
    loaded = {name: value for name, value in unet.named_parameters() if "lora_" in name}
    assert len(loaded) == len(stored) == 64
    assert sorted(value.sum().item() for value in stored.values()) == sorted(v.sum().item() for v in loaded.values())
    base = UNet2DConditionModel.from_pretrained(saved / "base/unet")
    assert torch.equal(unet.get_submodule("conv_in").weight, base.conv_in.weight)


def test_the_base_model_is_seen_from_the_projects_folder(place, monkeypatch):
    change_record(place / "runs/lora", pretrained_model_name_or_path="runs/tiny-base")
    (place / "base").rename(place / "runs/tiny-base")
    with pytest.raises(FileNotFoundError, match="the base model of runs/lora, runs/tiny-base, is gone"):
        find_model("runs/lora")
    monkeypatch.setattr("models.find.PROJECT", place)
    assert find_model("runs/lora").base == place / "runs/tiny-base"


@pytest.mark.parametrize("run", ["full", "lora", "unfinished"])
def test_a_run_draws_at_the_size_it_was_trained_at(place, run):
    change_record(place / "runs" / run, resolution="32")
    assert picture(place / "runs" / run).shape == (1, 3, 32, 32)
    assert picture(place / "runs" / run, height=64, width=64).shape == (1, 3, 64, 64)
    change_record(place / "runs" / run, resolution=None)  # the scripts' own default, then
    assert open_model(place / "runs" / run).unet.config.sample_size == 512 // 4


@pytest.mark.parametrize("run", ["full", "lora", "unfinished"])
def test_a_run_draws_with_the_prediction_type_it_was_trained_with(place, run):
    assert open_model(place / "runs" / run).scheduler.config.prediction_type == "epsilon"
    change_record(place / "runs" / run, prediction_type="v_prediction")
    assert open_model(place / "runs" / run).scheduler.config.prediction_type == "v_prediction"


def test_weights_in_the_format_of_old_pipelines_open(place):
    expected = open_model("base")
    for file in list((place / "base").glob("*/*.safetensors")):
        old = "pytorch_model.bin" if file.name == "model.safetensors" else "diffusion_pytorch_model.bin"
        torch.save(load_file(file), file.with_name(old))
        file.unlink()
    pipe = open_model("base")
    assert all(same_weights(getattr(pipe, part), getattr(expected, part)) for part in ("unet", "vae", "text_encoder"))


def test_the_variant_of_the_base_model_is_the_trained_one(place):
    for file in (place / "base").glob("*/*.safetensors"):
        file.rename(file.with_suffix(".fp16.safetensors"))
    with pytest.raises(ValueError, match="runs/unfinished cannot be opened"):
        open_model("runs/unfinished")
    change_record(place / "runs/unfinished", variant="fp16")
    assert picture("runs/unfinished").shape == (1, 3, 64, 64)


def test_no_safety_checker_is_loaded_nor_missed(place, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("diffusers"), "propagate", True)
    index = json.loads((place / "base/model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    index["feature_extractor"] = ["transformers", "CLIPImageProcessor"]
    index["requires_safety_checker"] = True
    (place / "base/model_index.json").write_text(json.dumps(index))
    assert open_model("base").safety_checker is None
    assert not caplog.messages


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("path", ["base", "runs/full", "runs/lora", "runs/unfinished"])
def test_the_whole_pipeline_takes_another_precision(saved, path, dtype):
    pipe = open_model(saved / path, dtype)
    assert {p.dtype for part in (pipe.unet, pipe.vae, pipe.text_encoder) for p in part.parameters()} == {dtype}


def test_a_fingerprint_tells_what_a_name_does_not(place):
    seen = {fingerprint(find_model(path)) for path in ("base", "runs/full", "runs/lora", "runs/lora/checkpoint-3")}
    shutil.copytree("runs/lora", "copy")
    assert fingerprint(find_model("copy")) in seen and len(seen) == 4

    change_record(place / "copy", resolution="32")
    seen.add(fingerprint(find_model("copy")))
    change_record(place / "copy", prediction_type="v_prediction")
    seen.add(fingerprint(find_model("copy")))
    tiny_sd.other_unet(place / "base", 9).save_pretrained(place / "base/unet")
    seen.add(fingerprint(find_model("copy")))
    assert len(seen) == 7


def damaged(file, keep=-100):
    file.write_bytes(file.read_bytes()[:keep])


def without_run_json(place):
    (place / "runs/lora/run.json").unlink()


def on_a_smaller_base(place):
    """A base model without the second block's attention."""
    config = json.loads((place / "base/unet/config.json").read_text())
    config["down_block_types"], config["up_block_types"] = ["DownBlock2D"] * 2, ["UpBlock2D"] * 2
    UNet2DConditionModel.from_config(config).save_pretrained(place / "base/unet")


def on_a_wider_base(place):
    config = json.loads((place / "base/unet/config.json").read_text())
    UNet2DConditionModel.from_config(config | {"block_out_channels": [24, 48]}).save_pretrained(place / "base/unet")


def on_glyphs(place):
    change_record(save_tiny_run(place / "glyphs"), script="")
    change_record(place / "runs/lora", pretrained_model_name_or_path=str(place / "glyphs"))


def index_with(**parts):
    def change(place):
        file = place / "base/model_index.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | parts))

    return change


@pytest.mark.parametrize(
    ("path", "damage", "said"),
    [
        ("runs/lora", without_run_json, "runs/lora needs its base model: a run.json in runs/lora that has"),
        ("runs/lora/checkpoint-3", without_run_json, "needs its base model"),
        ("runs/unfinished/checkpoint-5", lambda place: (place / "runs/unfinished/run.json").unlink(), "needs its base"),
        ("runs/lora", lambda place: shutil.rmtree(place / "base"), "is gone: bring it back"),
        ("runs/unfinished", lambda place: (place / "base/model_index.json").unlink(), "is no StableDiff"),
        ("runs/lora", lambda place: (place / "runs/lora/run.json").write_text("{"), "run.json cannot be read"),
        ("runs/lora", lambda place: (place / "runs/lora/run.json").write_text("[]"), "run.json cannot be read"),
        ("runs/full", lambda place: change_record(place / "runs/full", resolution="big"), "run.json cannot be read"),
        ("runs/lora", on_a_smaller_base, "LoRA"),
        ("runs/lora", on_a_wider_base, "size mismatch"),
        ("runs/lora", on_glyphs, "is no StableDiffusionPipeline"),
        ("runs/lora", lambda place: damaged(place / "runs/lora/pytorch_lora_weights.safetensors"), "cannot be opened"),
        ("runs/full", lambda place: damaged(place / "runs/full/unet/diffusion_pytorch_model.safetensors"), "cannot be"),
        ("runs/full", lambda place: damaged(place / "runs/full/vae/diffusion_pytorch_model.safetensors"), "cannot be"),
        ("runs/full", lambda place: damaged(place / "runs/full/text_encoder/model.safetensors", 5), "cannot be opened"),
        ("runs/full", lambda place: shutil.rmtree(place / "runs/full/tokenizer"), "there is no tokenizer"),
        ("runs/lora", lambda place: shutil.rmtree(place / "base/vae"), "there is no vae"),
        ("base", index_with(_class_name=["my_pipeline", "MyPipeline"]), "brings code of its own"),
        ("base", index_with(unet=["my_unet", "MyUnet"]), "brings code of its own"),
        ("runs/lora", index_with(unet=["my_unet", "MyUnet"]), "brings code of its own"),
        ("base", index_with(_class_name="StableDiffusionXLPipeline"), "is a StableDiffusionXLPipeline: only"),
    ],
)
def test_what_cannot_be_opened_is_an_error_of_one_line(place, path, damage, said):
    damage(place)
    with pytest.raises((ValueError, FileNotFoundError), match=re.escape(said)) as error:
        open_model(path)
    assert "\n" not in str(error.value)
    assert path in str(error.value)


def test_code_in_a_models_folder_is_never_run(place):
    """Nor where the index gives it the name of a library."""
    code = f"open({str(place / 'was run')!r}, 'w'); from diffusers import UNet2DConditionModel"
    for name in ("diffusers", "my_unet", "pipeline"):
        (place / "base/unet" / f"{name}.py").write_text(code)
        (place / "base" / f"{name}.py").write_text(code)
    for change in ({"unet": ["my_unet", "UNet2DConditionModel"]}, {}, {"_class_name": ["pipeline", "Pipe"]}):
        index_with(**change)(place)
        with pytest.raises(ValueError):
            open_model("base")
    assert not (place / "was run").exists()


def test_runs_of_all_scripts_are_named_as_near(place):
    shutil.rmtree(place / "runs/lora/checkpoint-3")
    with pytest.raises(FileNotFoundError, match=re.escape("There is runs/full, runs/lora, runs/unfinished.")):
        find_model("runs/ful")
