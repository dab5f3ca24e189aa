"""What diffusers' training scripts do that a user finds out too late, as far as the flags and the machine tell.

Each function yields findings: ("Error", ...) where training would fail or be worthless, ("Warning", ...) or ("Note",
...) otherwise, and a line that names the flag which avoids it. Line numbers are left out: the scripts are read at
launch.script.TAG.
"""

import importlib.util
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from launch.footprint import Schedule, checkpoints_kept, gigabytes
from launch.resume import CHECKPOINT, damage, newest_whole_checkpoint

TRACKERS = ("aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb")
NOTES = {
    "train_text_to_image": "no caption dropout (for classifier-free guidance), no cached latents or text embeddings",
    "train_text_to_image_lora": "no caption dropout (for classifier-free guidance), no gradient clipping, no LoRA of "
    "convolutions, no cached latents or text embeddings",
}

# What ends in an error, or in no training, at 0 and below.
AT_LEAST_1 = ("train_batch_size", "gradient_accumulation_steps", "resolution", "rank", "max_train_steps")
AT_LEAST_1 += ("num_train_epochs", "checkpointing_steps", "checkpoints_total_limit", "validation_epochs")

Findings = Iterator[tuple[str, str]]


class Launch(NamedTuple):
    """What is about to be started."""

    script: str  # "train_text_to_image_lora"
    official: bool  # one of diffusers' four text-to-image scripts
    args: dict[str, Any]  # the script's flags: as said, or else its default where that is known
    said: set[str]  # those that the recipe or the command line names
    configured: str  # precision in accelerate's config, used where the recipe is silent
    processes: int
    on_gpu: bool

    @property
    def lora(self) -> bool:
        return self.official and "_lora" in self.script

    @property
    def precision(self) -> str:
        return self.args.get("mixed_precision") or self.configured


def traps(launch: Launch, schedule: Schedule | None, checkpoint_bytes: int | None) -> Findings:
    """Every trap that can be told from flags, machine and schedule."""
    yield from precision_traps(launch)
    yield from data_flag_traps(launch)
    yield from optimizer_traps(launch, schedule)
    yield from logging_traps(launch)
    yield from hub_traps(launch, schedule, checkpoint_bytes)
    yield from checkpoint_traps(launch, schedule)
    yield from resume_traps(launch, schedule)
    yield from validation_traps(launch, schedule)
    if launch.script in NOTES:
        yield "Note", f"{launch.script}.py has {NOTES[launch.script]}: no flag changes that"


def installed(module: str) -> bool:
    """Whether `module` can be imported, without doing so."""
    return importlib.util.find_spec(module) is not None


def precision_traps(launch: Launch) -> Findings:
    recipe = launch.args.get("mixed_precision")
    if recipe and launch.configured not in ("no", recipe):
        yield "Note", f"--mixed_precision={recipe} is used, not the {launch.configured} of accelerate's config"
    if not launch.official:
        return
    source = "" if recipe else " (from accelerate's config)"
    other = "fp16" if launch.on_gpu else "no"
    if launch.precision == "fp16" and not launch.on_gpu and not launch.lora:
        yield "Error", f"fp16{source} needs a GPU: on the CPU the first step ends in an error; --mixed_precision=no"
    elif launch.precision == "fp16" and not recipe and launch.lora:
        yield (
            "Error",
            "fp16 in accelerate's config alone leaves the adapter in fp16, and the first step ends with \"Attempting "
            'to unscale FP16 gradients": add `mixed_precision: fp16` to the recipe',
        )
    elif launch.precision == "fp16" and not launch.on_gpu and launch.args.get("validation_prompt"):
        yield (
            "Error",
            f"fp16{source} on the CPU with --validation_prompt ends in an error at the first validation, before "
            "anything is saved: --mixed_precision=no",
        )
    elif launch.precision == "fp16" and not launch.on_gpu:
        yield "Warning", "fp16 on the CPU has no gradient scaler, so small gradients become 0: --mixed_precision=no"
    elif launch.precision == "bf16" and not launch.on_gpu and launch.args.get("validation_prompts"):
        yield (
            "Error",
            f"bf16{source} on the CPU with --validation_prompts ends in an error at the last drawings, for which the "
            "script mixes precisions: --mixed_precision=no",
        )
    elif launch.precision == "bf16" and launch.lora:
        yield (
            "Warning",
            f"bf16{source} trains the adapter itself in bf16, too coarse for small steps: after 60 of them 10.6% of "
            f"the A matrices' elements had moved, against 100% in fp32; --mixed_precision={other} keeps it in fp32",
        )


