"""KANJIDIC2: characters with their English meanings.

Format: https://www.edrdg.org/wiki/index.php/KANJIDIC_Project, and the DTD inside the file.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dataset_builder import DataError
from dataset_builder.sources import Dropped
from dataset_builder.xmlfile import elements


@dataclass(frozen=True)
class Entry:
    """One character; `radical` is the classical radical as a character, `grade` 1 to 10 or 0 (not taught)."""

    character: str
    meanings: tuple[str, ...]
    stroke_count: int
    radical: str
    grade: int


def read(path: Path) -> Iterator[Entry | Dropped]:
    """Every character with an English meaning, in the file's order; what cannot be used comes as Dropped.

    Raises DataError where the file cannot be read to its end or is not KANJIDIC2.
    """
    seen = set()
    for node in elements(path, "character"):
        character = node.findtext("literal") or ""
        if len(character) != 1:
            yield Dropped(repr(character), "KANJIDIC2 entry whose literal is not one character")
            continue
        name = f"{ord(character):05x}"
        if character in seen:
            yield Dropped(name, "twice in KANJIDIC2: the first entry counts")
            continue
        seen.add(character)
        try:
            # A meaning without m_lang is English. The first stroke count is the accepted one, others are miscounts.
            entry = Entry(
                character=character,
                meanings=clean([m.text or "" for m in node.iter("meaning") if m.get("m_lang") is None]),
                stroke_count=int(node.findtext("misc/stroke_count")),
                radical=radical(int(node.findtext("radical/rad_value[@rad_type='classical']"))),
                grade=int(node.findtext("misc/grade") or 0),
            )
        except (TypeError, ValueError):
            yield Dropped(name, "KANJIDIC2 entry without a valid stroke count, classical radical or grade")
            continue
        yield entry if entry.meanings else Dropped(name, "no English meaning in KANJIDIC2")
    if not seen:
        raise DataError(f"{path}: no <character> in it: is this KANJIDIC2?")


def date(path: Path) -> str | None:
    """The day on which the file was made, as YYYY-MM-DD, or None where it does not say."""
    node = next(elements(path, "date_of_creation"), None)
    return None if node is None else node.text


def radical(number: int) -> str:
    """The classical radical of that number (1 to 214) as an ordinary character: 86 -> 火. Raises ValueError."""
    if not 1 <= number <= 214:
        raise ValueError(f"no radical {number}")
    return unicodedata.normalize("NFKC", chr(0x2EFF + number))


def clean(glosses: list[str]) -> tuple[str, ...]:
    """Glosses that say what a character means, in order, each once.

    Remarks on its origin go, "(kokuji)" and "(phantom kanji)"; the name of a radical loses its number, "heart radical
    (no. 61)" -> "heart"; a bare number becomes the radical's name, "radical number 9" -> "man". A remark or a number
    counts only where nothing else is left: 彁 means "phantom kanji" and no more.
    """
    glosses = [" ".join(gloss.replace("(kokuji)", "").split()) for gloss in glosses]
    cleaned = [re.sub(r"( variant)? radical\b(?=.*\(no?\. ?\d+)( variant)?", "", gloss) for gloss in glosses]
    cleaned = [re.sub(r"( - 2 stroke form)? *\(no?\. ?\d+\)?$", "", gloss) for gloss in cleaned]
    plain = [g for g in cleaned if g and not re.fullmatch(r"\(.*\)|.*radical (number )?\d+", g)]
    if not plain:
        plain = [re.sub(r".*radical (number )?(\d+)", radical_name, gloss).strip("()") for gloss in cleaned if gloss]
    return tuple(dict.fromkeys(plain))


def radical_name(match: re.Match) -> str:
    """The English name that Unicode gives the radical whose number is the match's second group: 9 -> "man"."""
    radical(int(match[2]))  # raises where there is no such radical
    return unicodedata.name(chr(0x2EFF + int(match[2]))).removeprefix("KANGXI RADICAL ").lower()
