"""KanjiVG: characters as strokes, and their drawing.

Format: https://kanjivg.tagaini.net/svg-format.html. A character is a list of SVG paths, the middle lines of the strokes
in writing order, on a canvas of 109 x 109 units with y downwards, made for a round pen 3 units wide.
"""

import io
import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lxml import etree

from dataset_builder import DataError
from dataset_builder.sources import Dropped
from dataset_builder.xmlfile import SAFE, elements, refuse_entities

if TYPE_CHECKING:
    from PIL.Image import Image

CANVAS = 109
PEN = 3.0
KVG = "{http://kanjivg.tagaini.net}"
# Numbers that each SVG path command takes.
ARGUMENTS = {"M": 2, "L": 2, "H": 1, "V": 1, "C": 6, "S": 4, "Q": 4, "T": 2, "A": 7, "Z": 0}
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"


@dataclass(frozen=True)
class Drawing:
    """One character's strokes; `variant` is None for the plain form.

    `components` are the parts at every level, each once, in writing order (森: 木 林); 一 is its own.
    """

    character: str
    variant: str | None
    strokes: tuple[str, ...]
    components: tuple[str, ...]

    @property
    def name(self) -> str:
        """KanjiVG's own file name without the ending: 04e00, or 05b57-Kaisho for a variant."""
        return f"{ord(self.character):05x}" + (f"-{self.variant}" if self.variant else "")


def read(path: Path) -> Iterator[Drawing | Dropped]:
    """Every character of a release (.xml, .xml.gz, .zip) or of a folder of SVGs; what cannot be used comes as Dropped.

    A broken SVG among others is dropped; raises DataError where the whole cannot be read to its end or holds nothing.
    """
    seen = set()
    for name, node in characters(path):
        if isinstance(node, Dropped):
            yield node
            continue
        # The code point is in the name and nowhere else: kvg:element stands on every component too.
        match = re.fullmatch(r"([0-9a-f]{5,6})(?:-(\w+))?", name)
        if not match or not is_character(int(match[1], 16)):
            yield Dropped(name, "KanjiVG name that is not a code point in hexadecimal")
            continue
        if name in seen:
            yield Dropped(name, "twice in KanjiVG: the first drawing counts")
            continue
        seen.add(name)
        character = chr(int(match[1], 16))
        strokes = tuple(p.get("d", "") for p in node.iter("path", "{http://www.w3.org/2000/svg}path"))
        broken = next((number for number, d in enumerate(strokes, 1) if not is_stroke(d)), None)
        if not strokes:
            yield Dropped(name, "KanjiVG drawing without strokes")
        elif broken:
            yield Dropped(name, f"KanjiVG drawing whose stroke {broken} is not a path that starts on the canvas")
        else:
            parts = dict.fromkeys(g.get(f"{KVG}element") for g in node.iter() if g.get(f"{KVG}element"))
            components = tuple(part for part in parts if part != character) or (character,)
            yield Drawing(character, match[2], strokes, components)
    if not seen:
        raise DataError(f"{path}: no characters in it: is this KanjiVG?")


def is_character(code: int) -> bool:
    """Whether a number is the code point of a character: within Unicode, and no surrogate."""
    return code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF


def characters(path: Path) -> Iterator[tuple[str, etree._Element | Dropped]]:
    """Pairs of a character's KanjiVG name and its element: of a folder, a zip of SVGs, or a single XML."""
    if path.is_dir():
        for file in sorted(path.rglob("*.svg")):
            yield file.stem, parse_svg(file.stem, file.read_bytes())
    elif svgs := svgs_in_zip(path):
        with zipfile.ZipFile(path) as archive:
            for member in svgs:
                stem = Path(member).stem
                try:
                    yield stem, parse_svg(stem, archive.read(member))
                except (zipfile.BadZipFile, zlib.error) as error:
                    raise DataError(f"{path}: a broken zip ({error})") from None
    else:
        for node in elements(path, "kanji"):
            yield node.get("id", "").removeprefix("kvg:kanji_"), node