def data_flag_traps(launch: Launch) -> Findings:
    name, folder = launch.args.get("dataset_name"), launch.args.get("train_data_dir")
    if not name and not folder and (launch.official or "dataset_name" in launch.args):
        yield "Error", "no data: add `train_data_dir: data/NAME/train`, or `dataset_name: USER/NAME` of the Hub"
    if name and folder and launch.official and name != "imagefolder":
        yield (
            "Error",
            f"--train_data_dir={folder} would be looked for inside of the dataset {name}: in a recipe, write "
            "`dataset_name` in place of `train_data_dir`",
        )
    elif name and folder and not launch.official:
        yield "Error", "--train_data_dir and --dataset_name are both named: leave one out"


def optimizer_traps(launch: Launch, schedule: Schedule | None) -> Findings:
    args = launch.args
    if launch.script == "train_text_to_image_lora" and "max_grad_norm" in launch.said:
        yield "Warning", "--max_grad_norm does nothing in train_text_to_image_lora.py: leave it out"
    if args.get("use_8bit_adam") and not installed("bitsandbytes"):
        yield "Error", "--use_8bit_adam needs `pip install bitsandbytes`"
    if args.get("enable_xformers_memory_efficient_attention"):
        if not installed("xformers"):
            yield "Error", "--enable_xformers_memory_efficient_attention needs `pip install xformers`, or leave it out"
        if not launch.on_gpu:
            yield "Error", "--enable_xformers_memory_efficient_attention needs a GPU: leave it out"
    if args.get("use_ema") and args.get("offload_ema") and not launch.on_gpu:
        yield "Error", "--offload_ema needs a GPU: leave it out"

    warmup, scheduler = args.get("lr_warmup_steps") or 0, args.get("lr_scheduler")
    if scheduler == "constant" and warmup and "lr_warmup_steps" in launch.said:
        yield "Warning", "--lr_warmup_steps does nothing without --lr_scheduler=constant_with_warmup or another one"
    elif scheduler and scheduler != "constant" and schedule and schedule.steps and warmup >= schedule.steps:
        default = "" if "lr_warmup_steps" in launch.said else ", the default,"
        yield (
            "Warning",
            f"the warm-up of {warmup:,} steps{default} is as long as the training of {schedule.steps:,}: the learning "
            f"rate never arrives; --lr_warmup_steps={max(schedule.steps // 20, 1)}",
        )
    if args.get("scale_lr") and schedule and args.get("learning_rate"):
        rate = args["learning_rate"] * schedule.images_per_step
        yield (
            "Warning",
            f"--scale_lr multiplies the learning rate by the images of a step: {args['learning_rate']:g} x "
            f"{schedule.images_per_step} = {rate:g}; without it, --learning_rate is what is written",
        )


def logging_traps(launch: Launch) -> Findings:
    tracker = launch.args.get("report_to")
    if "report_to" not in launch.said or tracker == "all" or (tracker == "none" and not launch.official):
        return
    if tracker not in TRACKERS:
        yield "Error", f"--report_to={tracker}: no such tracker; there are {', '.join(TRACKERS)}, or all"
    elif not installed(tracker) and not (tracker == "tensorboard" and installed("tensorboardX")):
        yield (
            "Error",
            f"--report_to={tracker}: {tracker} is not installed, and accelerate would log nothing without a word: "
            f"`pip install {tracker}`, or --report_to=tensorboard",
        )


def hub_traps(launch: Launch, schedule: Schedule | None, checkpoint_bytes: int | None) -> Findings:
    args = launch.args
    if "hub_token" in launch.said:
        yield (
            "Error",
            f"--hub_token would stand in {args['output_dir']}/recipe.yaml and run.json, for all to read: leave it out, "
            "and log in once with `hf auth login`",
        )
    if not args.get("push_to_hub"):
        return
    from huggingface_hub import get_token

    if not get_token() and "hub_token" not in launch.said:
        yield "Error", "--push_to_hub needs a login: `hf auth login`"
    prompts = "validation_prompts" if launch.script == "train_text_to_image" else "validation_prompt"
    needed = launch.lora or launch.script == "train_text_to_image"
    if needed and not args.get(prompts):
        yield "Error", f"--push_to_hub without --{prompts} fails when the training is done: add `{prompts}: TEXT`"
    if launch.script == "train_text_to_image" and not installed("wandb"):
        yield "Error", "--push_to_hub fails when the training is done where wandb is missing: `pip install wandb`"
    if launch.official:
        kept = "every checkpoint"
        if schedule and schedule.steps and args.get("checkpointing_steps"):
            kept = f"{checkpoints_kept(args, schedule.steps)} checkpoints"
            kept += f" of {gigabytes(checkpoint_bytes)}" if checkpoint_bytes else ""
        yield (
            "Warning",
            f"--push_to_hub uploads all that is in {args['output_dir']}, {kept} among it, to a repository that anybody "
            "can read unless there is a private one already; --checkpoints_total_limit keeps fewer, and `hf upload` "
            "afterwards takes what you choose",
        )


