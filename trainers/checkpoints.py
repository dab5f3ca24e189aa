"""Folders that appear whole or not at all, and the newest checkpoint among them."""

import os
import re
import shutil
from pathlib import Path

from diffusers import UNet2DConditionModel


def save_whole(save, folder):
    """Call save(temporary folder), then give that folder its name: a reader never sees half of it.

    What `folder` held before is replaced in the last moment. Raises what `save` raises, `folder` untouched.
    """
    half, folder = Path(f"{folder}.tmp"), Path(folder)
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    save(half)
    _give_name(half, folder)


def _give_name(half, folder):
    for file in half.rglob("*"):
        if file.is_file():
            with open(file, "rb") as stream:
                os.fsync(stream.fileno())
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(half, folder)


def save_checkpoint(accelerator, output_dir, step, limit):
    """Save all that `accelerator` holds as output_dir/checkpoint-STEP, then delete all but the newest `limit`.

    Every process calls it; `limit` None keeps all. The oldest goes only when the new one is whole.
    """
    folder = Path(output_dir) / f"checkpoint-{step}"
    half = Path(f"{folder}.tmp")
    if accelerator.is_main_process:
        shutil.rmtree(half, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(half))  # every process adds its own random state
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        _give_name(half, folder)
        # a later one was passed over as broken when this run was resumed: it must not push out a whole one
        earlier = [found for number, found in checkpoints(output_dir).items() if number <= step]
        for old in earlier[: -limit if limit else 0]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


def checkpoints(output_dir):
    """The whole checkpoints of a run as {step: folder}, oldest first."""
    found = {}
    for folder in Path(output_dir).glob("checkpoint-*"):
        if match := re.fullmatch(r"checkpoint-(\d+)", folder.name):
            found[int(match[1])] = folder
    return dict(sorted(found.items()))


def find_checkpoint(output_dir, asked):
    """The folder that --resume_from_checkpoint means: None, "latest", the name of one in output_dir, or a path.

    Returns (step, folder), or (0, None) for none, which "latest" may be too. Raises ValueError where it is not there.
    """
    found = checkpoints(output_dir)
    if not asked or (asked == "latest" and not found):
        return 0, None
    folder = list(found.values())[-1] if asked == "latest" else Path(asked)
    if not folder.is_dir():
        folder = Path(output_dir) / asked
    match = re.fullmatch(r"checkpoint-(\d+)", folder.name)
    if not match or not folder.is_dir():
        there = ", ".join(path.name for path in found.values()) or "none"
        raise ValueError(f"--resume_from_checkpoint {asked}: no such checkpoint in {output_dir} (there: {there})")
    return int(match[1]), folder


def register_checkpoint_hooks(accelerator, ema):
    """Make accelerate's checkpoints hold the unet, and its average, as diffusers' own folders."""

    def save(models, weights, folder):
        if accelerator.is_main_process:
            unet = accelerator.unwrap_model(models[0])
            unet.save_pretrained(Path(folder) / "unet")
            if ema:  # as a plain unet, which opens without a word about averaging
                ema.store(unet.parameters())
                ema.copy_to(unet.parameters())
                unet.save_pretrained(Path(folder) / "unet_ema")
                ema.restore(unet.parameters())
        weights.clear()  # accelerate would write the same weights again

    def load(models, folder):
        saved = UNet2DConditionModel.from_pretrained(folder, subfolder="unet")
        accelerator.unwrap_model(models.pop()).load_state_dict(saved.state_dict())
        if ema:
            averaged = UNet2DConditionModel.from_pretrained(folder, subfolder="unet_ema").to(accelerator.device)
            ema.shadow_params = [parameter.detach() for parameter in averaged.parameters()]

    accelerator.register_save_state_pre_hook(save)
    accelerator.register_load_state_pre_hook(load)