def svgs_in_zip(path: Path) -> list[str]:
    """Sorted names of the SVGs in a zip; none where it is not a zip."""
    if not zipfile.is_zipfile(path):
        return []
    with zipfile.ZipFile(path) as archive:
        return sorted(name for name in archive.namelist() if name.endswith(".svg"))


def parse_svg(name: str, content: bytes) -> etree._Element | Dropped:
    """The root of one character's SVG, or why it is dropped."""
    try:
        root = etree.fromstring(content, etree.XMLParser(**SAFE))
        refuse_entities(root)
        return root
    except (etree.XMLSyntaxError, ValueError) as error:
        return Dropped(name, f"KanjiVG file that cannot be read: {error}")


def date(path: Path) -> str | None:
    """The day on which a release was made, as YYYY-MM-DD: the XML says it, a zip's newest file shows it, else None."""
    if path.is_dir():
        return None
    if svgs_in_zip(path):
        with zipfile.ZipFile(path) as archive:
            return "{:04}-{:02}-{:02}".format(*max(info.date_time for info in archive.infolist()))
    node = next(elements(path, "kanjivg", "kanji"), None)
    comments = [] if node is None else node.getroottree().xpath("/comment()")
    said = re.search(r"\d{4}-\d\d-\d\d", " ".join(comment.text for comment in comments))
    return said[0] if said else None


def is_stroke(d: str) -> bool:
    """Whether `d` is a whole SVG path that starts on the canvas: a renderer stops at an error without a word."""
    commands: list[tuple[str, list[float]]] = []
    try:
        for token in re.findall(rf"{NUMBER}|[^\s,]", d):
            if token.upper() in ARGUMENTS:
                commands.append((token.upper(), []))
            else:
                commands[-1][1].append(float(token))
    except (IndexError, ValueError):
        return False
    for command, numbers in commands:
        wanted = ARGUMENTS[command]
        if not all(map(math.isfinite, numbers)) or (len(numbers) % wanted or not numbers if wanted else numbers):
            return False
    if not d.isascii() or not commands or commands[0][0] != "M":
        return False
    x, y = commands[0][1][:2]
    return 0 <= x <= CANVAS and 0 <= y <= CANVAS


def svg(strokes: tuple[str, ...], pixels: int, pad: float, stroke_width: float) -> str:
    """The strokes as an SVG of `pixels` x `pixels`, `pad` units of white around the canvas."""
    side = CANVAS + 2 * pad
    paths = "".join(f'<path d="{stroke}"/>' for stroke in strokes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{pixels}" height="{pixels}" '
        f'viewBox="{-pad} {-pad} {side} {side}"><g fill="none" stroke="#000" stroke-width="{stroke_width}" '
        f'stroke-linecap="round" stroke-linejoin="round">{paths}</g></svg>'
    )


def draw(strokes: tuple[str, ...], resolution: int, stroke_width: float = PEN, margin: float = 0) -> "Image":
    """The character in black on white, mode L, `resolution` pixels square; raises ValueError where ink is cut off.

    `stroke_width` and `margin` are in units of the 109-unit canvas. A pen wider than KanjiVG's own widens the frame by
    what it puts outside its strokes, so that a thick pen cuts nothing off.
    """
    import resvg_py
    from PIL import Image

    pad = margin + max(0, stroke_width - PEN) / 2
    # resvg is exact for lines of two pixels and more: thinner ones are drawn larger, then averaged.
    zoom = math.ceil(2 * (CANVAS + 2 * pad) / (stroke_width * resolution))
    # One pixel more all round is drawn, looked at and cut away: ink there has left the frame, unless it is as faint as
    # the step of resvg's anti-aliasing, a quarter of a pixel.
    pad += (CANVAS + 2 * pad) / resolution
    picture = svg(strokes, (resolution + 2) * zoom, pad, stroke_width)
    png = resvg_py.svg_to_bytes(svg_string=picture, background="#fff", skip_system_fonts=True)
    image = Image.open(io.BytesIO(png)).convert("L").reduce(zoom)
    inside = (1, 1, resolution + 1, resolution + 1)
    framed = image.copy()
    framed.paste(255, inside)
    if framed.getextrema()[0] < 0.7 * 255:
        raise ValueError("strokes run out of the frame")
    return image.crop(inside)
