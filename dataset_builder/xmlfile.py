"""XML that strangers wrote, read as a stream: no entity is expanded, no file or address in it is opened."""

import contextlib
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from lxml import etree

from dataset_builder import DataError

SAFE = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}


@contextlib.contextmanager
def open_xml(path: Path):
    """The bytes of an XML file as a stream: plain, gzipped, or the only .xml of a zip, told by content, not by name."""
    if path.is_dir():
        raise DataError(f"{path}: a folder, where one XML file is wanted")
    with open(path, "rb") as file:
        magic = file.read(4)
        file.seek(0)
        if magic[:2] == b"\x1f\x8b":
            with gzip.open(file) as stream:
                yield stream
        elif magic == b"PK\x03\x04":
            with zipfile.ZipFile(file) as archive:
                names = [name for name in archive.namelist() if name.endswith(".xml")]
                if len(names) != 1:
                    raise DataError(f"{path}: the zip holds {len(names)} .xml files, not one")
                with archive.open(names[0]) as stream:
                    yield stream
        else:
            yield file


def refuse_entities(element: etree._Element) -> None:
    """Raise ValueError where the document declares entities: the real files have none, a bomb or a spy does."""
    dtd = element.getroottree().docinfo.internalDTD
    if dtd is not None and next(dtd.iterentities(), None) is not None:
        raise ValueError("declares XML entities, which the real files never do: refused")


def elements(path: Path, *tags: str) -> Iterator[etree._Element]:
    """Each element with one of `tags`, in order; it is emptied when the next one is asked for.

    Raises DataError, naming the file, where it is not XML, is cut short, or declares entities.
    """
    try:
        with open_xml(path) as stream:
            for event, element in etree.iterparse(stream, events=("start", "end"), tag=tags, **SAFE):
                if event == "start":
                    refuse_entities(element)
                    continue
                yield element
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        raise DataError(f"{path}: malformed XML, line {error.lineno}: {error.msg}") from None
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: a broken or truncated archive ({error})") from None
