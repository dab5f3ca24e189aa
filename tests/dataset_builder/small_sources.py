"""Small source files in the formats of the real ones, and what the builder wrote, read again."""

import json
from pathlib import Path

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


def rows(path: Path) -> list[dict]:
    """The rows of a .jsonl."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too, with its bytes."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def assert_same_rows(imagefolder: Path, opened: dict) -> int:
    """`opened`, of load_dataset, has the splits, columns, types, rows, PNG bytes and pixels of an imagefolder.

    Returns the number of rows.
    """
    from datasets import Image, load_dataset

    wanted = load_dataset("imagefolder", data_dir=str(imagefolder), cache_dir=str(imagefolder.parent / "cache"))
    assert list(opened) == list(wanted)
    for split in wanted:
        assert opened[split].features == wanted[split].features
        assert opened[split].column_names == wanted[split].column_names
        files = opened[split].cast_column("image", Image(decode=False))["image"]
        for row, wanted_row, file in zip(opened[split], wanted[split], files, strict=True):
            image, wanted_image = row.pop("image"), wanted_row.pop("image")
            path = Path(wanted_image.filename)
            assert row == wanted_row
            assert file == {"bytes": path.read_bytes(), "path": path.name}
            assert image.mode == wanted_image.mode and image.tobytes() == wanted_image.tobytes()
    return sum(opened.num_rows.values())
