"""Samples -> a folder that `datasets` reads as an imagefolder: built beside its place, swapped in when it is whole."""

import contextlib
import fcntl
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
import string
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builder import DataError
from dataset_builder.download import is_url
from dataset_builder.sources import Dropped, Sample

if TYPE_CHECKING:
    from PIL.Image import Image

CARD_TEMPLATE = Path(__file__).resolve().parent.parent / "hub_dataset_card.md"
VERSION = 1  # of what is written: higher, where the same options and sources would give another dataset
PACKAGES = ("lxml", "Pillow", "resvg_py")


def old_folder(output: Path) -> Path:
    """Where the build that is being replaced is for the moment of the swap."""
    return output.parent / f".{output.name}.old"


def existing(output: Path) -> dict | None:
    """build.json of the whole build at `output`, None where there is nothing; DataError where there is anything else.

    What a swap that was killed has left is put right first: the build before it is put back, or cleared away.
    """
    if old_folder(output).exists():
        if output.exists():
            shutil.rmtree(old_folder(output), ignore_errors=True)
        else:
            os.rename(old_folder(output), output)
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
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


def build(output: Path, samples: Iterable[Sample | Dropped], plan: dict, card: dict, num_proc: int) -> dict:
    """Write the dataset to `output` and return its build.json.

    `plan` is what build.json says before there is a result: source, sources, options, caption_template. An unfinished
    build with the same plan is gone on with, one with another plan is thrown away. What was at `output` stays until the
    new one is whole. Raises DataError where nothing is left to write or another process is at it, OSError where the
    disk is full.
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
        (partial / "README.md").write_text(fill_card(result, card), "utf-8")
        write_json(partial / "build.json", result)
        os.sync()  # thousands of small files: once is faster than an fsync each
        swap_in(partial, output)
    return result


@contextlib.contextmanager
def open_partial(output: Path, plan: dict) -> Iterator[Path]:
    """The working folder, locked, empty or holding what an unfinished build with the same plan has drawn."""
    partial = output.parent / f".{output.name}.partial"
    partial.mkdir(parents=True, exist_ok=True)
    lock = os.open(partial, os.O_RDONLY)  # the folder itself: a lock file would be one more thing to clear away
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"another process is building {output} at the moment") from None
        except OSError:
            pass  # a file system without locks
        begun = None
        with contextlib.suppress(OSError, ValueError):
            begun = json.loads((partial / "build.json").read_text("utf-8"))
        if not isinstance(begun, dict) or {key: begun.get(key) for key in plan} | {"fingerprint": None} != plan:
            if begun:
                print(f"an unfinished build of {output} from other options or sources is thrown away", file=sys.stderr)
            for entry in partial.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            write_json(partial / "build.json", plan)
        for leftover in partial.rglob("*.tmp"):
            leftover.unlink()
        yield partial
    finally:
        os.close(lock)


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
        write_whole(path, png.getvalue())
    return hashlib.sha256(image.tobytes()).hexdigest(), ""


def fault(image: "Image") -> str:
    """Why an image must not be trained on, or ""."""
    if image.mode != "L":
        return f"image of mode {image.mode}, not 8-bit greyscale"
    darkest, lightest = image.getextrema()
    if lightest < 255:
        return "image without white paper"
    return "blank image" if darkest > 254 else ""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: dict) -> None:
    """Write build.json."""
    write_whole(path, (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode())


def write_lines(path: Path, rows: list[dict]) -> None:
    """Write a .jsonl."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_whole(path, lines.encode(errors="backslashreplace"))  # a file name may hold what UTF-8 cannot


def dropped_row(entry: Dropped) -> dict:
    """A row of dropped.jsonl; the character is None where the name is no code point."""
    code = re.match(r"[0-9a-f]{5,6}(?![0-9a-z])", entry.name)
    character = chr(int(code[0], 16)) if code and int(code[0], 16) <= 0x10FFFF else None
    return {"name": entry.name, "character": character, "reason": entry.reason}


def swap_in(partial: Path, output: Path) -> None:
    """Put the whole build in its place; the one before it goes only then."""
    aside = old_folder(output)
    shutil.rmtree(aside, ignore_errors=True)
    if output.exists():
        os.rename(output, aside)
    os.rename(partial, output)
    shutil.rmtree(aside, ignore_errors=True)


def fill_card(result: dict, card: dict) -> str:
    """The dataset card: hub_dataset_card.md with this build's counts, options and credits."""
    counts, options = result["counts"], result["options"]
    total = counts["train"] + counts["test"]
    sizes = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    splits = [split for split in ("train", "test") if counts[split]]
    return string.Template(CARD_TEMPLATE.read_text("utf-8")).substitute(
        card,
        size=next((size for limit, size in sizes if total < limit), "1M<n<10M"),
        data_files="\n".join(f"      - split: {split}\n        path: {split}/**" for split in splits),
        counts="\n".join(f"| {split} | {counts[split]:,} |" for split in splits),
        images=f"{counts['images']:,}",
        resolution=options["resolution"],
        dropped="\n".join(f"| {reason} | {n:,} |" for reason, n in counts["dropped_by_reason"].items()) or "| | 0 |",
        sources="\n".join(
            f"| {s['name']} | {given} | {s['date'] or 'not said'} | {s['licence']} | `{s['sha256']}` |"
            for s in result["sources"]
            # Whose disk a file was on is nobody's business once the card is published.
            for given in [s["given"] if is_url(s["given"]) else Path(s["given"]).name]
        ),
        options="\n".join(f"- `--{key}`: {value}" for key, value in options.items()),
        source=result["source"],
        caption_template=result["caption_template"],
        fingerprint=result["fingerprint"],
    )
