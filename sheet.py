"""Images side by side: a labelled contact sheet as one picture, and a page for a browser."""

import html
import math
import re
from functools import lru_cache
from string import Template
from urllib.parse import quote

from PIL import Image, ImageDraw, ImageFont, ImageOps

FONT_SIZE = 15  # pixels
GAP = 12  # pixels of paper between blocks, and around all
ACROSS = 8  # images of a group in a row

# Pillow's own font has ASCII only and a bare machine has no other. Where there is one with more, Pillow finds it by
# its file name in the system's font folders: DejaVu for Latin, Greek and Cyrillic, the others for CJK (Noto, IPA,
# Takao, Droid and WenQuanYi on Linux, Hiragino and PingFang on macOS, MS and Yu Gothic on Windows).
SYSTEM_FONTS = (
    *("DejaVuSans.ttf", "NotoSansCJK-Regular.ttc", "NotoSansCJKjp-Regular.otf", "NotoSansJP-Regular.ttf", "ipag.ttf"),
    *("ipaexg.ttf", "TakaoGothic.ttf", "DroidSansFallbackFull.ttf", "DroidSansFallback.ttf", "wqy-zenhei.ttc"),
    *("ヒラギノ角ゴシック W3.ttc", "PingFang.ttc", "Arial Unicode.ttf", "YuGothM.ttc", "msgothic.ttc", "msyh.ttc"),
)


@lru_cache(maxsize=1)
def _fonts():
    fonts = [ImageFont.load_default(FONT_SIZE)]
    for name in SYSTEM_FONTS:
        try:
            fonts.append(ImageFont.truetype(name, FONT_SIZE))
        except OSError:  # not on this machine
            continue
    return fonts


def _missing(font, text):
    """The characters of `text` that `font` would draw as its box for "no such glyph"."""

    def drawn(char):
        mask = font.getmask(char)
        return mask.size, bytes(mask)

    box = drawn("\U0010ffff")  # no font has a glyph for a code point that Unicode keeps free for ever
    return {char for char in set(text) if not char.isspace() and drawn(char) == box}


def _font_for(text):
    """The font that lacks the fewest characters of `text`, and the text with those written as code points.

    A code ("U+96E8") can be looked up; an empty box could be anything.
    """
    font, missing = _fonts()[0], _missing(_fonts()[0], text)
    for other in _fonts()[1:] if missing else ():
        lacks = _missing(other, text)
        if len(lacks) < len(missing):
            font, missing = other, lacks
    return font, "".join(f" U+{ord(char):04X} " if char in missing else char for char in text)


def _wrap(text, font, width):
    """`text` in lines of at most `width` pixels; a word that is wider by itself is broken."""
    lines = [""]
    for word in text.split():
        if font.getlength(f"{lines[-1]} {word}".strip()) <= width:
            lines[-1] = f"{lines[-1]} {word}".strip()
            continue
        while font.getlength(word) > width:
            fits = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or font.getlength(word[:n]) <= width)
            lines.append(word[:fits])
            word = word[fits:]
        lines.append(word)
    return [line for line in lines if line]


def on_paper(image, mode="RGB"):
    """`image` of any mode as `mode` ("RGB" or "L"), white where it is transparent: `convert` alone makes that black."""
    if image.has_transparency_data:
        paper = Image.new("RGBA", image.size, "white")
        paper.alpha_composite(image.convert("RGBA"))
        image = paper
    if image.mode.startswith("I;16"):  # `convert` alone makes white of all but the blackest
        image = image.point(lambda value: value / 257)
    return image.convert(mode)


