"""What a training script would meet in a folder of images, as facts that the preflight puts into words.

An image is judged as the scripts see it: turned as its EXIF data say, then `convert("RGB")`.
"""

import hashlib
import math
import os
import time
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from PIL import ExifTags, Image, ImageChops, ImageOps

from launch.caption_tokens import count_tokens
from launch.rows import read_rows

LEVELS = 4  # of 255: what JPEG makes of one tone differs by so much
SMALLEST = 100  # files that are looked at first: images that are blank or cut short take few bytes


class Facts(NamedTuple):
    """See look(). Names of images are paths relative to the folder, sorted."""

    rows: int
    images: int  # files that rows name and that are there
    columns: set[str]  # as `datasets` names them
    looked_at: int  # images that were decoded, or could not be: fewer than `images` where the budget ran out
    captions: int  # over all rows, bad ones not counted
    transparent: list[str]  # convert("RGB") draws something else than the image on white paper
    blank: list[str]  # one tone all over
    duplicates: list[tuple[str, ...]]  # groups of names that have the same pixels
    not_square: list[str]
    held_out: list[str]  # what the split `test` has too
    unreadable: list[str]  # what Pillow cannot decode
    missing: list[str]  # named by a row, and not there
    without_row: list[str]  # there, and named by no row
    smallest: tuple[int, int] | None  # (width, height) with the shortest side; None where no size is known
    largest: tuple[int, int] | None
    too_long: list[tuple[str, int]]  # (caption, tokens), longest first; without a tokenizer at least so many
    maybe_too_long: int  # captions that only a tokenizer could judge
    bad_captions: list[str]  # images whose caption is neither text nor a list of texts, or is empty
    limit: int  # tokens that the text encoder takes, start and end among them


class Pixels(NamedTuple):
    """What decoding an image tells."""

    transparent: bool
    blank: bool
    digest: bytes  # the same for the same picture, whatever the file's format and mode


def look(train_data_dir: Path, caption_column: str, tokenizer: Path | None, budget: float | None) -> Facts:
    """The facts about `train_data_dir`.

    `tokenizer` is the folder of a CLIP tokenizer; without one (None), captions are judged by what their bytes and words
    say for sure. `budget` is in seconds: so many for the files' headers, and as many for decoding; None is all images,
    however long it takes. What only decoding tells is complete for the images that were looked at.

    What is held out is known by the column `character` where both splits have it, otherwise by the pixels; the split
    `test` is the folder of that name in `train_data_dir`, or else beside it.

    Raises ValueError, in one line, for metadata or a tokenizer that training could not load either, and OSError.
    """
    rows, columns, files = read_rows(train_data_dir)
    named = {name: train_data_dir / name for name in sorted({name for name, _ in rows})}
    paths = {name: path for name, path in named.items() if os.path.exists(path)}
    test = next(filter(Path.is_dir, (train_data_dir / "test", train_data_dir.resolve().parent / "test")), None)
    test_rows, test_columns, _ = read_rows(test) if test else ([], set(), [])
    by_character = "character" in columns & test_columns
    test_paths = [] if by_character else [test / name for name, _ in test_rows]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about images that are huge or a little out of order
        sizes, keys, pixels = look_at_images(list(dict.fromkeys([*paths.values(), *test_paths])), budget)
    size = {name: sizes[path] for name, path in paths.items() if sizes.get(path)}
    seen = {name: pixels[path] for name, path in paths.items() if pixels.get(path)}
    by_side = sorted(size.values(), key=lambda sides: (min(sides), max(sides)))
    same = defaultdict(list)
    for name, path in paths.items():
        same[keys.get(path, path)].append(name)
    if by_character:
        there = {str(row["character"]) for _, row in test_rows if row.get("character")}
        held_out = {name for name, row in rows if str(row.get("character")) in there}
    else:
        there = {keys.get(path, path) for path in test_paths}
        held_out = {name for key, names in same.items() if key in there for name in names}

    captions, bad_captions = read_captions(rows, caption_column) if caption_column in columns else ([], set())
    too_long, maybe_too_long, limit = count_tokens(captions, tokenizer)
    return Facts(
        rows=len(rows),
        images=len(paths),
        columns=columns,
        looked_at=sum(path in pixels or sizes.get(path, 0) is None for path in paths.values()),
        captions=len(captions),
        transparent=[name for name in seen if seen[name].transparent],
        blank=[name for name in seen if seen[name].blank],
        duplicates=[tuple(names) for names in same.values() if len(names) > 1],
        not_square=[name for name, (width, height) in size.items() if width != height],
        held_out=sorted(held_out),
        unreadable=[name for name, path in paths.items() if None in (sizes.get(path, 0), pixels.get(path, 0))],
        missing=[name for name in named if name not in paths],
        without_row=sorted(set(files) - set(named)),
        smallest=by_side[0] if by_side else None,
        largest=by_side[-1] if by_side else None,
        too_long=too_long,
        maybe_too_long=maybe_too_long,
        bad_captions=sorted(bad_captions),
        limit=limit,
    )


