"""What would go wrong later, said before a training starts.

    python -m launch.preflight MODE ACCELERATE_CONFIG RECIPE SCRIPT FLAGS...

MODE is check (answers within two seconds, so it looks at a part of the images and asks the Hub only briefly) or launch
(looks at everything). Prints what it found out and what it could not look at; every error is a line on stderr, and then
the exit status is 2.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from launch import footprint, hub
from launch.data_traps import dataset
from launch.flags import TINY_MODEL, Flag, Setting, read_command_line, script_flags
from launch.footprint import Schedule, Sizes, gigabytes
from launch.processes import arguments, gpu_count, read_config
from launch.script import OFFICIAL
from launch.traps import AT_LEAST_1, Findings, Launch, traps

PARTS = ("model_index.json", "scheduler", "text_encoder", "tokenizer", "unet", "vae")  # of a whole Stable Diffusion
HUB_SECONDS = {"check": 1.0, "launch": 10.0}
IMAGE_SECONDS = {"check": 0.35, "launch": None}  # for the headers, and as much again for decoding


def script_arguments(settings: dict[str, Setting], flags: dict[str, Flag]) -> dict[str, Any]:
    """What the script's own parser would make of `settings`: defaults filled in, numbers as numbers.

    Without the script at hand (no `flags`) there are no defaults, and what looks like a number is one.
    """
    args = {key: flag.default for key, flag in flags.items()}
    for key, (value, _) in settings.items():
        args[key] = value
        kind = flags[key].type if key in flags else None if flags else "int or float"
        for convert in (int, float):
            if isinstance(value, str) and kind and convert.__name__ in kind:
                try:
                    args[key] = convert(value)
                    break
                except ValueError:
                    pass
    return args


def look(mode: str, launch: Launch) -> Findings:
    """All findings about `launch`, in the order in which they are to be read."""
    args = launch.args
    too_small = [key for key in AT_LEAST_1 if launch.official and isinstance(args.get(key), int) and args[key] < 1]
    yield from (("Error", f"--{key}={args[key]}: it must be 1 or more") for key in too_small)
    if too_small:
        return  # there is nothing to count with
    with ThreadPoolExecutor() as pool:  # the Hub may answer while the images are looked at
        asked = pool.submit(base_model, mode, launch)
        rows, about_data = dataset(mode, launch, HUB_SECONDS[mode], IMAGE_SECONDS[mode])
        about_model = asked.result()
    schedule = footprint.schedule(args, rows, launch.processes, launch.official)
    yield from about_data
    yield from steps(launch, schedule)
    model, unknown = base_sizes(launch)
    yield from unknown
    if model:
        yield from disk(launch, schedule, model)
        yield from memory(launch, model)
    yield from about_model
    yield from traps(launch, schedule, model and footprint.checkpoint_bytes(args, model, launch.lora))


def base_model(mode: str, launch: Launch) -> list[tuple[str, str]]:
    """Whether there is a whole pipeline at the other end of the base model's name."""
    name = launch.args.get("pretrained_model_name_or_path")
    if not name:
        return []
    if name == TINY_MODEL and mode == "check" and not Path(name).exists():
        return [("Not seen", f"the base model: {name} is made when the training starts")]
    if hub.is_path(name):
        if missing := [part for part in PARTS if not Path(name, part).exists()]:
            there = f"lacks {', '.join(missing)}: name the folder of a whole pipeline" if Path(name).is_dir() else ""
            there = there or "is no folder: name one that is there, or USER/NAME of the Hub"
            return [("Error", f"--pretrained_model_name_or_path={name} {there}")]
        return []
    seconds, revision = HUB_SECONDS[mode], launch.args.get("revision")
    text, findings = hub.ask(mode, seconds, "model", name, "model_index.json", revision)
    if text == "":
        findings.append(("Error", f"{name} is no pipeline of diffusers: it has no model_index.json"))
    return findings


def steps(launch: Launch, schedule: Schedule | None) -> Findings:
    """How long the training is."""
    if not schedule:
        if "train_batch_size" in launch.args or launch.official:
            yield "Not seen", "the number of steps: the recipe leaves it to the script, which is not at hand"
        return
    parts = f"{schedule.batch}"
    parts += f" x {schedule.processes} processes" if schedule.processes > 1 else ""
    parts += f" x {schedule.accumulation} accumulated" if schedule.accumulation > 1 else ""
    a_step = f"{schedule.images_per_step} images" + (f" ({parts})" if " " in parts else "")
    if not schedule.steps:
        yield "Not seen", f"the number of steps of {a_step}: it follows from the number of rows"
        return
    text = f"{schedule.steps:,} of {a_step} = {schedule.steps * schedule.images_per_step:,} images"
    if schedule.steps_per_epoch:
        epochs = schedule.steps / schedule.steps_per_epoch
        text += f", {epochs:,.1f} epochs of {round(schedule.steps_per_epoch, 1):,.9g} steps"
    yield "Steps", text


