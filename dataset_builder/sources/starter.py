"""The 80 kanji of the first school year, drawn for this project (CC0): no download, minutes of training.

The two files in dataset_builder/starter/ have the formats of KANJIDIC2 and KanjiVG and go through the same parsers.
"""

from collections.abc import Iterator
from pathlib import Path

from dataset_builder import kanjidic, kanjivg
from dataset_builder.sources import Dropped, Sample, SourceFile, kanji

FOLDER = Path(__file__).resolve().parent.parent / "starter"
CARD = {
    "pretty_name": "Starter: 80 kanji and their English meanings",
    "license": "cc0-1.0",
    "description": "The 80 kanji that Japanese children learn in their first school year, drawn in black on white for\n"
    "this project, each with its English meanings as the caption.",
    "credits": """\
Drawings and meanings were made for this project and are in the public domain
([CC0](https://creativecommons.org/publicdomain/zero/1.0/)). The files have the formats of
[KANJIDIC2](https://www.edrdg.org/wiki/index.php/KANJIDIC_Project) and [KanjiVG](https://kanjivg.tagaini.net); none of
their data is in them.""",
}
ORIGIN = {
    "Source": "Kanji Diffusion, dataset_builder/starter",
    "License": "CC0 1.0, https://creativecommons.org/publicdomain/zero/1.0/",
}

check = kanji.check
caption_template = kanji.caption_template


def add_arguments(parser) -> None:
    """The options of drawing and captions; nobody is held out, 80 characters are too few for that."""
    kanji.add_character_arguments(parser)
    # a pen of 4 units, for the quickstart: of 3 it would be thinner than a pixel at 32 x 32, and grey
    parser.set_defaults(test_fraction=0.0, stroke_width=4.0, include_variants=False, include_kana=False)


def files(args) -> list[SourceFile]:
    """The two files of this project."""
    return [
        SourceFile(f"starter {what}", f"dataset_builder/starter/{name}", "", "CC0 1.0", read_date, FOLDER / name)
        for what, name, read_date in (
            ("meanings", "kanjidic2.xml", kanjidic.date),
            ("drawings", "kanjivg.xml", kanjivg.date),
        )
    ]


def samples(args, kanjidic2: Path, kanjivg_file: Path) -> Iterator[Sample | Dropped]:
    """The characters, by the source of the real ones."""
    return kanji.samples(args, kanjidic2, kanjivg_file, ORIGIN)