def look_at_images(paths: list[Path], budget: float | None) -> tuple[dict, dict, dict]:
    """As far as the budget goes, by path: (width, height); a key that images of the same pixels share; Pixels.

    None in place of a size or of Pixels: Pillow cannot read it.
    """
    # A file's place depends on its name alone: spread evenly, and twins in two splits are looked at together.
    spread = sorted(paths, key=lambda path: zlib.crc32(os.fsencode(path.name)))
    end = time.monotonic() + (math.inf if budget is None else budget)
    headers = _each(spread, _header, end, "reading headers")
    known = {path: header for path, header in headers.items() if header}
    # Only where all else is equal can the contents be: few files of photographs, most files of small drawings.
    alike = Counter(known.values())
    contents = _each([path for path in known if alike[known[path]] > 1], _content, end, "comparing")

    end = time.monotonic() + (math.inf if budget is None else budget)
    first = sorted(known, key=lambda path: known[path].bytes)[:SMALLEST]
    pixels = _each(list(dict.fromkeys([*first, *known])), _pixels, end, "looking at images")
    keys = {path: contents.get(path) or path for path in known}
    digests = {keys[path]: pixels[path].digest for path in pixels if pixels[path]}
    sizes = {path: header and header.size for path, header in headers.items()}
    return sizes, {path: digests.get(key, key) for path, key in keys.items()}, pixels


def _each(paths: list[Path], work: Callable[[Path], Any], end: float, what: str) -> dict[Path, Any]:
    """`work` of each path until it is `end` o'clock, None where it raised."""
    from tqdm import tqdm

    def careful(path: Path) -> Any:
        try:
            return work(path)
        except Exception:  # a decoder that meets a damaged file raises whatever it likes
            return None

    def several(some: list[Path]) -> list:
        return [careful(path) for path in some if time.monotonic() < end]

    # Pillow lets go of the interpreter while it decodes; several a task, as a header alone takes less than a hand-over.
    threads = min(4, os.cpu_count() or 1)
    results, batches = {}, [paths[start : start + 16] for start in range(0, len(paths), 16)]
    with ThreadPoolExecutor(threads) as pool, tqdm(total=len(paths), desc=what, unit="image", delay=1.5) as bar:
        for batch, done in zip(batches, pool.map(several, batches), strict=True):
            results.update(zip(batch, done, strict=False))
            bar.update(len(done))
    return results


class _Header(NamedTuple):
    size: tuple[int, int]
    mode: str
    bytes: int  # of the file; in a PNG from its first pixels on: a title before them is no difference


def _header(path: Path) -> _Header:
    with Image.open(path) as image:
        start = image.tile[0].offset if image.format == "PNG" else 0
        return _Header(image.size, image.mode, os.path.getsize(path) - start)


def _content(path: Path) -> bytes:
    """A digest of the file; a PNG's texts and date are left out, so that a title makes no other picture."""
    data = path.read_bytes()
    if data.startswith(b"\x89PNG"):
        chunks, at = [], 8
        while at < len(data):
            end = at + 12 + int.from_bytes(data[at : at + 4], "big")
            if data[at + 4 : at + 8] not in (b"tEXt", b"zTXt", b"iTXt", b"tIME"):
                chunks.append(data[at:end])
            at = end
        data = b"".join(chunks)
    return hashlib.blake2b(data).digest()


def _pixels(path: Path) -> Pixels:
    with Image.open(path) as image:
        image.load()
        # As `datasets` decodes: where this raises, training does.
        if image.getexif().get(ExifTags.Base.Orientation) is not None:
            image = ImageOps.exif_transpose(image)
    transparent = False
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        paper.alpha_composite(image.convert("RGBA"))
        difference = ImageChops.difference(paper.convert("RGB"), image.convert("RGB"))
        transparent = max(high for _, high in difference.getextrema()) > LEVELS
    # Grey is one band here, however it is stored: to convert every drawing to RGB would take most of the time.
    bands = image.convert("L" if image.mode in ("1", "L") else "RGB").split()
    blank = all(high - low <= LEVELS for low, high in (band.getextrema() for band in bands))
    data = [band.tobytes() for band in bands]
    data = data[:1] if len(set(data)) == 1 else data
    return Pixels(transparent, blank, hashlib.blake2b(b"".join([repr(image.size).encode(), *data])).digest())


def read_captions(rows: list[tuple[str, dict]], column: str) -> tuple[list[str], set[str]]:
    """(the captions of all rows, the images that have none to train on)."""
    captions, bad = [], set()
    for name, row in rows:
        texts = [row[column]] if isinstance(row.get(column), str) else row.get(column)
        if isinstance(texts, list) and texts and all(isinstance(text, str) and text.strip() for text in texts):
            captions += texts
        else:
            bad.add(name)
    return captions, bad
