"""One file a source; its name is the NAME of `python -m dataset_builder NAME`.

A source module has:

- its docstring, the help text, and `add_arguments(parser)`, its options;
- `check(args)`, which raises DataError where options do not go together;
- `files(args)`, a list of the `SourceFile`s that it reads;
- `samples(args, *paths)`, a generator of `Sample` and `Dropped` from those files;
- `caption_template(args)`, the template into which a new word goes as {meanings} when it is drawn;
- `CARD`, what the dataset card says: `pretty_name`, `license` (the Hub's identifier), `description`, `credits`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class SourceFile:
    """A file or a folder that a dataset is made of; `flag` is the option that names another one."""

    name: str
    given: str  # path or URL
    flag: str
    licence: str
    read_date: Callable[[Path], str | None]
    path: Path | None = None  # where it is, if it is a part of this project


@dataclass(frozen=True)
class Sample:
    """One image and its rows. All of it can be pickled: drawing happens in other processes."""

    name: str  # the image's file name without .png
    split_key: str  # decides between train and test: what has the same key lands in the same split
    rows: list[dict]  # of metadata.jsonl, without file_name; more than one where captions have a row each
    draw: Callable[[], "Image"]  # mode L, black on white; raises ValueError where the drawing cannot be used
    origin: dict[str, str]  # where the image comes from, written into the PNG


@dataclass(frozen=True)
class Dropped:
    """An entry that was left out, and why: a row of dropped.jsonl."""

    name: str
    reason: str
