"""Small source files in the formats of the real ones, and the builder as a user runs it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dataset_builder.__main__ import main

# Three strokes: one that only goes right and down, so that a mirrored or turned picture is another one.
STROKES = ("M20,20c10,0 30,2 50,2", "M22,24C22,40 22,60 24,90", "M30,80c10,2 20,3 30,3")


def kanjidic2(entries: str, dtd: str = "") -> str:
    """A KANJIDIC2 file of these entries."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<!DOCTYPE kanjidic2 [<!ELEMENT kanjidic2 (header, character*)>{dtd}]>\n"
        f"<kanjidic2><header><date_of_creation>2026-05-01</date_of_creation></header>{entries}</kanjidic2>\n"
    )


def entry(character: str, *meanings: str, strokes: str = "3", radical: str = "86", extra: str = "") -> str:
    """One character of KANJIDIC2, with a French meaning besides."""
    glosses = "".join(f"<meaning>{meaning}</meaning>" for meaning in meanings)
    return (
        f"<character><literal>{character}</literal>"
        f"<radical><rad_value rad_type='classical'>{radical}</rad_value></radical>"
        f"<misc>{extra}<stroke_count>{strokes}</stroke_count><stroke_count>99</stroke_count></misc><reading_meaning>"
        f"<rmgroup><reading r_type='ja_on'>カ</reading>{glosses}<meaning m_lang='fr'>feu</meaning></rmgroup>"
        "</reading_meaning></character>"
    )


def groups(name: str, strokes: tuple[str, ...] = STROKES, element: str = "木") -> str:
    """A character's groups as KanjiVG has them; `element` is a component, never the code point."""
    paths = "".join(f'<path id="kvg:{name}-s{n}" d="{d}"/>' for n, d in enumerate(strokes, 1))
    return f'<g id="kvg:{name}" kvg:element="{element}"><g kvg:element="氵">{paths}</g></g>'


def kanjivg_xml(*names: str) -> str:
    """A KanjiVG release's single XML."""
    kanji = "".join(f'<kanji id="kvg:kanji_{name}">\n{groups(name)}</kanji>\n' for name in names)
    head = '<?xml version="1.0" encoding="UTF-8"?>\n<!-- generated on 2026-05-13 -->\n'
    return f"{head}<kanjivg xmlns:kvg='http://kanjivg.tagaini.net'>\n{kanji}</kanjivg>\n"


def kanjivg_svg(name: str, strokes: tuple[str, ...] = STROKES) -> str:
    """A KanjiVG single file: the prefix is declared by its DTD, and numbers are written beside the strokes."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE svg [<!ATTLIST g xmlns:kvg CDATA #FIXED '
        '"http://kanjivg.tagaini.net" kvg:element CDATA #IMPLIED>]>\n'
        '<svg xmlns="http://www.w3.org/2000/svg" width="109" height="109" viewBox="0 0 109 109">\n'
        f'<g id="kvg:StrokePaths_{name}" style="fill:none;stroke:#000000;stroke-width:3">{groups(name, strokes)}</g>\n'
        f'<g id="kvg:StrokeNumbers_{name}"><text transform="matrix(1 0 0 1 60 60)">1</text></g></svg>'
    )


@pytest.fixture
def small(tmp_path):
    """Options that name a small KANJIDIC2 and KanjiVG: 30 characters in both, and what has to be left out."""
    codes = [0x4E00 + 7 * n for n in range(30)]
    entries = "".join(entry(chr(code), f"thing {n}", f"stuff {n}") for n, code in enumerate(codes))
    entries += entry("鬱") + entry("薔", "rose")  # no English, no drawing
    (tmp_path / "kanjidic2.xml").write_text(kanjidic2(entries), "utf-8")
    names = [f"{code:05x}" for code in codes]
    others = ["09b31", "03042", "00041", "04e00-Kaisho"]  # 鬱, hiragana a, Latin A, a variant
    (tmp_path / "kanjivg.xml").write_text(kanjivg_xml("03042", *names, *others[:1], *others[2:]), "utf-8")
    sources = ["--kanjidic2", tmp_path / "kanjidic2.xml", "--kanjivg", tmp_path / "kanjivg.xml"]
    return ["kanji", *sources, "--test_fraction", "0.2", "--resolution", "32"]


@pytest.fixture
def build(tmp_path, monkeypatch, capsys):
    """Runs the builder in this process, its output in tmp_path/out; returns (exit code, what it said on stderr)."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*args, output: Path = tmp_path / "out") -> tuple[int | str | None, str]:
        capsys.readouterr()
        try:
            main([*map(str, args), "--output", str(output)])
        except SystemExit as stop:
            printed = capsys.readouterr().err
            return (1, f"{printed}{stop.code}") if isinstance(stop.code, str) else (stop.code, printed)
        return 0, capsys.readouterr().err

    return run


@pytest.fixture
def start(tmp_path, root):
    """Starts the builder as a process of its own."""
    processes = []

    def run(*args, **options) -> subprocess.Popen:
        command = [sys.executable, "-m", "dataset_builder", *map(str, args)]
        process = subprocess.Popen(
            command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def rows(path: Path) -> list[dict]:
    """The rows of a .jsonl."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, with its bytes."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
