"""Samples -> a folder that `datasets` reads as an imagefolder: built beside its place, swapped in when it is whole."""

import contextlib
import functools
import hashlib
import importlib.metadata
import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builder import DataError, card, swap
from dataset_builder.sources import Dropped, Sample

if TYPE_CHECKING:
    from PIL.Image import Image

VERSION = 1  # of what is written: higher, where the same options and sources would give another dataset
PACKAGES = ("lxml", "Pillow", "resvg_py")


def existing(output: Path) -> dict | None:
    """build.json of the whole build at `output`, None where there is nothing; DataError where there is anything else.

    What a swap that was killed has left is put right first: the build before it is put back, or cleared away.
    """
    if not swap.put_right(output):
        return None
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        build = json.loads((output / "build.json").read_text("utf-8"))
        if build["fingerprint"]:
            return build
    raise DataError(f"{output} exists and is no dataset of this builder's: name another folder with --output")


def differences(built: dict, asked: dict) -> list[str]:
    """In words, how the dataset that is there differs from what is asked for; a source without sha256 goes by name."""
    asked = asked | {"version": VERSION}
    changes = [
        f"{key} {built.get(key)}, not {asked[key]}" for key in ("source", "version") if built.get(key) != asked[key]
    ]
    for key in sorted({*built["options"], *asked["options"]}):
        before, now = built["options"].get(key), asked["options"].get(key)
        if before != now:
            changes.append(f"--{key} {before}, not {now}")
    for before, now in zip(built["sources"], asked["sources"], strict=False):
        key = "sha256" if "sha256" in now else "given"
        if before[key] != now[key]:
            changes.append(f"another {before['name']} ({before['given']}), not {now['given']}")
    return changes


def build(output: Path, samples: Iterable[Sample | Dropped], plan: dict, texts: dict, num_proc: int) -> dict:
    """Write the dataset to `output` and return its build.json.

    `plan` is what build.json says before there is a result: source, sources, options, caption_template; `texts` are the
    source's for the card. An unfinished build with the same plan is gone on with, one with another plan is thrown away.
    What was at `output` stays until the new one is whole. Raises DataError where nothing is left to write or another
    process is at it, OSError where the disk is full.
    """
    packages = {name: importlib.metadata.version(name) for name in PACKAGES}
    plan = plan | {"version": VERSION, "packages": packages, "fingerprint": None}
    chosen, dropped = choose(samples, plan["options"])
    with open_partial(output, plan) as partial:
        rows, digest = {"train": [], "test": []}, hashlib.sha256()
        for (split, sample), (pixels, reason) in zip(chosen, draw_all(partial, chosen, num_proc), strict=True):
            if reason:
                dropped.append(Dropped(sample.name, reason))
                continue
            for row in sample.rows:
                rows[split].append({"file_name": f"{sample.name}.png", **row})
                digest.update(json.dumps([split, rows[split][-1], pixels]).encode())
        dropped.sort(key=lambda entry: (entry.name, entry.reason))
        reasons = dict(Counter(entry.reason for entry in dropped).most_common())
        if not rows["train"]:
            raise DataError(f"nothing is left to train on; dropped: {reasons or 'nothing'}")
        for split, lines in rows.items():
            if lines:
                write_lines(partial / split / "metadata.jsonl", lines)
            else:
                shutil.rmtree(partial / split, ignore_errors=True)
        write_lines(partial / "dropped.jsonl", [dropped_row(entry) for entry in dropped])
        counts = {split: len(lines) for split, lines in rows.items()}
        counts["images"] = len({(split, row["file_name"]) for split, lines in rows.items() for row in lines})
        result = plan | {
            "counts": {**counts, "dropped": len(dropped), "dropped_by_reason": reasons},
            "fingerprint": digest.hexdigest(),
        }
        (partial / "README.md").write_text(card.fill(result, texts), "utf-8")
        write_json(partial / "build.json", result)
        os.sync()  # thousands of small files: once is faster than an fsync each
        swap.swap_in(partial, output)
    return result


@contextlib.contextmanager
def open_partial(output: Path, plan: dict) -> Iterator[Path]:
    """The working folder, locked, empty or holding what an unfinished build with the same plan has drawn."""
    with swap.partial_folder(output) as partial:
        begun = None
        with contextlib.suppress(OSError, ValueError):
            begun = json.loads((partial / "build.json").read_text("utf-8"))
        if not isinstance(begun, dict) or {key: begun.get(key) for key in plan} | {"fingerprint": None} != plan:
            if begun:
                print(f"an unfinished build of {output} from other options or sources is thrown away", file=sys.stderr)
            swap.empty(partial)
            write_json(partial / "build.json", plan)
        for leftover in partial.rglob("*.tmp"):
            leftover.unlink()
        yield partial


