"""Files and folders that are there whole or not at all: made beside their place, swapped in when they are done."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from dataset_builder import DataError


def old_folder(output: Path) -> Path:
    """Where the folder that is being replaced is for the moment of the swap."""
    return output.parent / f".{output.name}.old"


def put_right(output: Path) -> bool:
    """Whether there is anything at `output`, once what a swap that was killed has left is put back or cleared away."""
    if old_folder(output).exists():
        if output.exists():
            shutil.rmtree(old_folder(output), ignore_errors=True)
        else:
            os.rename(old_folder(output), output)
    return output.exists() and not (output.is_dir() and not any(output.iterdir()))


@contextlib.contextmanager
def partial_folder(output: Path) -> Iterator[Path]:
    """The working folder beside `output`, locked, with what an unfinished build has left in it; DataError if taken."""
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
        yield partial
    finally:
        os.close(lock)


def empty(folder: Path) -> None:
    """Delete everything in a folder."""
    for entry in folder.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def swap_in(partial: Path, output: Path) -> None:
    """Put the whole folder in its place; the one before it goes only then."""
    aside = old_folder(output)
    shutil.rmtree(aside, ignore_errors=True)
    if output.exists():
        os.rename(output, aside)
    os.rename(partial, output)
    shutil.rmtree(aside, ignore_errors=True)


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
