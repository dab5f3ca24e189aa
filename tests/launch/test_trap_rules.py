"""What is an error, what is a warning and what is neither: the judgements of traps.py and data_traps.py, one by one."""

import math
import zipfile
from pathlib import Path

import pytest
from good_facts import GOOD

from launch import data_traps, traps
from launch.footprint import Schedule
from launch.traps import Launch

FULL, LORA, SDXL, OURS = "train_text_to_image", "train_text_to_image_lora", "train_text_to_image_sdxl", "train_ours"


def launch(script=FULL, on_gpu=True, processes=1, configured="no", **args):
    official = script != OURS
    args = {"output_dir": "runs/mine", "train_data_dir": "data/mine/train", "resolution": 64} | args
    return Launch(script, official, args, set(args), configured, processes, on_gpu)


def complaints(findings):
    return [(kind, text) for kind, text in findings if kind in ("Error", "Warning")]


@pytest.mark.parametrize(
    ("case", "kind", "words"),
    [
        ({"script": LORA, "configured": "fp16"}, "Error", "add `mixed_precision: fp16`"),
        ({"script": LORA, "mixed_precision": "bf16"}, "Warning", "--mixed_precision=fp16 keeps it"),
        ({"script": LORA, "mixed_precision": "fp16", "on_gpu": False}, "Warning", "--mixed_precision=no"),
        (
            {"script": LORA, "mixed_precision": "fp16", "on_gpu": False, "validation_prompt": "fire"},
            "Error",
            "at the first validation",
        ),
        ({"script": SDXL, "mixed_precision": "fp16", "on_gpu": False}, "Error", "needs a GPU"),
        (
            {"mixed_precision": "bf16", "on_gpu": False, "validation_prompts": ["fire"]},
            "Error",
            "at the last drawings",
        ),
        ({"configured": "fp16", "on_gpu": False}, "Error", "fp16 (from accelerate's config) needs a GPU"),
        ({"enable_xformers_memory_efficient_attention": True, "on_gpu": False}, "Error", "needs a GPU"),
        ({"use_ema": True, "offload_ema": True, "on_gpu": False}, "Error", "--offload_ema needs a GPU"),
        ({"lr_scheduler": "constant", "lr_warmup_steps": 100}, "Warning", "--lr_scheduler=constant_with_warmup"),
        ({"lr_scheduler": "cosine", "lr_warmup_steps": 1000}, "Warning", "--lr_warmup_steps=50"),
        ({"script": OURS, "lr_scheduler": "cosine", "lr_warmup_steps": 1000}, "Warning", "--lr_warmup_steps=50"),
        ({"scale_lr": True, "learning_rate": 1e-4}, "Warning", "0.0001 x 8 = 0.0008"),
        ({"train_data_dir": None}, "Error", "add `train_data_dir: data/NAME/train`, or `dataset_name: USER/NAME`"),
        ({"dataset_name": "a/b"}, "Error", "inside of the dataset a/b"),
        ({"script": OURS, "dataset_name": "a/b"}, "Error", "leave one out"),
        ({"script": OURS, "dataset_name": None, "train_data_dir": None}, "Error", "no data"),
        ({"script": OURS, "report_to": "nothing"}, "Error", "no such tracker"),
        ({"script": OURS, "hub_token": "hf_x"}, "Error", "`hf auth login`"),
        ({"checkpointing_steps": 1001}, "Warning", "--checkpointing_steps=250"),
        ({"script": OURS, "checkpointing_steps": 1001}, "Warning", "--checkpointing_steps=250"),
        ({"script": LORA, "validation_prompt": "a", "validation_epochs": 1}, "Warning", "41 rounds"),
    ],
)
def test_a_trap_is_told_from_flags_and_machine(case, kind, words):
    schedule = Schedule(4, 1, 2, 1000, 25)
    said = complaints(traps.traps(launch(**case), schedule, None))
    assert [found for found, _ in said] == [kind]
    assert words in said[0][1]


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"script": LORA, "mixed_precision": "fp16"},
        {"script": LORA, "mixed_precision": "fp16", "configured": "fp16"},
        {"mixed_precision": "bf16", "on_gpu": False},
        {"configured": "fp16"},
        {"script": SDXL, "max_grad_norm": 1.0},
        {"max_grad_norm": 1.0},
        {"lr_scheduler": "constant", "lr_warmup_steps": 0},
        {"lr_scheduler": "cosine", "lr_warmup_steps": 50},
        {"dataset_name": "imagefolder"},
        {"report_to": "all"},
        {"report_to": "tensorboard"},
        {"script": OURS, "report_to": "none"},
        {"script": OURS, "train_data_dir": None},  # it has no dataset_name, and needs no data for all we know
        {"script": OURS, "checkpoints_total_limit": 1},  # deletes the oldest only when the new one is whole
        {"script": OURS, "mixed_precision": "fp16", "on_gpu": False},
        {"validation_prompts": ["a", "b"], "validation_epochs": 5},
        {"checkpointing_steps": 500, "checkpoints_total_limit": 2},
    ],
)
def test_where_there_is_no_trap_nothing_is_said(case):
    assert complaints(traps.traps(launch(**case), Schedule(4, 1, 2, 1000, 25), None)) == []


