"""Steps, disk and memory are what the scripts' own arithmetic and real files say."""

import json
import math

import pytest

from launch import footprint
from launch.footprint import SD1, SD2, Sizes, checkpoint_bytes, memory, model_bytes, schedule, sizes


def epoch_of_the_official_scripts(rows, batch, processes, accumulation):
    """Optimizer steps of one epoch, counted: batches are dealt to the processes in turn, the last round is filled up,
    and what is left at the end of the epoch makes a step however many batches it has."""
    batches = [rows[start : start + batch] for start in range(0, len(rows), batch)]
    rounds = [batches[start : start + processes] for start in range(0, len(batches), processes)]
    steps = 0
    for number, _ in enumerate(rounds, start=1):
        steps += number % accumulation == 0 or number == len(rounds)
    return steps


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 80, 6102])
@pytest.mark.parametrize(
    ("batch", "processes", "accumulation"), [(1, 1, 1), (4, 1, 1), (4, 2, 1), (4, 1, 3), (2, 3, 4)]
)
def test_steps_of_an_epoch_are_those_that_the_official_scripts_make(rows, batch, processes, accumulation):
    args = {"train_batch_size": batch, "gradient_accumulation_steps": accumulation, "num_train_epochs": 3}
    plan = schedule(args, rows, processes, official=True)
    epoch = epoch_of_the_official_scripts(range(rows), batch, processes, accumulation)
    assert (plan.steps_per_epoch, plan.steps, plan.epochs) == (epoch, 3 * epoch, 3)
    assert plan.images_per_step == batch * processes * accumulation


def test_our_own_trainers_epochs_follow_each_other_without_a_gap():
    plan = schedule({"train_batch_size": 32, "gradient_accumulation_steps": 1, "num_train_epochs": 3}, 80, 1, False)
    assert (plan.steps_per_epoch, plan.steps) == (2.5, 8)


@pytest.mark.parametrize(
    ("more", "rows", "steps", "epochs"),
    [
        ({"max_train_steps": 10, "num_train_epochs": 100}, 8, 10, 3),
        ({"max_train_steps": 10, "num_train_epochs": 100}, None, 10, None),
        ({"num_train_epochs": 100}, None, None, None),
        ({"num_train_epochs": 5, "max_train_samples": 4}, 8, 10, 5),
    ],
)
def test_what_is_not_known_is_none_and_what_is_known_is_said(more, rows, steps, epochs):
    plan = schedule({"train_batch_size": 2, "gradient_accumulation_steps": 1, **more}, rows, 1, True)
    assert (plan.steps, plan.epochs) == (steps, epochs)


@pytest.mark.parametrize(
    "args", [{}, {"train_batch_size": 2}, {"train_batch_size": 0, "gradient_accumulation_steps": 1}]
)
def test_without_a_batch_size_there_is_no_schedule(args):
    assert schedule(args, 8, 1, True) is None


def safetensors(path, tensors):
    path.parent.mkdir(parents=True, exist_ok=True)
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for key, shape in tensors.items():
        header[key] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end := end + 4 * math.prod(shape)]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))


def test_the_sizes_of_a_local_model_are_counted_in_its_files(tmp_path):
    model = tmp_path / "model"
    attention = {"a.attn1.to_q.weight": [8, 8], "a.attn2.to_k.weight": [8, 5], "a.attn2.to_out.0.weight": [8, 8]}
    safetensors(model / "unet/diffusion_pytorch_model-00001-of-00002.safetensors", attention)
    safetensors(model / "unet/diffusion_pytorch_model-00002-of-00002.safetensors", {"conv.weight": [8, 4, 3, 3]})
    safetensors(model / "unet/diffusion_pytorch_model.fp16.safetensors", {"conv.weight": [2, 4, 3, 3]})
    safetensors(model / "vae/diffusion_pytorch_model.safetensors", {"conv.weight": [3]})
    safetensors(model / "text_encoder/model.safetensors", {"embedding.weight": [7, 2], "scale": []})
    (model / "unet/config.json").write_text("{}")
    assert sizes(str(model), None, None) == Sizes(64 + 40 + 64 + 288, 16 + 13 + 16, 3, 15, 0)
    assert sizes(str(model), None, "fp16").unet == 72


