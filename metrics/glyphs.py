"""Pictures as a judge sees them: glyphs, brought to one size, margin and stroke tone."""

import csv
import hashlib
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from sheet import on_paper

SIDE = 48  # pixels
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MARGIN = SIDE // 16  # of paper on each side
SMALLEST = 0.3  # of a picture's side: a dot is not blown up to fill the square


def normalise(image, side=SIDE):
    """A PIL image of any size and mode -> its glyph, float32 (side, side), 0 paper to 1 ink.

    Paper is what most of the picture's edge is, lighter or darker than the ink. See `fitted` for the rest.
    """
    image = on_paper(image, "L")
    grey = np.asarray(image.reduce(max(1, max(image.size) // (3 * side))), dtype=np.float32) / 255
    paper = np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]]))
    return fitted(np.clip(paper - grey if paper >= 0.5 else grey - paper, 0, None), side)


def fitted(ink, side=SIDE):
    """ink (height, width), 0 where there is none -> a glyph (side, side); all 0 where nothing is drawn.

    The strokes become as dark as their darkest twentieth; what is drawn fills the square but for the margin, its
    proportions kept.
    """
    if ink.max() < 0.1:  # nothing that an eye would take for a stroke
        return np.zeros((side, side), dtype=np.float32)
    ink = np.clip(ink / np.quantile(ink[ink > ink.max() / 4], 0.95), 0, 1)
    rows, columns = np.where(ink.max(1) > 0.3)[0], np.where(ink.max(0) > 0.3)[0]
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    longest = max(bottom - top, right - left, SMALLEST * max(ink.shape))
    scale = (side - 2 * MARGIN * side / SIDE) / longest
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    drawn = Image.fromarray(ink[top:bottom, left:right]).resize(size, Image.Resampling.BILINEAR)
    glyph = Image.new("F", (side, side))
    glyph.paste(drawn, ((side - size[0]) // 2, (side - size[1]) // 2))
    return np.asarray(glyph)


def read_rows(folder):
    """The rows of an imagefolder's metadata.jsonl or .csv, each with its picture's path as `file`, file_name and text.

    Without metadata the text is the word that generate.py keeps in its images, else the picture's name ("forest
    fire.png"). Raises ValueError that says what is wrong with which line, and for a dataset with its rows in splits.
    """
    folder = Path(folder)
    metadata = next((file for end in ("jsonl", "csv") if (file := folder / f"metadata.{end}").is_file()), None)
    if metadata:
        return list(_told(metadata))
    if any((folder / "train" / f"metadata.{end}").is_file() for end in ("jsonl", "csv")):
        raise ValueError(f"{folder} has no metadata.jsonl, but its splits have: name its train or test folder")
    files = _files(folder, PICTURES)
    return [{"file_name": file.relative_to(folder).as_posix(), "text": _word(file), "file": file} for file in files]


def held_out_rows(dataset):
    """The rows of a dataset's test split; none where it has none."""
    test = Path(dataset, "test")
    return read_rows(test) if test.is_dir() else []


def _told(metadata):
    """The rows of a metadata.jsonl or metadata.csv; blank lines are passed over."""
    if metadata.suffix == ".jsonl":
        lines = ((n, line) for n, line in enumerate(metadata.read_bytes().splitlines(), 1) if line.strip())
    else:
        try:
            reader = csv.DictReader(io.StringIO(metadata.read_bytes().decode("utf-8-sig"), newline=""))
        except UnicodeDecodeError as error:
            raise ValueError(f"{metadata} is not UTF-8: {error}") from None
        lines = ((reader.line_num, row) for row in reader)
    for number, row in lines:
        try:
            row = json.loads(row) if isinstance(row, bytes) else row
            if not isinstance(row["text"], str) or not row["text"].strip():
                raise ValueError("text is no words")
            yield row | {"file": metadata.parent / row["file_name"]}
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{metadata}, line {number}: not a row with file_name and text ({error})") from None


def _files(folder, endings):
    """The files below `folder` with one of `endings`, but for what generate.py and evaluate.py put beside drawings."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in endings and file.name != "sheet.png" and file.relative_to(folder).parts[0] != "report"
    )


def _word(file):
    """What `file` shows: the word in a PNG of generate.py (only its head is read), else the file's name."""
    word = None
    if file.suffix.lower() == ".png":
        try:
            with Image.open(file) as image:
                word = image.info.get("word")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # load_glyphs says so
            pass
    return word or file.stem.replace("_", " ")


def fingerprint(dataset):
    """What tells the data in a folder from any other: that of its build.json, or one of its files' names and dates."""
    try:
        if known := json.loads(Path(dataset, "build.json").read_text(encoding="utf-8")).get("fingerprint"):
            return known
    except (FileNotFoundError, ValueError, AttributeError):
        pass
    digest = hashlib.sha256()
    splits = [Path(dataset, split) for split in ("train", "test")]
    folders = splits if splits[0].is_dir() else [Path(dataset)]  # a report may lie beside the splits
    for file in sorted(file for folder in folders for file in _files(folder, {".jsonl", ".csv", *PICTURES})):
        digest.update(f"{file.relative_to(dataset)}\n{file.stat().st_size}\n{file.stat().st_mtime_ns}\n".encode())
    return digest.hexdigest()


def load_glyphs(pictures, side=SIDE, resolution=None, label="glyphs"):
    """Pictures, as PIL images or files, -> their glyphs, float32 (n, side, side).

    resolution: they are first reduced to a square of so many pixels, as the trainers do it, so that real pictures have
    no more detail than drawings of that size. Raises ValueError that names a file that is no picture.
    """
    glyphs = np.empty((len(pictures), side, side), dtype=np.float32)
    for number, picture in enumerate(tqdm(pictures, label, unit="image", disable=len(pictures) < 500)):
        try:
            image = picture if isinstance(picture, Image.Image) else Image.open(picture)
            image = on_paper(image, "L")
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"{picture} is not a whole picture: {error}") from None
        if resolution and max(image.size) > resolution:
            image = ImageOps.pad(image, (resolution, resolution), Image.Resampling.BOX, color="white")
        glyphs[number] = normalise(image, side)
    return glyphs