def base_sizes(launch: Launch) -> tuple[Sizes | None, list[tuple[str, str]]]:
    """(sizes of the base model's parts, findings): None where nobody knows them, or the script has no such model."""
    args = launch.args
    if not launch.official:
        return None, []
    if "sdxl" in launch.script:
        return None, [("Not seen", f"disk and memory: there are no numbers for {launch.script}.py")]
    needed = ("resolution", "train_batch_size", "checkpointing_steps", *(["rank"] if launch.lora else []))
    if missing := [key for key in needed if not args.get(key)]:
        return None, [("Not seen", f"disk and memory: the script, which is not at hand, knows {', '.join(missing)}")]
    name = args.get("pretrained_model_name_or_path") or ""
    try:
        model = footprint.sizes(name, args.get("revision"), args.get("variant"))
    except (OSError, ValueError) as error:
        return None, [("Error", f"{name}: a file is damaged ({error}); make or fetch it anew")]
    return model, [] if model else [("Not seen", f"disk and memory: the size of {name} is not known yet")]


def disk(launch: Launch, schedule: Schedule | None, model: Sizes) -> Findings:
    """What checkpoints and the final model will take, and whether it is there."""
    if not schedule or not schedule.steps:
        yield "Not seen", "the disk: how many checkpoints there will be follows from the number of steps"
        return
    args = launch.args
    each = footprint.checkpoint_bytes(args, model, launch.lora)
    final = footprint.model_bytes(args, model, launch.lora, launch.precision)
    count = footprint.checkpoints_kept(args, schedule.steps)
    free, needed = footprint.free_bytes(args["output_dir"]), count * each + final
    text = f"{gigabytes(needed)}: {count} x {gigabytes(each)} for checkpoints, {gigabytes(final)} for the model"
    base = ("model", args["pretrained_model_name_or_path"], "model_index.json", args.get("revision"))
    text += "" if hub.find(*base) else "; what is downloaded comes on top"
    yield "Disk", f"{text}; {gigabytes(free)} are free"
    fits = max(int((free - final) // each), 0)
    if needed > free:
        way_out = f"--checkpoints_total_limit={fits}" if fits > 1 else "free some, or choose another --output_dir"
        yield "Error", f"the run needs about {gigabytes(needed)}, and {gigabytes(free)} are free: {way_out}"
    elif not args.get("checkpoints_total_limit") and count > 3 and count * each > 10e9:
        yield "Warning", f"all {count} checkpoints are kept, {gigabytes(count * each)}: --checkpoints_total_limit=3"


def memory(launch: Launch, model: Sizes) -> Findings:
    """What a GPU has to hold, and whether it can."""
    parts = footprint.memory(launch.args, model, launch.lora, launch.precision, launch.processes)
    needed, there = sum(parts.values()), footprint.gpu_memory() if launch.on_gpu else 0
    text = f"{gigabytes(needed)} a GPU, computed: "
    text += " + ".join(f"{name} {gigabytes(size)}" for name, size in parts.items() if size > needed / 100)
    yield "Memory", text + (f"; the GPU has {gigabytes(there)}" if there else "")
    if not launch.on_gpu and model.unet > 1e8:
        yield "Warning", f"there is no GPU here: for {model.unet:,} parameters a CPU needs far too long"
    if there and needed > there:
        args = launch.args
        batch = args["train_batch_size"]
        ways = [
            "--gradient_checkpointing" if not args.get("gradient_checkpointing") else "",
            "--use_8bit_adam" if not args.get("use_8bit_adam") and not launch.lora else "",
            f"--train_batch_size={batch // 2} with twice the --gradient_accumulation_steps" if batch > 1 else "",
            "a LoRA (recipes/train_text_to_image_lora)" if not launch.lora else "",
        ]
        ways = ", ".join(filter(None, ways)) or "a larger GPU"
        yield "Warning", f"{gigabytes(needed)} computed, and the GPU has {gigabytes(there)}; what helps: {ways}"


def main(mode: str, accelerate_config: str, recipe: str, script: str, *argv: str) -> int:
    """Prints the findings and returns the exit status. Raises OSError and ValueError as the files' readers do."""
    path, settings, config = Path(script), read_command_line(list(argv)), read_config(Path(accelerate_config))
    gpus = gpu_count()
    _, processes, devices = arguments(config, gpus)
    launch = Launch(
        script=path.stem,
        official=path.stem in OFFICIAL and path.stem.startswith("train_text_to_image"),
        args=script_arguments(settings, script_flags(path) if path.is_file() else {}),
        said=set(settings),
        configured=str(config.get("mixed_precision") or "no"),
        processes=processes * config.get("num_machines", 1),
        on_gpu=not devices.startswith("the CPU"),
    )
    failed = False
    for kind, text in look(mode, launch):
        failed |= kind == "Error"
        print(f"{kind:<10}{text}", file=sys.stderr if kind == "Error" else sys.stdout, flush=True)
    return 2 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:  # while it looks at many images
        sys.exit(130)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
