"""Each trap of diffusers' own scripts, walked into by `./launch_training.sh --check` with the real scripts, is said
before the training starts, with the flag that avoids it."""

import importlib.util
import json
import zipfile

import pytest
from PIL import Image, ImageDraw

pytestmark = pytest.mark.usefixtures("official_scripts")

FULL, LORA = "train_text_to_image", "train_text_to_image_lora"
# Eight images, two a step: an epoch is four steps. No trap is in here.
RECIPE = {
    "pretrained_model_name_or_path": "runs/tiny-stable-diffusion",
    "train_data_dir": "data/mine/train",
    "output_dir": "runs/mine",
    "resolution": "64",
    "train_batch_size": "2",
    "max_train_steps": "10",
    "checkpointing_steps": "2",
    "checkpoints_total_limit": "2",
    "seed": "0",
}


def images(checkout, split="train", columns=None, size=(64, 64), mode="RGB", text="a tree", first=0):
    """Eight drawings that differ, with their rows."""
    folder = checkout.folder / "data" / "mine" / split
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(first, first + 8):
        image = Image.new(mode, size, (0, 0, 0, 0) if mode == "RGBA" else "white")
        ImageDraw.Draw(image).line([(10, 10), (50, 5 * (number + 1))], fill=(0, 0, 0, 255)[: len(mode)], width=3)
        image.save(folder / f"{number}.png")
        rows.append({"file_name": f"{number}.png", "text": text, **(columns or {})})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def stopped_at(*steps, damaged=()):
    """A run that was killed, with whole checkpoints and damaged ones."""

    def prepare(checkout):
        run = checkout.folder / "runs" / "mine"
        for step in steps:
            (run / f"checkpoint-{step}").mkdir(parents=True)
            if step not in damaged:
                zipfile.ZipFile(run / f"checkpoint-{step}" / "random_states_0.pkl", "w").close()
        record = {
            "script": f"{LORA}.py",
            "data": {"name": "train", "fingerprint": None},
            "started": "",
            "finished": None,
        }
        (run / "run.json").write_text(json.dumps(record))
        recipe = RECIPE | {"validation_prompt": "fire"}
        (run / "recipe.yaml").write_text("".join(f"{key}: {value}\n" for key, value in recipe.items()))

    return prepare


def held_out(checkout):
    images(checkout, columns={"character": "木"})
    images(checkout, "test", columns={"character": "木"}, first=8)


def config_says(precision):
    text = f"distributed_type: 'NO'\nmixed_precision: {precision}\n"
    return lambda checkout: checkout.write("accelerate_config.yaml", text)


def no_images(checkout):
    (checkout.folder / "data" / "mine" / "train" / "metadata.jsonl").unlink()
    for file in (checkout.folder / "data" / "mine" / "train").glob("*.png"):
        file.unlink()