def test_a_model_that_is_not_here_is_known_by_its_name_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert sizes("CompVis/stable-diffusion-v1-4", None, None) == SD1
    assert sizes("bguisard/stable-diffusion-nano-2-1", None, None) == SD2
    assert sizes("somebody/something", None, None) is None


def test_the_known_sizes_are_those_of_the_real_architectures():
    torch = pytest.importorskip("torch", reason="needs torch")
    from diffusers import UNet2DConditionModel

    for known, dim, heads, linear in ((SD1, 768, 8, False), (SD2, 1024, [5, 10, 20, 20], True)):
        with torch.device("meta"):
            unet = UNet2DConditionModel(cross_attention_dim=dim, attention_head_dim=heads, use_linear_projection=linear)
        assert known.unet == sum(parameter.numel() for parameter in unet.parameters())
        attention = ("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight")
        weights = [parameter for key, parameter in unet.named_parameters() if key.endswith(attention)]
        assert known.lora == sum(sum(weight.shape) for weight in weights)


@pytest.mark.parametrize(
    ("args", "gigabytes"),
    [
        ({}, 3.4 + 6.9),
        ({"use_ema": True}, 3.4 + 3.4 + 6.9),
        ({"use_ema": True, "use_8bit_adam": True}, 3.4 + 3.4 + 1.7),
    ],
)
def test_a_full_checkpoint_has_the_weights_their_average_and_adams_moments(args, gigabytes):
    assert checkpoint_bytes(args, SD1, lora=False) / 1e9 == pytest.approx(gigabytes, abs=0.1)


def test_a_lora_is_small():
    assert model_bytes({"rank": 4}, SD1, True, "no") == 4 * 797_184  # the published size of such an adapter: 3.2 MB
    assert checkpoint_bytes({"rank": 4}, SD1, True) == 12 * 797_184


@pytest.mark.parametrize(
    ("steps", "every", "limit", "kept"), [(10, 2, None, 5), (10, 2, 2, 2), (10, 20, None, 0), (10, 4, 9, 2)]
)
def test_no_more_checkpoints_are_counted_than_are_written_and_kept(steps, every, limit, kept):
    args = {"checkpointing_steps": every, "checkpoints_total_limit": limit}
    assert footprint.checkpoints_kept(args, steps) == kept


def test_memory_has_a_part_for_each_copy_of_the_weights():
    args = {"resolution": 256, "train_batch_size": 4}
    full, p = memory(args, SD1, False, "no", 1), SD1.unet
    assert full == {
        "weights": 4 * p,
        "gradients": 4 * p,
        "optimizer": 8 * p,
        "VAE and text encoder": 4 * (SD1.vae + SD1.text_encoder),
        "activations": 480_000 * 32 * 32 * 4,
    }
    half = memory(args | {"use_ema": True, "use_8bit_adam": True}, SD1, False, "bf16", 1)
    assert half["average"] == 4 * p and half["optimizer"] == half["autocast's copies"] == 2 * p
    assert half["activations"] == 320_000 * 32 * 32 * 4
    assert "average" not in memory(args | {"use_ema": True, "offload_ema": True}, SD1, False, "bf16", 1)
    assert memory(args, SD1, False, "no", 2)["gradients"] == 8 * p
    assert memory(args | {"gradient_checkpointing": True}, SD1, False, "no", 1)["activations"] == 116_000 * 32 * 32 * 4
    assert "activations" not in memory(args, SD1._replace(unet=10**6), False, "no", 1)
    lora = memory(args | {"rank": 4}, SD1, True, "fp16", 1)
    assert lora["weights"] == 2 * p + 4 * 797_184 and lora["gradients"] == 4 * 797_184


def test_room_that_a_runs_own_checkpoints_take_is_counted_as_free(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000 if folder.exists() else 0}))
    assert footprint.free_bytes(str(tmp_path / "runs" / "new")) == 1000
    (tmp_path / "run" / "checkpoint-1").mkdir(parents=True)
    (tmp_path / "run" / "checkpoint-1" / "optimizer.bin").write_bytes(bytes(70))
    assert footprint.free_bytes(str(tmp_path / "run")) == 1070
