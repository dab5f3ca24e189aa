"""data/NAME -> data/NAME-parquet: the dataset as Parquet with the images inside, as it is published on the Hub.

README.md (the card), preview.png and data/SPLIT-00000-of-0000N.parquet: `datasets.load_dataset` opens the folder and
gives the rows of the imagefolder, and the PNG in each is the file of the imagefolder byte for byte.
"""

import contextlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from dataset_builder import DataError, card, imagefolder, swap

if TYPE_CHECKING:
    from datasets import DatasetInfo
    from PIL.Image import Image

# `datasets` closes a shard at the first batch of 100 rows that takes it over this: at most 500 MB with that batch.
SHARD_SIZE = "450MB"
FINGERPRINT = r"Fingerprint of the content: `([0-9a-f]{64})`"  # in hub_dataset_card.md
COLUMNS, ROWS, SIDE, GAP, LABEL = 8, 4, 112, 8, 18  # preview.png: cells across and down; image, gap and label in pixels


def export(output: Path, texts: dict, name: str | None = None) -> Path:
    """Make the export of the whole build at `output` and return its folder, with a card that calls it `name`.

    Parquet and picture of the same content are left alone if they are there; those of other content are replaced, once
    the new ones are whole. `texts` are the source's for the card. Raises DataError where the folder's place is taken by
    anything else or another process is at it, OSError where the disk is full.
    """
    folder = output.parent / f"{output.name}-parquet"
    built = imagefolder.existing(output)
    info = existing(folder, built["fingerprint"])
    text = card.fill(built, texts, name or f"data/{built['source']}-parquet")
    if info:
        swap.write_whole(folder / "README.md", with_info(text, info).encode())
        return folder
    with swap.partial_folder(folder) as partial:
        swap.empty(partial)
        info = write_shards(output, partial)
        preview(output).save(partial / "preview.png", optimize=True)
        (partial / "README.md").write_text(with_info(text, info), "utf-8")
        if imagefolder.existing(output) != built:
            raise DataError(f"{output} was replaced while it was exported: try again")
        os.sync()
        swap.swap_in(partial, folder)
    return folder


def files(folder: Path) -> list[str]:
    """The paths of what an export consists of, relative to its folder."""
    return ["README.md", "preview.png", *sorted(f"data/{shard.name}" for shard in folder.glob("data/*.parquet"))]


def existing(folder: Path, fingerprint: str) -> "DatasetInfo | None":
    """What the card says of a whole export of this content, None where there is another one, half of one or nothing.

    Raises DataError where the folder holds anything that is no part of an export: it is neither replaced nor published.
    """
    from datasets.info import DatasetInfosDict

    if not swap.put_right(folder):
        return None
    fingerprint_there, info = None, None
    with contextlib.suppress(Exception):  # no card, or one that somebody has edited
        fingerprint_there = re.search(FINGERPRINT, (folder / "README.md").read_text("utf-8"))[1]
        info = DatasetInfosDict.from_directory(folder)["default"]
    strangers = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    strangers -= {*files(folder), "README.md.tmp"}  # the last of a kill while the card was written
    if not fingerprint_there or strangers:
        what = f"holds {min(strangers)}, which is" if fingerprint_there else "exists and is"
        raise DataError(f"{folder} {what} no part of an export: move it away")
    size = sum(shard.stat().st_size for shard in folder.glob("data/*.parquet"))
    whole = info and info.download_size == size and (folder / "preview.png").is_file()
    return info if whole and fingerprint_there == fingerprint else None


def with_info(text: str, info: "DatasetInfo") -> str:
    """The card with features, splits and sizes in its front matter."""
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCard

    filled = DatasetCard(text)
    DatasetInfosDict(default=info).to_dataset_card_data(filled.data)
    return str(filled)


def write_shards(output: Path, partial: Path) -> "DatasetInfo":
    """Write data/SPLIT-00000-of-0000N.parquet into `partial`, and return what they hold."""
    from datasets import load_dataset_builder
    from datasets.exceptions import DatasetGenerationError

    work = partial / "work"
    try:
        # A cache of its own: the user's would keep a copy, and an old one could be taken for this dataset.
        builder = load_dataset_builder("imagefolder", data_dir=str(output), cache_dir=str(work / "cache"))
        builder.download_and_prepare(str(work / "shards"), file_format="parquet", max_shard_size=SHARD_SIZE)
    except DatasetGenerationError as error:
        if isinstance(error.__cause__, OSError):  # a full disk, an image that is gone
            raise error.__cause__ from None
        raise DataError(f"{output} cannot be read: {error.__cause__}") from None
    info = builder.info
    (partial / "data").mkdir()
    for split in info.splits:
        for shard in (work / "shards").glob(f"imagefolder-{split}[-.]*parquet"):
            number = shard.stem.removeprefix(f"imagefolder-{split}") or "-00000-of-00001"
            shard.rename(partial / "data" / f"{split}{number}.parquet")
    info.download_size = sum(shard.stat().st_size for shard in (partial / "data").iterdir())
    shutil.rmtree(work)
    return info


def preview(output: Path) -> "Image":
    """Examples spread evenly over the training rows, in a grid, mode L; below each as much of its caption as fits."""
    from PIL import Image, ImageDraw, ImageFont

    with open(output / "train" / "metadata.jsonl", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    cells = COLUMNS * ROWS
    chosen = [rows[i * len(rows) // cells] for i in range(cells)] if len(rows) > cells else rows
    width, height = SIDE + GAP, SIDE + LABEL + GAP
    sheet = Image.new("L", (GAP + COLUMNS * width, GAP + -(-len(chosen) // COLUMNS) * height), 255)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for i, row in enumerate(chosen):
        x, y, text = GAP + i % COLUMNS * width, GAP + i // COLUMNS * height, row["text"]
        with Image.open(output / "train" / row["file_name"]) as image:
            sheet.paste(image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS), (x, y))
        while font.getlength(text) > SIDE:
            text = text.rstrip("…")[:-1] + "…"
        draw.text((x + SIDE / 2, y + SIDE), text, 0, font, anchor="ma")
    return sheet
