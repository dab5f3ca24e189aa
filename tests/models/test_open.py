"""What a run saved opens as a pipeline, and what is no model is named with what is near."""

import re
import shutil

import pytest
import torch
from diffusers import UNet2DConditionModel
from tiny_run import save_tiny_run, tiny_unet, unfinish

from models.find import caption_template, checkpoints, find_model, fingerprint
from models.open import open_model
from models.text_to_glyph import TextToGlyphPipeline


@pytest.fixture(scope="module")
def saved_run(tmp_path_factory):
    return save_tiny_run(tmp_path_factory.mktemp("runs") / "quick", guidance_scale=3.5)


@pytest.fixture
def run(saved_run, tmp_path):
    """A finished run of the test's own."""
    return shutil.copytree(saved_run, tmp_path / "runs" / "quick")


def same_weights(unet, other):
    return all(torch.equal(a, b) for a, b in zip(unet.parameters(), other.parameters(), strict=True))


def test_a_finished_run_opens_as_the_pipeline_that_was_saved(run):
    ours, theirs = open_model(run), TextToGlyphPipeline.from_pretrained(run)
    assert same_weights(ours.unet, theirs.unet)
    assert (ours.config["guidance_scale"], ours.config["channels"]) == (3.5, 1)
    assert ours.config["guidance_scale"] == theirs.config["guidance_scale"]
    pictures = [
        pipe("fire", num_inference_steps=2, generator=torch.Generator().manual_seed(1), output_type="pt").images
        for pipe in (ours, theirs)
    ]
    assert torch.equal(*pictures)


def test_only_the_unet_takes_another_precision(run):
    pipe = open_model(run, torch.bfloat16)
    assert (pipe.unet.dtype, pipe.text_encoder.dtype) == (torch.bfloat16, torch.float32)


def test_an_unfinished_run_opens_at_its_newest_checkpoint_and_says_so(run):
    unfinish(run, 9, 10)
    saved = find_model(run)
    assert saved.name == "quick-checkpoint-10"
    assert "not finished" in saved.note and "checkpoint-10" in saved.note
    assert same_weights(open_model(run).unet, tiny_unet(seed=10))


def test_a_checkpoint_opens_with_its_averaged_weights_where_it_has_them(run):
    unfinish(run, 9)
    assert same_weights(open_model(run / "checkpoint-9").unet, tiny_unet(seed=9))
    tiny_unet(seed=99).save_pretrained(run / "checkpoint-9" / "unet_ema")
    assert same_weights(open_model(run / "checkpoint-9").unet, tiny_unet(seed=99))
    assert find_model(run / "checkpoint-9").note == ""


def test_a_checkpoint_of_a_finished_run_is_not_the_run(run):
    tiny_unet(seed=5).save_pretrained(run / "checkpoint-5" / "unet")
    assert find_model(run).name == "quick"
    assert find_model(run / "checkpoint-5").name == "quick-checkpoint-5"
    assert same_weights(open_model(run / "checkpoint-5").unet, tiny_unet(seed=5))
    assert open_model(run / "checkpoint-5").config["guidance_scale"] == 3.5


def test_half_a_checkpoint_is_passed_over(run):
    unfinish(run, 9)
    (run / "checkpoint-20" / "unet").mkdir(parents=True)
    tiny_unet().save_pretrained(run / "checkpoint-30.tmp" / "unet")
    assert find_model(run).name == "quick-checkpoint-9"
    with pytest.raises(FileNotFoundError, match="not a whole checkpoint"):
        find_model(run / "checkpoint-20")


def test_checkpoints_are_in_the_order_of_their_numbers(tmp_path):
    for name in ("checkpoint-100", "checkpoint-20", "checkpoint-3", "checkpoint-x", "checkpoint-7.tmp"):
        (tmp_path / name).mkdir()
    assert [folder.name for folder in checkpoints(tmp_path)] == ["checkpoint-3", "checkpoint-20", "checkpoint-100"]


