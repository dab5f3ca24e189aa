"""Draw characters for words: python generate.py MODEL "word" ... [--prompts FILE] [--flag value ...]

MODEL is the folder of a run (runs/quickstart), or of a checkpoint in it (runs/quickstart/checkpoint-500), whichever
script trained it; or of a Stable Diffusion that something else saved, or its name on the Hugging Face Hub: the base
model, for the pictures before (CompVis/stable-diffusion-v1-4).
Images go to outputs/NAME/WORD/SEED.png, with all settings in each file, and a labelled sheet.png and an index.html
beside them. What is there already with the same settings is not drawn again.
"""

import argparse
import hashlib
import inspect
import logging
import os
import re
import sys
import unicodedata
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

from models.find import caption_template, find_model, fingerprint
from models.open import open_model
from sheet import contact_sheet, web_page

SCHEDULERS = (  # those of diffusers that need no further package
    *("DPMSolverMultistep", "DPMSolverSinglestep", "UniPCMultistep", "DEISMultistep", "DDIM", "DDPM", "PNDM"),
    *("EulerDiscrete", "EulerAncestralDiscrete", "HeunDiscrete", "KDPM2Discrete", "KDPM2AncestralDiscrete"),
)
DTYPES = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
SHEET_IMAGES = 1000  # on sheet.png, which is one picture in memory; index.html shows them all


class Planned(NamedTuple):
    """An image to draw, and where it goes."""

    word: str
    prompt: str
    seed: int
    file: Path


