"""The rows of an imagefolder, as `datasets` 5.2 has them where data_files is DIR/**: read here without it, in no time.

Rows are what the files metadata.jsonl or metadata.csv anywhere below have; an image without a row is left out without a
word, a row without its image ends the training when its turn comes. Without any metadata file every image is a row.
Hidden files and folders, `__folders` and links to folders are passed over, links to files are not. Archives (.zip),
which `datasets` would unpack, are not looked into.
"""

import csv
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

NOT_FOR_DATASETS = {".avif", ".avifs", ".h5", ".hdf", ".pfm", ".qoi"}  # Pillow reads them, `datasets` passes them over
KINDS = {str: "text", int: "a number", float: "a number", bool: "true or false", list: "a list", dict: "an object"}


def read_rows(folder: Path) -> tuple[list[tuple[str, dict]], set[str], list[str]]:
    """(each row after the name of its image, the columns, the names of all images below `folder`).

    Names are paths from `folder`, columns have the names that `datasets` gives them. Raises ValueError, in one line,
    where `datasets` could not load the folder, and OSError.
    """
    if re.search(r"\[[^/]+]", str(folder.absolute())):
        raise ValueError(f"{folder.absolute()}: `datasets` takes [ ] in a path for a pattern; rename the folder")
    files, metadata = [], []
    endings = {end for end, kind in Image.registered_extensions().items() if kind in Image.OPEN} - NOT_FOR_DATASETS
    for name in sorted(_files(folder)):
        stem, end = os.path.splitext(name)
        if os.path.basename(name) in ("metadata.jsonl", "metadata.csv", "metadata.parquet"):
            metadata.append(name)
        elif {end.lower(), os.path.splitext(stem)[1].lower()} & endings:  # cat.png.txt is an image for `datasets`
            files.append(name)
    if not metadata:
        labels = {os.path.basename(os.path.dirname(folder.absolute() / name)) for name in files}
        labelled = len(labels) > 1 and len({name.count("/") for name in files}) == 1
        return [(name, {}) for name in files], {"image", *["label"] * labelled} if files else set(), files

    rows, columns = [], set()
    for name in metadata:
        file, below, kinds = folder / name, os.path.dirname(name), {}
        if file.suffix != Path(metadata[0]).suffix:
            raise ValueError(f"{file}: `datasets` loads metadata of one kind, and {metadata[0]} is another")
        if file.suffix == ".parquet":
            raise ValueError(f"{file}: cannot be checked; write it as metadata.jsonl, a JSON object a line")
        for line, row in _read_csv(file) if file.suffix == ".csv" else _read_jsonl(file):
            try:
                _expect_one_kind(row, "", kinds)
                rows.append((os.path.join(below, _image_name(row)), row))
            except ValueError as error:
                raise ValueError(f"{file}, line {line}: {error}") from None
            columns |= row.keys()
    return rows, {re.sub("_?file_name$", "", column) or "image" for column in columns}, files


def _files(folder: Path) -> Iterator[str]:
    """The files that the pattern DIR/** stands for, as paths from DIR."""

    def stop(error: OSError):
        raise error

    for parent, folders, names in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if not name.startswith((".", "__"))]
        below = os.path.join(os.path.relpath(parent, folder), "").removeprefix("./")
        yield from (below + name for name in names if name[0] != "." and os.path.isfile(os.path.join(parent, name)))


def _read_jsonl(file: Path) -> Iterator[tuple[int, dict]]:
    """(line, row): objects one after the other, whatever white space is between and within them."""
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    read, at, line = json.JSONDecoder().raw_decode, 0, 1
    while start := re.compile(r"\S").search(text, at):
        line += text.count("\n", at, start.start())
        try:
            row, at = read(text, start.start())
        except ValueError as error:
            raise ValueError(f"{file}, line {line}: not JSON ({error.msg}); write an object a line") from None
        if not isinstance(row, dict):
            raise ValueError(f"{file}, line {line}: not a JSON object; write one a line")
        yield line, row
        line += text.count("\n", start.start(), at)


def _read_csv(file: Path) -> list[tuple[int, dict]]:
    """(line, row): None is what is no text for pandas: a word of its own for a missing value, a column of numbers."""
    try:
        reader = csv.DictReader(io.StringIO(file.read_text("utf-8-sig"), newline=""))
        rows = [(reader.line_num, row) for row in reader]
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: byte {error.start} is not UTF-8; save it as UTF-8") from None
    except csv.Error as error:
        raise ValueError(f"{file}, line {reader.line_num}: {error}") from None
    missing = "#N/A,#N/A N/A,#NA,-1.#IND,-1.#QNAN,-NaN,-nan,1.#IND,1.#QNAN,<NA>,N/A,NA,NULL,NaN,None,n/a,nan,null,"
    for line, row in rows:
        if None in row:
            raise ValueError(f"{file}, line {line}: more values than columns; quote a text that has commas")
        row.update({key: None for key, text in row.items() if text is None or text in missing.split(",")})
    for key in reader.fieldnames or ():
        texts = [row[key] for _, row in rows if row[key] is not None]
        for kind in (r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", "true|false"):
            if all(re.fullmatch(kind, text.strip(), re.IGNORECASE) for text in texts):
                for _, row in rows:
                    row[key] = None
    return rows


def _image_name(row: dict) -> str:
    """The path of a row's image from the metadata's folder, as `datasets` allows it; ValueError otherwise."""
    name = row.get("file_name") or next((row[key] for key in row if key.endswith("_file_name")), None)
    if not name or not isinstance(name, str):
        raise ValueError("no file_name; name the image by its path from the metadata's folder")
    path = os.path.normpath(name)
    if re.search("::|://", name) or os.path.isabs(path) or path.split("/")[0] == "..":
        raise ValueError(f"file_name {name!r} does not lie below the metadata's folder, or has :: in it")
    return path


def _expect_one_kind(value: Any, column: str, kinds: dict[str, str]) -> None:
    """ValueError where a column has values of two kinds, which `datasets` cannot load; `kinds` is what was before."""
    if value is None:
        return
    kind = KINDS[type(value)]
    if kinds.setdefault(column, kind) != kind:
        raise ValueError(f"`{column}` is {kind}, and {kinds[column]} before; `datasets` wants one kind in a column")
    if kind == "text" and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"`{column}` has half a surrogate pair, which is no character") from None
    elif kind == "a list":
        for item in value:
            _expect_one_kind(item, f"{column}[]", kinds)
    elif kind == "an object":
        for key, item in value.items():
            _expect_one_kind(item, f"{column}.{key}" if column else key, kinds)