@pytest.mark.parametrize("spelling", ["runs/quick", "runs/quick/", "./runs/../runs/quick"])
def test_the_name_of_a_run_is_that_of_its_folder(run, tmp_path, monkeypatch, spelling):
    monkeypatch.chdir(tmp_path)
    assert find_model(spelling).name == "quick"
    monkeypatch.chdir(run)
    assert find_model(".").name == "quick"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("runs/quik", "no model at runs/quik: not a folder. There is runs/quick"),
        ("quick", "There is runs/quick"),
        ("runs", "no model_index.json in runs. There is runs/quick"),
        ("runs/quick/model_index.json", "not a folder"),
        ("runs/quick/unet", "no model_index.json in runs/quick/unet"),
        ("runs/quick/checkpoint-5", "not a folder"),
        ("", "not a folder"),
    ],
)
def test_what_is_no_model_is_named_with_what_is_near(run, tmp_path, monkeypatch, path, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=re.escape(said)):
        find_model(path)


def test_where_nothing_is_trained_the_error_says_how_to(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"\./launch_training\.sh"):
        find_model("runs/quick")


def test_a_run_that_has_only_begun_says_so(run):
    unfinish(run)
    with pytest.raises(FileNotFoundError, match="no weights yet"):
        find_model(run)
    (run / "model_index.json").unlink()
    with pytest.raises(FileNotFoundError, match="only begun"):
        find_model(run)


def cut_short(run):
    weights = run / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut_short, "cannot be opened"),
        (lambda run: (run / "unet" / "config.json").write_text("{"), "cannot be opened"),
        (lambda run: shutil.rmtree(run / "text_pooling"), "cannot be opened"),
        (lambda run: shutil.rmtree(run / "tokenizer"), "cannot be opened"),
        (lambda run: (run / "text_encoder" / "config.json").unlink(), "cannot be opened"),
        (lambda run: (run / "model_index.json").write_text("[]"), "not a pipeline's index"),
        (lambda run: (run / "model_index.json").write_text("{"), "not a pipeline's index"),
        (lambda run: (run / "model_index.json").write_text('{"_class_name": "FluxPipeline"}'), "is a FluxPipeline"),
    ],
)
def test_a_damaged_or_foreign_model_is_an_error_of_one_line(run, damage, said):
    damage(run)
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        open_model(run)
    assert "\n" not in str(error.value)


def test_weights_are_only_read_from_safetensors(run):
    weights = run / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(FileNotFoundError, match="no weights yet"):
        open_model(run)


def test_training_again_changes_the_fingerprint_and_copying_does_not(run, tmp_path):
    before = fingerprint(find_model(run))
    assert fingerprint(find_model(shutil.copytree(run, tmp_path / "copy"))) == before
    unet = UNet2DConditionModel.from_pretrained(run / "unet")
    with torch.no_grad():
        unet.conv_out.bias[0] += 1e-3
    unet.save_pretrained(run / "unet")
    assert fingerprint(find_model(run)) != before


@pytest.mark.parametrize(
    ("record", "template"),
    [
        (None, "{meanings}"),
        ("{}", "{meanings}"),
        ('{"caption_template": null}', "{meanings}"),
        ('{"caption_template": "a kanji meaning {meanings}"}', "a kanji meaning {meanings}"),
        ('{"caption_template": "漢字「{meanings}」 {{x}}"}', "漢字「{meanings}」 {{x}}"),
    ],
)
def test_the_caption_template_is_that_of_the_runs_record(tmp_path, record, template):
    if record is not None:
        (tmp_path / "run.json").write_text(record, encoding="utf-8")
    assert caption_template(tmp_path) == template


@pytest.mark.parametrize(
    "record",
    [
        '{"caption_template": "{meanings}, {stroke_count} strokes"}',
        '{"caption_template": "a kanji"}',
        '{"caption_template": "{meanings"}',
        '{"caption_template": "{0}"}',
        '{"caption_template": "{meanings.__class__}"}',
        '{"caption_template": "{meanings:{width}}"}',
        '{"caption_template": 7}',
        "[]",
        "{",
    ],
)
def test_a_template_that_a_word_cannot_fill_points_at_raw_prompt(tmp_path, record):
    (tmp_path / "run.json").write_text(record, encoding="utf-8")
    with pytest.raises(ValueError, match="--raw_prompt"):
        caption_template(tmp_path)