def draw(pipe, prompts, seeds, batch_size=8, negative_prompt="", **settings):
    """Yield a PIL image for each of `prompts`, drawn with the seed at the same place in `seeds`, in their order.

    Each image has a generator of its own, on the CPU: neither the order, nor the batch size, nor the device changes
    its noise. settings: what the pipeline takes besides (num_inference_steps, guidance_scale, height, width).
    """
    import torch

    for start in range(0, len(prompts), batch_size):
        batch = list(prompts[start : start + batch_size])
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[start : start + batch_size]]
        if factor := getattr(pipe, "vae_scale_factor", None):  # it would draw other noise in half precision
            sides = [(settings.get(side) or pipe.unet.config.sample_size * factor) for side in ("height", "width")]
            shape = (pipe.unet.config.in_channels, *(side // factor for side in sides))
            noise = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
            settings["latents"] = noise.to(pipe.unet.dtype)
        negative = [negative_prompt] * len(batch) if negative_prompt else None
        yield from pipe(prompt=batch, negative_prompt=negative, generator=generators, **settings).images


def image_seed(seed, word, number):
    """The seed of the `number`th image of `word`: 32 bits that depend on nothing else, such as the order of words."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{word}\n{number}".encode()).digest()[:4], "big")


def folder_name(word):
    """`word` as a folder's name that is safe on every system and differs from every other word's.

    Letters, marks and digits of any script, spaces, "-" and "_" stay. Where anything had to change, eight digits of
    a sha256 of the word are added. (Names that a file system takes for the same, "Fire" and "fire", still do not mix:
    the files in them are named by seeds, which differ from word to word.)
    """
    kept = "".join(char if char in " -_" or unicodedata.category(char)[0] in "LMN" else "_" for char in word)
    kept = kept[:50].strip(" -_")  # 200 bytes at most: file systems take 255
    reserved = re.fullmatch(r"con|prn|aux|nul|(com|lpt)\d", kept, re.IGNORECASE)  # on Windows
    if kept == word and not reserved:
        return word
    return f"{kept or 'word'}-{hashlib.sha256(word.encode()).hexdigest()[:8]}"


def read_words(words, prompts=None):
    """The words to draw, each once and in order: those given and those in the file `prompts`.

    The file is UTF-8, one word or phrase a line; empty lines and lines that start with "#" are passed over.
    Raises OSError or ValueError that says what is wrong.
    """
    words = list(words)
    if prompts:
        try:
            lines = [line.strip() for line in Path(prompts).read_text(encoding="utf-8-sig").splitlines()]
        except UnicodeDecodeError as error:
            raise ValueError(f"{prompts} is not UTF-8 (byte {error.start}): save it as UTF-8") from None
        lines = [line for line in lines if line and not line.startswith("#")]
        if not lines:
            raise ValueError(f"{prompts} has no words: one a line, lines that start with # are passed over")
        words += lines
    words = [" ".join(word.split()) for word in words]
    if not words:
        raise ValueError('nothing to draw: name words ("forest fire") or a file of them (--prompts)')
    if "" in words:
        raise ValueError(f"word {words.index('') + 1} is empty")
    if any("\ud800" <= char <= "\udfff" for word in words for char in word):
        raise ValueError("a word is not valid UTF-8")
    return list(dict.fromkeys(words))


def is_drawn(file, record):
    """Whether `file` is a whole image that was drawn with what `record` says."""
    try:
        with Image.open(file) as image:
            image.load()  # a file that is cut short raises
            return all(image.text.get(key) == value for key, value in record.items())
    except (OSError, SyntaxError, AttributeError):  # AttributeError: another format under the name of a PNG
        return False


def save(image, file, record):
    """Write `image` as a PNG with `record` as its text, whole or not at all."""
    text = PngInfo()
    for key, value in record.items():
        text.add_text(key, value)  # as UTF-8 where Latin-1 does not do
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file.with_suffix(".tmp"), "PNG", pnginfo=text)
    os.replace(file.with_suffix(".tmp"), file)


def load(model, scheduler=SCHEDULERS[0], dtype="fp32", device=None):
    """The pipeline at `model` with a scheduler to draw with, on the GPU where there is one; it prints nothing.

    Raises what open_model raises.
    """
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it advises a package that nothing here needs
    import diffusers
    import torch
    import transformers
    from huggingface_hub.utils import are_progress_bars_disabled, enable_progress_bars

    diffusers.utils.logging.set_verbosity_error()  # it wonders at a config that says how weights were averaged
    diffusers.utils.logging.disable_progress_bar()  # over the files of a model, a blink long
    transformers.utils.logging.set_verbosity_error()  # of a prompt that is too long it says "errors"; but it is cut,
    logging.getLogger("diffusers.pipelines.stable_diffusion").setLevel(logging.WARNING)  # and this one says where
    downloads_are_shown = not are_progress_bars_disabled()
    transformers.utils.logging.disable_progress_bar()  # and with its own the bars of downloads
    if downloads_are_shown:
        enable_progress_bars()
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    pipe = open_model(model, getattr(torch, DTYPES[dtype]), device)
    pipe.set_progress_bar_config(disable=True)
    # what was trained (prediction type, noise schedule) stays in the config and so carries over
    pipe.scheduler = getattr(diffusers, f"{scheduler}Scheduler").from_config(pipe.scheduler.config)
    return pipe


def draw_missing(args, saved, planned):
    """Draw those of `planned` that are not there with the same settings.

    args: what `add_drawing_flags` adds, and `model`. Returns all that an image depends on besides its word, prompt and
    seed, and the versions, as texts. Raises ValueError for what cannot be opened or does not fit in memory.
    """
    pipe = load(args.model, args.scheduler, args.dtype, args.device)
    import torch

    own = inspect.signature(pipe.__call__).parameters
    steps = args.num_inference_steps or own["num_inference_steps"].default
    guidance = own["guidance_scale"].default if args.guidance_scale is None else args.guidance_scale
    guidance = pipe.config["guidance_scale"] if guidance is None else guidance
    settings = {
        "model": saved.name,
        "fingerprint": fingerprint(saved),
        "scheduler": args.scheduler,
        "num_inference_steps": str(steps),
        "guidance_scale": f"{guidance:g}",
        "negative_prompt": args.negative_prompt,
        "resolution": str(args.resolution or "as trained"),
        "dtype": args.dtype,
    }

    def record(image):
        return {"word": image.word, "prompt": image.prompt, "seed": str(image.seed), **settings}

    todo = [image for image in planned if not is_drawn(image.file, record(image))]
    versions = {"versions": ", ".join(f"{name} {version(name)}" for name in ("diffusers", "torch", "transformers"))}
    size = {"height": args.resolution, "width": args.resolution} if args.resolution else {}
    prompts, seeds = [image.prompt for image in todo], [image.seed for image in todo]
    how = {"num_inference_steps": steps, "guidance_scale": guidance} | size
    images = draw(pipe, prompts, seeds, args.batch_size, args.negative_prompt, **how)
    try:
        for image, place in zip(tqdm(images, "drawing", len(todo), unit="image", disable=not todo), todo, strict=True):
            save(image, place.file, record(place) | versions)
    except RuntimeError as error:
        if not isinstance(error, torch.OutOfMemoryError) and "memory" not in str(error):  # the latter on the CPU
            raise
        less = f"a --batch_size below {args.batch_size}" if args.batch_size > 1 else "a smaller --resolution"
        raise ValueError(f"{pipe.device} is out of memory: {less} needs less") from None
    print(f"{len(todo)} images drawn, {len(planned) - len(todo)} were there already")
    return settings | versions


def show(planned, output, title, settings):
    """Write sheet.png and index.html in `output`, of images that are drawn."""
    by_word = {}
    for image in planned:
        by_word.setdefault(image.word, []).append(image)
    shown = list(by_word.items())[: max(1, SHEET_IMAGES * len(by_word) // len(planned))]
    groups = [(word, (Image.open(image.file) for image in images)) for word, images in shown]
    save(contact_sheet(groups, title), output / "sheet.png", settings)
    less = f" (the first {len(shown)} of {len(by_word)} words)" if len(shown) < len(by_word) else ""
    print(f"{output / 'sheet.png'}{less}")

    groups = [
        (
            word,
            images[0].prompt,
            [(image.file.relative_to(output).as_posix(), f"seed {image.seed}") for image in images],
        )
        for word, images in by_word.items()
    ]
    page = output / "index.html"
    page.with_suffix(".tmp").write_text(web_page(settings["model"], settings, groups), encoding="utf-8")
    os.replace(page.with_suffix(".tmp"), page)
    print(page)


def positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return int(text)


def add_drawing_flags(parser):
    """What all that draws has: how images are made of a model, a prompt and a seed."""
    add = parser.add_argument
    add("--seed", type=int, default=0, metavar="N", help="another number, other images (%(default)s)")
    add("--negative_prompt", default="", metavar="TEXT", help="what to draw away from")
    add("--scheduler", type=scheduler, default=SCHEDULERS[0], metavar="NAME", help="of diffusers (%(default)s)")
    add("--num_inference_steps", type=positive, metavar="N", help="steps of the scheduler (the model's own default)")
    add("--guidance_scale", type=float, metavar="X", help="how closely to follow the prompt (the model's own default)")
    add("--resolution", type=positive, metavar="N", help="side in pixels (as trained)")
    add("--dtype", choices=list(DTYPES), default="fp32", help="precision of the weights (%(default)s)")
    add("--batch_size", type=positive, default=8, metavar="N", help="images at once, which changes none (%(default)s)")
    add("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps (a GPU where there is one)")


def scheduler(text):
    if (name := text.removesuffix("Scheduler")) not in SCHEDULERS:
        raise argparse.ArgumentTypeError(f"no scheduler {name}: choose from {', '.join(SCHEDULERS)}")
    return name


def main():
    parser = argparse.ArgumentParser(
        usage='python generate.py MODEL ["word" ...] [--flag value ...]',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="folder of a run or a checkpoint-N in it, or USER/NAME on the Hub")
    add("words", metavar="word", nargs="*", help="what to draw, a word or a phrase")
    add("--prompts", metavar="FILE", help="more words, one a line; lines that start with # are passed over")
    add("--output", type=Path, metavar="DIR", help="where images go (outputs/NAME, the run's name)")
    add("--num_images", type=positive, default=4, metavar="N", help="images a word (%(default)s)")
    add("--raw_prompt", action="store_true", help="the word is the prompt: not put into the run's caption template")
    add_drawing_flags(parser)
    args = parser.parse_intermixed_args()  # words on either side of the flags
    try:  # all that can be wrong is said before torch is loaded, which takes seconds
        words = read_words(args.words, args.prompts)
        saved = find_model(args.model)
        template = "{meanings}" if args.raw_prompt else caption_template(saved.run)
        output = args.output or Path("outputs") / saved.name
        output.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if saved.note:
        print(saved.note, file=sys.stderr)
    try:
        planned = [
            Planned(word, template.format(meanings=word), seed, output / folder_name(word) / f"{seed}.png")
            for word in words
            for seed in (image_seed(args.seed, word, number) for number in range(args.num_images))
        ]
        settings = draw_missing(args, saved, planned)
        how = f"{args.scheduler}, {settings['num_inference_steps']} steps, guidance {settings['guidance_scale']}"
        show(planned, output, f"{saved.name}: {how}, seed {args.seed}", settings | {"seed": str(args.seed)})
    except (OSError, ValueError) as error:
        sys.exit(f"generate.py: {error}")
    except KeyboardInterrupt:
        sys.exit("generate.py: stopped; the images so far are kept, and the same command draws the rest")


if __name__ == "__main__":
    main()
