"""What diffusers' official scripts leave behind, of the tiny Stable Diffusion: saved by the libraries they use."""

import json

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.training_utils import EMAModel
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, get_peft_model_state_dict

from models import tiny_stable_diffusion


def save_base(folder):
    """The tiny model in `folder`, as something to tune; returns `folder`."""
    tiny_stable_diffusion.make(folder)
    return folder


def other_unet(base, seed):
    """The unet of `base` with other weights."""
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in unet.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return unet


def save_record(run, base, **record):
    """run.json as the launch writes it before training; returns `run`."""
    record = {"script": "train.py", "pretrained_model_name_or_path": str(base), "resolution": "64"} | record
    run.mkdir(parents=True, exist_ok=True)
    (run / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return run


def save_full_run(run, base, seed=1, **record):
    """What train_text_to_image.py leaves at its end; returns `run`."""
    pipe = StableDiffusionPipeline.from_pretrained(base, unet=other_unet(base, seed))
    pipe.save_pretrained(run)
    return save_record(run, base, **record)


def save_checkpoint(run, base, step, ema_seed=None):
    """checkpoint-`step` of train_text_to_image.py, its unet made with `step` as seed; returns its folder."""
    checkpoint = run / f"checkpoint-{step}"
    unet = other_unet(base, step)
    if ema_seed is not None:
        ema = EMAModel(other_unet(base, ema_seed).parameters(), model_cls=type(unet), model_config=unet.config)
        ema.save_pretrained(checkpoint / "unet_ema")
    unet.save_pretrained(checkpoint / "unet")
    return finish(checkpoint)


def finish(checkpoint):
    """The files that accelerate writes after the models, the last of them at last; returns `checkpoint`."""
    for name in ("optimizer.bin", "scheduler.bin", "random_states_0.pkl"):
        torch.save({}, checkpoint / name)
    return checkpoint


def save_lora(folder, base, seed=1, as_checkpoint=False):
    """A LoRA with weights that are not nought, as train_text_to_image_lora.py saves it; returns `folder`."""
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    torch.manual_seed(seed)
    unet.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=["to_k", "to_q", "to_v", "to_out.0"]))
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    layers = get_peft_model_state_dict(unet)
    if not as_checkpoint:
        layers = convert_state_dict_to_diffusers(layers)
    StableDiffusionPipeline.save_lora_weights(folder, unet_lora_layers=layers)
    return finish(folder) if as_checkpoint else folder