UPLOADS = ("Warning", "--push_to_hub uploads all that is in runs/mine, 2 checkpoints among it", "anybody can read")
TRAPS = [
    # (script, what the recipe adds, what is on the disk, exit status, the words of each warning and error)
    (FULL, {"validation_prompts": "[fire, tree]"}, None, 0, []),
    (LORA, {"validation_prompt": "fire"}, None, 0, []),
    (LORA, {"max_grad_norm": "1.0"}, None, 0, [("Warning", "--max_grad_norm does nothing")]),
    (LORA, {"mixed_precision": "bf16"}, None, 0, [("Warning", "10.6%", "100% in fp32", "--mixed_precision=no")]),
    (LORA, {}, config_says("bf16"), 0, [("Warning", "bf16 (from accelerate's config) trains the adapter itself")]),
    (LORA, {}, config_says("fp16"), 2, [("Error", "unscale FP16 gradients", "add `mixed_precision: fp16`")]),
    (FULL, {"mixed_precision": "fp16"}, None, 2, [("Error", "fp16 needs a GPU", "--mixed_precision=no")]),
    (LORA, {"push_to_hub": "true"}, None, 2, [("Error", "add `validation_prompt: TEXT`"), UPLOADS]),
    (
        *(FULL, {"push_to_hub": "true"}, None, 2),
        [("Error", "add `validation_prompts: TEXT`"), ("Error", "`pip install wandb`"), UPLOADS],
    ),
    (FULL, {"hub_token": "hf_secret"}, None, 2, [("Error", "stand in runs/mine/recipe.yaml", "`hf auth login`")]),
    (FULL, {"report_to": "wandb"}, None, 2, [("Error", "wandb is not installed", "--report_to=tensorboard")]),
    (FULL, {"report_to": '"none"'}, None, 2, [("Error", "no such tracker")]),
    (
        *(LORA, {"validation_prompt": "fire"}, stopped_at(4, 12), 2),
        [("Error", "checkpoint-12", "a name is not bound", "--max_train_steps=13")],
    ),
    (
        *(LORA, {"validation_prompt": "fire"}, stopped_at(4, 6), 0),
        [("Warning", "checkpoint-6 lies 2 steps into epoch 2", "not exact", "a new shuffle")],
    ),
    (
        *(LORA, {"validation_prompt": "fire", "resume_from_checkpoint": "latest"}, stopped_at(2, damaged=[2]), 2),
        [("Error", "takes the newest checkpoint, whole or not (runs/mine/checkpoint-2", "leave the flag out")],
    ),
    (FULL, {"checkpoints_total_limit": "1"}, None, 0, [("Warning", "--checkpoints_total_limit=2")]),
    (
        *(FULL, {"max_train_steps": "400", "checkpointing_steps": "500"}, None, 0),
        [("Warning", "loses everything", "--checkpointing_steps=100")],
    ),
    (
        *(FULL, {}, lambda checkout: images(checkout, mode="RGBA"), 2),
        [("Error", "8 images are transparent, which becomes black: 0.png, 1.png, 2.png, ...")],
    ),
    (
        *(FULL, {"random_flip": "true"}, lambda checkout: images(checkout, columns={"character": "木"}), 2),
        [("Error", "--random_flip teaches mirrored characters")],
    ),
    (
        *(FULL, {}, lambda checkout: images(checkout, size=(64, 96)), 0),
        [("Warning", "8 images are not square", "through strokes", "--center_crop", "pad them")],
    ),
    (
        *(LORA, {}, lambda checkout: images(checkout, text="a tree " * 40), 0),
        [("Warning", "8 captions are longer than 77 tokens and are cut")],
    ),
    (
        *(LORA, {"validation_prompt": "fire", "max_train_steps": "80"}, None, 0),
        [("Warning", "21 rounds of validation, 84 images in all", "--validation_epochs=4")],
    ),
    (
        *(FULL, {"train_data_dir": "data/mine"}, held_out, 2),
        [("Error", "(test, train) would be trained on: --train_data_dir=data/mine/train")],
    ),
    (FULL, {}, held_out, 2, [("Error", "8 images are in the split test too")]),
    (FULL, {}, no_images, 2, [("Error", "no images in data/mine/train")]),
    (
        *(FULL, {"validation_prompt": "fire"}, None, 2),
        [("no flag --validation_prompt; did you mean validation_prompts?", f"belongs to {LORA}.py")],
    ),
    (FULL, {"rank": "8"}, None, 2, [("no flag --rank", f"belongs to {LORA}.py")]),
    (FULL, {"num_validation_images": "8"}, None, 2, [("no flag --num_validation_images", f"{LORA}.py")]),
    (LORA, {"use_ema": "true"}, None, 2, [("no flag --use_ema", f"belongs to {FULL}.py")]),
    (LORA, {"validation_prompts": "[a, b]"}, None, 2, [("no flag --validation_prompts", f"belongs to {FULL}.py")]),
    (LORA, {"caption_column": "captions"}, None, 2, [("Error", "no such column, only image, text")]),
]


@pytest.mark.parametrize(("script", "added", "prepare", "status", "complaints"), TRAPS)
def test_a_trap_is_said_before_the_training_starts(checkout, script, added, prepare, status, complaints):
    if "wandb" in str(complaints) and importlib.util.find_spec("wandb"):
        pytest.skip("needs wandb not to be installed")
    images(checkout)
    if prepare:
        prepare(checkout)
    lines = "".join(f"{key}: {value}\n" for key, value in (RECIPE | added).items())
    checkout.write(f"recipes/{script}/tiny.yaml", lines)
    before = checkout.files()
    answer = checkout.launch(
        "--check",
        recipe=f"recipes/{script}/tiny.yaml",
        HF_HOME=str(checkout.folder / "home"),  # nobody is logged in there, and nothing in a cache
        HF_TOKEN="hf_x",
    )
    assert answer.returncode == status, answer.stderr + answer.stdout
    said = [line for line in answer.stdout.splitlines() if line.startswith("Warning")] + answer.stderr.splitlines()
    said = [line for line in said if not line.startswith("Passing over")]
    assert len(said) == len(complaints), said
    for words in complaints:
        assert any(all(word in line for word in words) for line in said), (words, said)
    assert "hf_secret" not in answer.stdout + answer.stderr
    assert checkout.files() == before


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (FULL, ["no caption dropout (for classifier-free guidance)", "no cached latents", "no flag changes that"]),
        (LORA, ["no caption dropout", "no gradient clipping", "no LoRA of convolutions", "no cached latents"]),
    ],
)
def test_what_no_flag_changes_is_always_said(checkout, script, words):
    images(checkout)
    checkout.write(f"recipes/{script}/tiny.yaml", "".join(f"{key}: {value}\n" for key, value in RECIPE.items()))
    note = checkout.launch("--check", recipe=f"recipes/{script}/tiny.yaml").stdout
    for word in words:
        assert word in note


def test_a_launch_into_a_trap_stops_before_the_data_is_built(checkout):
    recipe = RECIPE | {"train_data_dir": "data/tiny/train", "push_to_hub": "true"}
    checkout.write(f"recipes/{LORA}/tiny.yaml", "".join(f"{key}: {value}\n" for key, value in recipe.items()))
    launched = checkout.launch(recipe=f"recipes/{LORA}/tiny.yaml")
    assert launched.returncode == 2 and "--push_to_hub without --validation_prompt" in launched.stderr
    assert not (checkout.folder / "data").exists() and not (checkout.folder / "runs").exists()