def contact_sheet(groups, title="", cell=None, columns=None):
    """A picture of blocks side by side, each with the images of one group and the group's label below them.

    groups: a list of (label, images). A label is any text: long ones are wrapped and nothing is cut off. Images are
        PIL images of any size and 8-bit mode, up to ACROSS in a row; a group of one is a labelled image.
    title: a line above all, also wrapped.
    cell: side in pixels of the square that each image is fitted into, its shape kept. By default the longest side
        among the images, between 128 and 256: characters of 32 px can be read, photographs do not fill a wall.
    columns: blocks side by side. By default as many as make the sheet about 4:3.

    Returns an RGB PIL image. Raises ValueError when there is no image.
    """
    groups = [(str(label), [on_paper(image) for image in images]) for label, images in groups]
    most = max((len(images) for _, images in groups), default=0)
    if not most:
        raise ValueError("a contact sheet needs at least one image")
    cell = cell or max(128, min(256, max(side for _, images in groups for image in images for side in image.size)))
    across, down = min(most, ACROSS), math.ceil(most / ACROSS)
    block = across * (cell + 1) + 1, down * (cell + 1) + 1  # a line of one pixel around and between the images
    columns = columns or round(math.sqrt(len(groups) * (block[1] + 3 * FONT_SIZE) / block[0] * 4 / 3))
    columns = max(1, min(columns, len(groups)))
    width = columns * (block[0] + GAP) + GAP

    head, labels = _lay_out(title, width - 2 * GAP), [_lay_out(label, block[0]) for label, _ in groups]
    tops, top = [], GAP + _height(head) + (GAP if title else 0)
    for start in range(0, len(groups), columns):
        tops.append(top)
        top += block[1] + GAP // 3 + max(map(_height, labels[start : start + columns])) + GAP

    sheet = Image.new("RGB", (width, top), "white")
    draw = ImageDraw.Draw(sheet)
    _write(draw, head, GAP, GAP)
    for index, ((_, images), label) in enumerate(zip(groups, labels, strict=True)):
        left, top = GAP + index % columns * (block[0] + GAP), tops[index // columns]
        for number, image in enumerate(images):
            x, y = left + number % across * (cell + 1), top + number // across * (cell + 1)
            draw.rectangle((x, y, x + cell + 1, y + cell + 1), outline="#cccccc")
            sheet.paste(ImageOps.pad(image, (cell, cell), Image.Resampling.LANCZOS, color="white"), (x + 1, y + 1))
        _write(draw, label, left, top + block[1] + GAP // 3)
    return sheet


def _lay_out(text, width):
    font, text = _font_for(text)
    return font, _wrap(text, font, width)


def _height(laid_out):
    font, lines = laid_out
    return len(lines) * sum(font.getmetrics())


def _write(draw, laid_out, left, top):
    font, lines = laid_out
    for number, line in enumerate(lines):
        draw.text((left, top + number * sum(font.getmetrics())), line, font=font, fill="#222222")


PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif; }
  body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; font-size: .85rem; }
  dt, small { opacity: .65; }
  dd { margin: 0; }
  dd, figcaption { overflow-wrap: anywhere; }
  figcaption { padding-top: .3rem; }
  main { display: flex; flex-wrap: wrap; gap: 2rem 1.5rem; margin-top: 2rem; }
  figure { margin: 0; max-width: 100%; width: min-content; min-width: 9rem; }
  figure div { display: grid; grid-template-columns: repeat($columns, 8rem); gap: 1px; }
  @media (max-width: 36rem) { figure div { grid-template-columns: repeat(2, 8rem); } }
  img { background: #fff; display: block; height: 8rem; object-fit: contain; width: 8rem; }
  img { outline: 1px solid #8886; }
  small { display: block; }
</style>
<h1>$title</h1>
<dl>
$settings
</dl>
<main>
$figures
</main>
</html>
""")


def web_page(title, settings, groups):
    """A page that opens from the disk: nothing on it is fetched from elsewhere.

    settings: a dict shown as a table, empty values left out.
    groups: a list of (label, note, images): two texts, the second shown where it differs, and a list of
        (path, tooltip), the path relative to the page and with forward slashes.

    Returns the HTML, in which every text is escaped; write it as UTF-8.
    """
    figures = []
    for label, note, images in groups:
        links = "".join(
            f'<a href="{quote(path)}"><img loading="lazy" src="{quote(path)}"'
            f' alt="{html.escape(label)}" title="{html.escape(tip)}"></a>'
            for path, tip in images
        )
        note = f"<small>{html.escape(note)}</small>" if note != label else ""
        figures.append(f"<figure><div>{links}</div><figcaption>{html.escape(label)}{note}</figcaption></figure>")
    return PAGE.substitute(
        title=html.escape(title),
        columns=max(1, min(4, max((len(images) for *_, images in groups), default=1))),
        settings="\n".join(
            f"<dt>{html.escape(re.sub('_', ' ', key))}</dt><dd>{html.escape(str(value))}</dd>"
            for key, value in settings.items()
            if value not in (None, "")
        ),
        figures="\n".join(figures),
    )