def test_the_precision_that_wins_is_said_where_two_are_named():
    note = "--mixed_precision=bf16 is used, not the fp16 of accelerate's config"
    assert ("Note", note) in [*traps.traps(launch(configured="fp16", mixed_precision="bf16"), None, None)]
    for configured in ("no", "bf16"):
        assert note not in str([*traps.traps(launch(configured=configured, mixed_precision="bf16"), None, None)])


@pytest.mark.parametrize(
    ("flag", "package"),
    [("use_8bit_adam", "bitsandbytes"), ("enable_xformers_memory_efficient_attention", "xformers")],
)
def test_what_a_flag_needs_and_is_not_installed_is_named(monkeypatch, flag, package):
    monkeypatch.setattr(traps, "installed", lambda module: False)
    ((kind, text),) = complaints(traps.traps(launch(**{flag: True}), None, None))
    assert kind == "Error"
    assert f"--{flag} needs `pip install {package}`" in text


def test_a_push_without_a_login_is_an_error(monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    said = complaints(
        traps.traps(launch(SDXL, push_to_hub=True, checkpointing_steps=100), Schedule(4, 1, 1, 1000, 25), 5e9)
    )
    assert ("Error", "--push_to_hub needs a login: `hf auth login`") in said
    assert "10 checkpoints of 5.0 GB" in said[1][1]
    assert len(said) == 2
    said = complaints(traps.traps(launch(SDXL, push_to_hub=True), None, None))
    assert "every checkpoint among it" in said[1][1]


@pytest.mark.parametrize("steps", [1, 4, 6, 8])
@pytest.mark.parametrize("per_epoch", [1, 3, 4])
def test_an_empty_loop_of_epochs_is_foretold_and_one_more_step_always_fills_it(tmp_path, monkeypatch, steps, per_epoch):
    """The official scripts count epochs from step // steps_per_epoch to ceil(max_train_steps / steps_per_epoch)."""
    monkeypatch.chdir(tmp_path)
    for step in range(1, 9):
        checkpoint = Path("runs", "mine", f"checkpoint-{step}")
        checkpoint.mkdir(parents=True)
        zipfile.ZipFile(checkpoint / "random_states_0.pkl", "w").close()
        case = launch(LORA, validation_prompt="fire", resume_from_checkpoint=checkpoint.name)
        said = [text for kind, text in traps.resume_traps(case, Schedule(1, 1, 1, steps, per_epoch)) if kind == "Error"]
        empty = not range(step // per_epoch, math.ceil(steps / per_epoch))
        assert bool(said) == empty
        if empty:
            assert f"--max_train_steps={step + 1}" in said[0]
        assert range(step // per_epoch, math.ceil((step + 1) / per_epoch))
        # the full script uses no name that the loop binds
        case = launch(FULL, validation_prompts="fire", resume_from_checkpoint=checkpoint.name)
        assert "Error" not in dict(traps.resume_traps(case, Schedule(1, 1, 1, steps, per_epoch)))


@pytest.mark.parametrize(
    ("step", "processes", "words"),
    [
        (25, 1, ""),  # between two epochs, with the random state of that moment
        (26, 1, "1 steps into epoch 2, which starts again with a new shuffle"),
        (26, 2, "1 steps into epoch 2, which starts again with the shuffle of the very first epoch"),
        (25, 2, "goes on with the shuffle of the very first epoch"),
    ],
)
def test_how_exact_a_resume_is(tmp_path, monkeypatch, step, processes, words):
    monkeypatch.chdir(tmp_path)
    checkpoint = Path("runs", "mine", f"checkpoint-{step}")
    checkpoint.mkdir(parents=True)
    zipfile.ZipFile(checkpoint / "random_states_0.pkl", "w").close()
    case = launch(FULL, processes=processes, seed=0, resume_from_checkpoint=f"runs/mine/{checkpoint.name}")
    said = complaints(traps.resume_traps(case, Schedule(4, processes, 1, 1000, 25)))
    assert len(said) == bool(words)
    assert not words or words in said[0][1]
    ((kind, text),) = traps.resume_traps(case, None)
    assert kind == "Warning" and f"resume from {checkpoint.name} is not exact" in text
    case = launch(FULL, resume_from_checkpoint="checkpoint-77")
    ((kind, text),) = traps.resume_traps(case, Schedule(4, processes, 1, 1000, 25))
    assert kind == "Error" and "checkpoint-77 is no whole checkpoint" in text


@pytest.mark.parametrize(
    ("facts", "args", "kind", "words"),
    [
        ({"missing": ["a.png"]}, {}, "Error", "1 images that rows name are not there: a.png"),
        ({"unreadable": ["a.png"]}, {}, "Error", "cannot be read"),
        ({"held_out": ["a.png"]}, {}, "Error", "split test too"),
        ({"transparent": ["a.png"]}, {}, "Error", "becomes black"),
        ({"transparent": ["a", "b"], "blank": ["a"], "duplicates": [("a", "b")]}, {}, "Error", "becomes black"),
        ({"blank": ["a.png"]}, {}, "Warning", "1 images are blank"),
        ({"blank": list("abcd")}, {}, "Error", "4 images are blank: a, b, c, ..."),
        ({"blank": ["a.png"], "looked_at": 10}, {}, "Warning", "1 images are blank"),
        ({"duplicates": [("a.png", "b.png")]}, {}, "Warning", "1 images are there more than once, such as a.png and b"),
        ({"not_square": ["a.png"]}, {}, "Warning", "through strokes"),
        ({"not_square": ["a.png"]}, {"center_crop": True}, "Warning", "cuts their ends off"),
        ({"smallest": (200, 255)}, {"resolution": 512}, "Warning", "--resolution=384"),
        ({"smallest": (9, 9)}, {"resolution": 64}, "Warning", "--resolution=64"),
        ({"bad_captions": ["a.png"]}, {}, "Error", "1 images have no caption"),
        ({"too_long": [("fire " * 90, 92)]}, {}, "Warning", "longer than 77 tokens and are cut, the longest of 92"),
    ],
)
def test_what_the_data_lint_finds_is_judged(facts, args, kind, words):
    facts = GOOD._replace(**facts)
    both = [*data_traps.image_traps(launch(**args), facts), *data_traps.caption_traps(launch(**args), facts)]
    ((found, text),) = both
    assert found == kind
    assert words in text


@pytest.mark.parametrize("field", ["transparent", "not_square", "too_long"])
def test_our_own_trainers_are_not_concerned_by_what_they_do_better(field):
    facts = GOOD._replace(**{field: [("a.png", 99)] if field == "too_long" else ["a.png"]})
    ours = launch(OURS, caption_column="text")
    assert [*data_traps.image_traps(ours, facts), *data_traps.caption_traps(ours, facts)] == []


@pytest.mark.parametrize(
    ("args", "kind", "words"),
    [
        ({"max_train_samples": 101}, "Error", "more than the 100 rows"),
        (
            {"caption_column": "captions"},
            "Error",
            "--caption_column=captions: the data has no such column, only image, te",
        ),
        ({"image_column": "drawing"}, "Error", "--image_column=drawing"),
        ({"random_flip": True}, "Warning", "--random_flip"),
    ],
)
def test_rows_and_columns_are_compared_with_the_flags(args, kind, words):
    ((found, text),) = data_traps.row_traps(launch(**args), 100, {"image", "text"})
    assert found == kind
    assert words in text


def test_rows_and_columns_that_the_flags_name_are_no_complaint():
    args = {"max_train_samples": 100, "caption_column": "captions", "image_column": "image"}
    assert list(data_traps.row_traps(launch(**args), 100, {"image", "captions"})) == []
    assert list(data_traps.row_traps(launch(OURS, max_train_samples=101), 100, set())) == []  # it takes what there is


def test_what_is_no_trap_is_told_apart():
    facts = GOOD._replace(without_row=["a.png"], maybe_too_long=3)
    assert list(data_traps.image_traps(launch(), facts)) == [("Note", "1 images have no row, and are left out: a.png")]
    ((kind, text),) = data_traps.caption_traps(launch(), facts)
    assert kind == "Not seen" and "whether 3 long captions fit into 77 tokens" in text
    facts = GOOD._replace(bad_captions=["a.png"])  # a column that is not there is said once
    assert list(data_traps.caption_traps(launch(caption_column="captions"), facts)) == []
