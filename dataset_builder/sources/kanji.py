"""Kanji with their English meanings: KANJIDIC2's meanings on KanjiVG's drawings, about 6,400 characters.

Both are downloaded once (5 MB in all) and kept in ${XDG_CACHE_HOME:-~/.cache}/kanji-diffusion; --kanjidic2 and
--kanjivg name local copies or mirrors instead.
"""

import functools
import unicodedata
from collections.abc import Iterator
from pathlib import Path

from dataset_builder import DataError, captions, kanjidic, kanjivg
from dataset_builder.arguments import number, whole
from dataset_builder.sources import Dropped, Sample, SourceFile

KANJIDIC2_URL = "https://www.edrdg.org/kanjidic/kanjidic2.xml.gz"
KANJIVG_URL = "https://github.com/KanjiVG/kanjivg/releases/download/r20250816/kanjivg-20250816.xml.gz"
KANJIVG_WITH_VARIANTS_URL = KANJIVG_URL.replace(".xml.gz", "-all.zip")

CARD = {
    "pretty_name": "Kanji and their English meanings",
    "license": "cc-by-sa-4.0",
    "description": "Kanji drawn in black on white, each with its English meanings as the caption.",
    "credits": """\
- The meanings, stroke counts, radicals and grades are from
  [KANJIDIC2](https://www.edrdg.org/wiki/index.php/KANJIDIC_Project), the property of the
  [Electronic Dictionary Research and Development Group](https://www.edrdg.org/), used in conformance with the Group's
  [licence](https://www.edrdg.org/edrdg/licence.html)
  ([CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/)); changed: only the English meanings were taken,
  remarks such as "(kokuji)" and the numbers of radicals left out, the rest joined by commas into captions.
- The drawings and components are from [KanjiVG](https://kanjivg.tagaini.net), copyright (C) 2009-2026 Ulrich Apel and
  contributors, [CC BY-SA 3.0](https://creativecommons.org/licenses/by-sa/3.0/); changed: the strokes were drawn as
  images, their numbers left out.

The dataset, which is built upon both, is under
[CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/), as the first asks and the second allows.""",
}
ORIGIN = {
    "Source": "KanjiVG, https://kanjivg.tagaini.net",
    "Copyright": "(C) Ulrich Apel and contributors",
    "License": "CC BY-SA 3.0, https://creativecommons.org/licenses/by-sa/3.0/",
}


def add_arguments(parser) -> None:
    """The options of this source."""
    files = parser.add_argument_group("where the data is from")
    files.add_argument(
        "--kanjidic2",
        metavar="PATH_OR_URL",
        default=KANJIDIC2_URL,
        help=".xml, .xml.gz or a .zip of one (default: %(default)s, which its makers rebuild daily)",
    )
    files.add_argument(
        "--kanjivg",
        metavar="PATH_OR_URL",
        help=".xml, .xml.gz, a .zip of SVGs or a folder of SVGs (default: "
        f"{KANJIVG_URL}, or its -all.zip with --include_variants)",
    )
    files.add_argument("--refresh", action="store_true", help="download again what is kept from an earlier download")
    which = parser.add_argument_group("which characters")
    which.add_argument(
        "--include_variants",
        action="store_true",
        help="other forms of a character too, where --kanjivg has them: same captions, same split, files like "
        "05b57-Kaisho.png",
    )
    which.add_argument(
        "--include_kana",
        action="store_true",
        help='hiragana and katakana too, captioned by their Unicode names ("hiragana letter a")',
    )
    add_character_arguments(parser)


def add_character_arguments(parser) -> None:
    """Options of everything that is drawn from strokes and captioned by meanings."""
    drawing = parser.add_argument_group("how they are drawn")
    drawing.add_argument(
        "--stroke_width",
        type=number(0.5, 30),
        default=kanjivg.PEN,
        metavar="UNITS",
        help="width of the pen, of the canvas's 109 units; the canvas widens with it, so that nothing is cut off "
        "(KanjiVG's own is 3; default: %(default)s)",
    )
    drawing.add_argument(
        "--margin",
        type=number(0, 109),
        default=0.0,
        metavar="UNITS",
        help="white added on each side of the 109-unit canvas, which has some already (default: %(default)s)",
    )
    words = parser.add_argument_group("what the captions say")
    words.add_argument(
        "--caption_style",
        choices=("simple", "descriptive", "template"),
        default="simple",
        help='simple: "fire, flame"; descriptive: "a kanji meaning fire, flame, written with 4 strokes"; '
        "template: as --caption_template says (default: %(default)s)",
    )
    words.add_argument(
        "--caption_template",
        metavar="TEXT",
        help="with --caption_style template: a text with {meanings} and, if wanted, {stroke_count}, {radical} (火), "
        "{components} (氵 木) and {grade}; a character without what it asks for is left out. When a new word is drawn, "
        "clauses (comma to comma) that ask for more than {meanings} are left out",
    )
    words.add_argument(
        "--max_meanings", type=whole(1), metavar="N", help="the first N meanings of each character only (default: all)"
    )
    words.add_argument(
        "--one_row_per_meaning",
        action="store_true",
        help="a row for each meaning instead of one with all of them (the rows share the image)",
    )


