"""Each image is judged as a training script sees it."""

import functools
import struct
import zlib

import pytest
from PIL import Image
from small_pictures import file, ink, noise, write_split

from launch.data_lint import look


@pytest.fixture
def folder(tmp_path):
    """write_split in a folder of the test's own."""
    return functools.partial(write_split, tmp_path / "data")


def on_glass(mode, alpha=0, under=0):
    """A black cross on paper that is as opaque as `alpha`, `under` the cross's own colour where it is glass."""
    image = ink("L", paper=under).convert(mode)
    image.putalpha(ink("L", colour=255, paper=alpha))
    return image


def palette(transparent=None, colours=(255, 255, 255, 0, 0, 0, 255, 0, 0)):
    """A black cross on white in a palette, whose third colour is not in use."""
    image = ink("P", colour=1, paper=0)
    image.putpalette(colours)
    if transparent is not None:
        image.info["transparency"] = transparent
    return image


def one_dot():
    image = Image.new("L", (32, 32), 255)
    image.putpixel((31, 31), 0)
    return image


def turned(image, orientation, kind="JPEG", **options):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return file(image, kind, exif=exif, **options)


def promise(width, height):
    """The head of a PNG of that size, and nothing behind it."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IDAT", b""), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def seen_by_the_script(path):
    """The image as `datasets` decodes it and the official scripts convert it."""
    import datasets

    return datasets.Image().decode_example({"path": str(path), "bytes": None}).convert("RGB")


FINE = {
    "grey.png": file(ink()),
    "rgb.png": file(ink("RGB", "black", "white")),
    "two_tones.png": file(ink("1", 0, 1)),
    "palette.png": file(palette()),
    "palette_unused_transparent.png": file(palette(), transparency=2),
    "palette_paper_transparent.png": file(palette(), transparency=0),
    "opaque_rgba.png": file(on_glass("RGB", 255, 255)),
    "opaque_la.png": file(on_glass("L", 255, 255)),
    "white_under_glass.png": file(on_glass("RGB", 0, 255)),
    "almost_white_under_glass.png": file(on_glass("RGB", 0, 252)),
    "transparent_white.png": file(ink("RGB", "black", "white"), transparency=(255, 255, 255)),
    "transparent_colour_unused.png": file(ink("RGB", "black", "white"), transparency=(1, 2, 3)),
    "photo.jpg": file(ink("RGB", "navy", "beige"), "JPEG"),
    "print.jpg": file(ink("CMYK", (0, 0, 0, 255), (0, 0, 0, 0)), "JPEG"),
    "lossy.webp": file(ink("RGB", "black", "white"), "WEBP"),
    "lossless.WEBP": file(ink("RGB", "black", "white"), "WEBP", lossless=True),
    "picture.gif": file(ink(), "GIF"),
    "scan.tiff": file(ink(), "TIFF", compression="tiff_lzw"),
    "old.bmp": file(ink(), "BMP"),
    "sideways.jpg": turned(ink("RGB", "black", "white"), 6),
    "one_dot.png": file(one_dot()),
    "faint.png": file(ink(colour=247)),
}
TRANSPARENT = {  # what is black_ is all black besides
    "black_rgba.png": file(on_glass("RGB")),
    "black_la.png": file(on_glass("L")),
    "black_half.png": file(on_glass("RGB", 128)),
    "grey_under_glass.png": file(on_glass("RGB", 0, 240)),
    "palette_transparent.png": file(palette(colours=(0, 0, 0, 9, 9, 9)), transparency=0),
    "palette_of_alphas.png": file(palette(colours=(0, 0, 0, 9, 9, 9)), transparency=bytes([9, 255])),
    "colour_transparent.png": file(ink("RGB", "white", "black"), transparency=(0, 0, 0)),
    "grey_transparent.png": file(ink("L", 255, 0), transparency=0),
    "glass.gif": file(palette(colours=(0, 0, 0, 9, 9, 9)), "GIF", transparency=0),
    "black_glass.webp": file(on_glass("RGB"), "WEBP", lossless=True, exact=True),
    "black_glass.tiff": file(on_glass("RGB"), "TIFF"),
    "ink_is_glass.png": file(ink("RGB", "black", "white"), transparency=(0, 0, 0)),
}
BLANK = {
    "white.png": file(Image.new("L", (32, 32), 255)),
    "black.png": file(Image.new("RGB", (32, 32), "black")),
    "grey.jpg": file(Image.new("RGB", (32, 32), (120, 120, 120)), "JPEG", quality=30),
    "pink.png": file(Image.new("RGB", (32, 32), "pink")),
    "noisy.png": file(noise(250, 254)),
    "one_pixel.png": file(Image.new("L", (1, 1), 7)),
    "palette.png": file(palette(colours=(9, 9, 9, 9, 9, 9))),
    # 16 bits: convert("RGB") cuts off what is above 255 instead of scaling it.
    "sixteen_bits.png": file(Image.frombytes("I;16", (32, 32), bytes(range(1, 9)) * 256)),
}
UNREADABLE = {
    "cut.png": file(noise(0, 255))[:700],
    "cut.jpg": file(noise(0, 255), "JPEG")[:-300],
    "cut.gif": file(noise(0, 255), "GIF")[:400],
    "cut.webp": file(noise(0, 255), "WEBP")[:200],
    "cut.tiff": file(noise(0, 255), "TIFF")[:200],
    "nothing_behind_the_head.png": promise(32, 32),
    "bomb.png": promise(30_000, 30_000),
    "empty.png": b"",
    "page.png": b"<!doctype html><title>404</title>",
    "drawing.png": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "one_bit_fell.png": file(ink()).replace(b"IDAT", b"IDAU"),
}


@pytest.mark.parametrize(
    ("files", "finding"),
    [(FINE, None), (TRANSPARENT, "transparent"), (BLANK, "blank"), (UNREADABLE, "unreadable")],
    ids=["fine", "transparent", "blank", "unreadable"],
)
def test_each_image_is_judged_as_the_script_sees_it(files, finding, folder):
    facts = look(folder(files), "text", None, None)
    found = {name: getattr(facts, name) for name in ("transparent", "blank", "unreadable")}
    expected = {name: sorted(files) if name == finding else [] for name in found}
    expected["blank"] += [name for name in expected["transparent"] if name.startswith("black")]
    assert found == expected
    assert facts.looked_at == facts.images == len(files)


@pytest.mark.filterwarnings("ignore:Palette images")
def test_unreadable_is_what_ends_the_training(folder):
    train = folder(FINE | TRANSPARENT | BLANK | UNREADABLE)
    broken = set()
    for path in set(train.iterdir()) - {train / "metadata.jsonl"}:
        try:
            seen_by_the_script(path)
        except Exception:
            broken.add(path.name)
    assert broken == set(UNREADABLE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (file(ink(), title="a cross"), file(ink(), title="the same under another name")),
        (file(ink()), file(ink(), compress_level=1)),
        (file(ink()), file(ink("RGB", "black", "white"))),
        (file(ink()), file(ink("1", 0, 1))),
        (file(ink()), file(palette())),
        (file(ink()), file(ink(), "BMP")),
        (file(ink("RGB", "navy", "beige")), file(ink("RGB", "navy", "beige"), "WEBP", lossless=True)),
        (file(noise(0, 255)), turned(noise(0, 255).transpose(Image.Transpose.ROTATE_90), 6, "PNG")),
        (file(ink("RGB", "navy", "beige"), "JPEG"), file(ink("RGB", "navy", "beige"), "JPEG")),
    ],
    ids=["title", "compression", "colours", "bits", "palette", "format", "lossless", "turned by EXIF", "photo"],
)
def test_the_same_pixels_under_two_names_are_duplicates(one, other, folder):
    facts = look(
        folder({"one.png": one, "apart.png": file(noise(0, 255, (9, 9))), "other.png": other}), "text", None, None
    )
    assert facts.duplicates == [("one.png", "other.png")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (file(Image.new("L", (8, 2))), file(Image.new("L", (2, 8)))),
        (file(palette()), file(palette(colours=(255, 255, 255, 0, 0, 255)))),
        (file(palette(colours=(255, 255, 255, 100, 0, 0))), file(palette(colours=(255, 255, 255, 0, 51, 0)))),
        (file(ink("RGB", (9, 9, 0), "white")), file(ink("RGB", (9, 0, 9), "white"))),
        (file(ink("RGB", (9, 9, 0), (5, 5, 5))), file(ink("RGB", (9, 0, 0), (5, 5, 5)))),
        (file(noise(0, 255)), turned(noise(0, 255), 6, "PNG")),
        (file(ink()), file(ink(colour=1))),
    ],
    ids=["shape", "palette", "palette as bright", "channels", "two equal channels", "turned by EXIF", "one level"],
)
def test_other_pixels_are_no_duplicates(one, other, folder):
    assert look(folder({"one.png": one, "other.png": other}), "text", None, None).duplicates == []