def checkpoint_traps(launch: Launch, schedule: Schedule | None) -> Findings:
    args = launch.args
    if launch.official and args.get("checkpoints_total_limit") == 1:
        yield (
            "Warning",
            "--checkpoints_total_limit=1 deletes the only checkpoint before the new one is written: a kill in between "
            "loses everything; --checkpoints_total_limit=2",
        )
    steps, every = schedule and schedule.steps, args.get("checkpointing_steps") or 0
    if steps and every > steps >= 200:
        yield (
            "Warning",
            f"--checkpointing_steps={every} is more than the {steps} steps of the training: a kill loses everything; "
            f"--checkpointing_steps={steps // 4}",
        )


def resume_traps(launch: Launch, schedule: Schedule | None) -> Findings:
    args, resume = launch.args, launch.args.get("resume_from_checkpoint")
    if not resume or not launch.official:
        return
    run = Path(args["output_dir"])
    if resume == "latest":
        newest, passed_over = newest_whole_checkpoint(run)
        if passed_over:
            yield (
                "Error",
                f"--resume_from_checkpoint=latest takes the newest checkpoint, whole or not ({passed_over[0]}): leave "
                "the flag out, and the newest whole one is taken",
            )
        resume = newest
        if not newest:
            return
    name = os.path.basename(resume)  # of which the scripts look for no more, in the output folder
    match = CHECKPOINT.fullmatch(name)
    if os.path.dirname(resume) and Path(resume).parent.resolve() != run.resolve():
        yield "Warning", f"--resume_from_checkpoint={resume}: the script takes the {name} in {run}, and not that one"
    problem = "it is not called checkpoint-STEP" if not match else "" if (run / name).is_dir() else "it is not there"
    problem = problem or damage(run / name)
    if problem:
        yield "Error", f"--resume_from_checkpoint={resume}: {run / name} is no whole checkpoint ({problem})"
        return
    step = int(match[1])
    if not schedule or not schedule.epochs:
        yield "Warning", f"resume from {name} is not exact: an epoch that was begun starts again with a new shuffle"
        return
    epoch, done = divmod(step, int(schedule.steps_per_epoch))
    # The epochs are counted in a loop whose variable the scripts use after it: an empty loop leaves it unbound.
    if epoch >= schedule.epochs and args.get("validation_prompt"):
        yield (
            "Error",
            f"{name} is the end of the training of {schedule.steps} steps, and without an epoch to run the script "
            f"fails at the last validation image (a name is not bound): --max_train_steps={step + 1}",
        )
    shuffle = "a new shuffle"
    if launch.processes > 1 and args.get("seed") is not None:
        shuffle = "the shuffle of the very first epoch (several processes and --seed)"
    if done:
        yield (
            "Warning",
            f"resume is not exact: {name} lies {done:,} steps into epoch {epoch + 1}, which starts again with "
            f"{shuffle}; some images are seen twice, others not",
        )
    elif shuffle != "a new shuffle" and epoch < schedule.epochs:
        yield "Warning", f"resume from {name} is not exact: it goes on with {shuffle}"


def validation_traps(launch: Launch, schedule: Schedule | None) -> Findings:
    args = launch.args
    prompts = args.get("validation_prompts") or args.get("validation_prompt")
    every, epochs = args.get("validation_epochs"), schedule and schedule.epochs
    if not launch.official or not prompts or not every or not epochs:
        return
    one_text = isinstance(prompts, str)
    images = args.get("num_validation_images", 1) if one_text else len(prompts)
    rounds = math.ceil(epochs / every) + 1
    when = (
        "after every epoch" if every == 1 else f"after epoch 1, {1 + every}, ..." if epochs > every else "after epoch 1"
    )
    text = f"{rounds:,} rounds of validation, {rounds * images:,} images in all, {when} and at the end"
    text += "; each loads all of the pipeline but the unet once more" if launch.lora else ""
    if rounds > 20 or (rounds > 6 and "validation_epochs" not in launch.said):
        yield "Warning", f"{text}; --validation_epochs={max(epochs // 5, every + 1)}"
    else:
        yield "Note", text