def check(args) -> None:
    """Raise DataError where options do not go together."""
    if (args.caption_style == "template") != (args.caption_template is not None):
        raise DataError("--caption_template TEXT goes with --caption_style template, and that with it")
    if args.caption_template is not None:
        captions.check_template(args.caption_template)


def files(args) -> list[SourceFile]:
    """The two files that the dataset is made of."""
    default = KANJIVG_WITH_VARIANTS_URL if args.include_variants else KANJIVG_URL
    return [
        SourceFile("KANJIDIC2", args.kanjidic2, "--kanjidic2", "CC BY-SA 4.0", kanjidic.date),
        SourceFile(
            "KanjiVG", default if args.kanjivg is None else args.kanjivg, "--kanjivg", "CC BY-SA 3.0", kanjivg.date
        ),
    ]


def caption_template(args) -> str:
    """The template into which a new word goes as {meanings}."""
    return captions.for_new_words(args.caption_template or captions.TEMPLATES[args.caption_style])


def samples(args, kanjidic2: Path, kanjivg_file: Path, origin: dict[str, str] = ORIGIN) -> Iterator[Sample | Dropped]:
    """One sample for each drawing whose character has an English meaning; everything else as Dropped, once."""
    known, left_out = {}, set()
    for entry in kanjidic.read(kanjidic2):
        if isinstance(entry, Dropped):
            left_out.add(entry.name)
            yield entry
        else:
            known[f"{ord(entry.character):05x}"] = entry
    drawn = set()
    for drawing in kanjivg.read(kanjivg_file):
        drawn.add(drawing.name)
        if isinstance(drawing, Dropped):
            yield drawing
            continue
        plain_name = f"{ord(drawing.character):05x}"
        entry = known.get(plain_name) or kana(drawing)
        if drawing.variant and not args.include_variants:
            yield Dropped(drawing.name, "a variant (--include_variants takes it in)")
        elif entry is None:
            if plain_name not in left_out:
                yield Dropped(drawing.name, "not in KANJIDIC2")
        elif plain_name not in known and not args.include_kana:
            yield Dropped(drawing.name, "kana (--include_kana takes it in)")
        else:
            drawn.add(plain_name)
            yield sample(args, entry, drawing, origin)
    for name in known:
        if name not in drawn:
            yield Dropped(name, "no drawing in KanjiVG")


def kana(drawing: kanjivg.Drawing) -> kanjidic.Entry | None:
    """What stands for a dictionary entry where the character is a kana letter, else None."""
    name = unicodedata.name(drawing.character, "").lower()
    if not name.startswith(("hiragana letter", "katakana letter")):
        return None
    return kanjidic.Entry(drawing.character, (name,), len(drawing.strokes), radical="", grade=0)


def sample(args, entry: kanjidic.Entry, drawing: kanjivg.Drawing, origin: dict[str, str]) -> Sample | Dropped:
    """One drawing with its captions."""
    template = args.caption_template or captions.TEMPLATES[args.caption_style]
    if not entry.radical and args.caption_style == "descriptive":
        template = captions.KANA_TEMPLATE
    meanings = list(entry.meanings[: args.max_meanings])
    row = {
        "character": entry.character,
        "codepoint": f"U+{ord(entry.character):04X}",
        "meanings": meanings,
        "components": list(drawing.components),
        "radical": entry.radical,
        "stroke_count": entry.stroke_count,
        "grade": entry.grade,
    }
    try:
        rows = []
        for some in [[m] for m in meanings] if args.one_row_per_meaning else [meanings]:
            texts = captions.write(template, some, row)
            rows.append({"text": texts[0], "captions": texts, **row})
    except ValueError as error:
        return Dropped(drawing.name, str(error))
    return Sample(
        name=drawing.name,
        # A compatibility ideograph looks like the character that it is equivalent to: both land in the same split.
        split_key=f"{ord(unicodedata.normalize('NFC', entry.character)):05x}",
        rows=rows,
        draw=functools.partial(kanjivg.draw, drawing.strokes, args.resolution, args.stroke_width, args.margin),
        origin={"Title": f"{entry.character} U+{ord(entry.character):04X}", **origin},
    )