def choose(samples: Iterable[Sample | Dropped], options: dict) -> tuple[list[tuple[str, Sample]], list[Dropped]]:
    """The samples to draw, each with its split, in order of their names; and what is left out already."""
    from tqdm import tqdm

    kept, dropped = [], []
    for entry in tqdm(samples, desc="reading", unit=" entries"):
        (kept if isinstance(entry, Sample) else dropped).append(entry)
    if options["max_samples"] is not None:
        # A cross-section, the same every time, rather than the first few, which would all be alike.
        kept.sort(key=lambda sample: chance("max_samples", sample.name))
        dropped += [Dropped(sample.name, "over --max_samples") for sample in kept[options["max_samples"] :]]
        del kept[options["max_samples"] :]
    kept.sort(key=lambda sample: sample.name)
    return [(split_of(sample.split_key, options["test_fraction"]), sample) for sample in kept], dropped


def split_of(key: str, test_fraction: float) -> str:
    """Which split, by the key alone: a new release moves nobody, a larger fraction only adds to test."""
    return "test" if chance("test", key) < test_fraction else "train"


def chance(salt: str, key: str) -> float:
    """A number from 0 to 1 that looks random and is the same on every machine."""
    return int(hashlib.sha256(f"{salt} {key}".encode()).hexdigest()[:13], 16) / 16**13


def draw_all(partial: Path, chosen: list[tuple[str, Sample]], num_proc: int) -> Iterator[tuple[str, str]]:
    """For each sample in order the sum of its pixels and "", or "" and the reason why its image is no good."""
    from tqdm import tqdm

    for split in {split for split, _ in chosen}:
        (partial / split).mkdir(exist_ok=True)
    tasks = [(partial / split / f"{sample.name}.png", sample.draw, sample.origin) for split, sample in chosen]
    bar = functools.partial(tqdm, total=len(tasks), desc="drawing", unit="image", smoothing=0)
    if num_proc == 1:
        yield from bar(map(draw_one, tasks))
        return
    # Spawned, not forked: a fork would inherit the lock, and would hold it after a kill of this process.
    with multiprocessing.get_context("spawn").Pool(num_proc, ignore_interrupt) as pool:
        yield from bar(pool.imap(draw_one, tasks, chunksize=16))


def ignore_interrupt() -> None:
    """Ctrl+C is for the parent to answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def draw_one(task: tuple[Path, Callable[[], "Image"], dict[str, str]]) -> tuple[str, str]:
    """Draw one image and write it, unless a whole one is there from before; see draw_all for what is returned."""
    from PIL import Image, PngImagePlugin

    path, draw, origin = task
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError):  # not there, or half there after a power cut
        try:
            image = draw()
        except ValueError as error:
            return "", str(error)
        if reason := fault(image):
            return "", reason
        text = PngImagePlugin.PngInfo()
        for key, value in origin.items():
            text.add_text(key, value)
        png = io.BytesIO()
        image.save(png, "PNG", pnginfo=text)
        swap.write_whole(path, png.getvalue())
    return hashlib.sha256(image.tobytes()).hexdigest(), ""


def fault(image: "Image") -> str:
    """Why an image must not be trained on, or ""."""
    if image.mode != "L":
        return f"image of mode {image.mode}, not 8-bit greyscale"
    darkest, lightest = image.getextrema()
    if lightest < 255:
        return "image without white paper"
    return "blank image" if darkest > 254 else ""


def write_json(path: Path, content: dict) -> None:
    """Write build.json."""
    swap.write_whole(path, (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode())


def write_lines(path: Path, rows: list[dict]) -> None:
    """Write a .jsonl."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    swap.write_whole(path, lines.encode(errors="backslashreplace"))  # a file name may hold what UTF-8 cannot


def dropped_row(entry: Dropped) -> dict:
    """A row of dropped.jsonl; the character is None where the name is no code point."""
    code = re.match(r"[0-9a-f]{5,6}(?![0-9a-z])", entry.name)
    character = chr(int(code[0], 16)) if code and int(code[0], 16) <= 0x10FFFF else None
    return {"name": entry.name, "character": character, "reason": entry.reason}
