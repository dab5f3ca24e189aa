"""However a picture is kept, its glyph is the same."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from metrics.glyphs import MARGIN, SIDE, SMALLEST, fitted, load_glyphs, normalise

INSIDE = SIDE - 2 * MARGIN


def character(side=96, mode="L", ink=0, paper=255):
    """Strokes that look different from every side."""
    image = Image.new(mode, (side, side), paper)
    draw, unit = ImageDraw.Draw(image), side / 96
    for stroke in ((10, 20, 80, 20), (30, 20, 30, 86), (30, 50, 70, 50), (70, 50, 60, 86), (14, 60, 14, 80)):
        draw.line([unit * number for number in stroke], fill=ink, width=round(6 * unit))
    return image


def sixteen_bits():
    return Image.fromarray((np.asarray(character(ink=90)).astype(np.uint16)) * 257)


def transparent(image, mode):
    """Ink that lies on nothing at all; what is transparent is black."""
    layers = Image.new("LA", image.size)
    layers.putalpha(image.point(lambda value: 255 - value))
    return layers.convert(mode)


def palette():
    """Colours 0 and 1 are ink and paper, and 0 is the lighter number."""
    image = Image.new("P", (96, 96))
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.putdata([int(value < 128) for value in np.asarray(character()).ravel()])
    return image


def jpeg(image):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return Image.open(file)


def padded(left=0, top=0, right=0, bottom=0):
    image = Image.new("L", (96 + left + right, 96 + top + bottom), 255)
    image.paste(character(), (left, top))
    return image


def box(glyph):
    """(top, bottom, left, right) of the ink, in pixels."""
    rows, columns = np.where(glyph.max(1) > 0.3)[0], np.where(glyph.max(0) > 0.3)[0]
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def difference(one, other):
    """In ink, as a share of the one's."""
    return np.abs(one - other).sum() / one.sum()


PICTURES = {
    "itself": (character(), 0),
    "twice as large": (character(192), 0.15),
    "not a multiple": (character(250), 0.2),
    "huge": (character(1536), 0.25),
    "pale ink": (character(ink=190), 0.02),
    "grey paper": (character(paper=200), 0.02),
    "white on black": (character(ink=255, paper=0), 0.02),
    "grey on black": (character(ink=120, paper=0), 0.02),
    "a wide margin": (padded(60, 60, 60, 60), 0.02),
    "in a corner": (padded(right=90, bottom=90), 0.02),
    "on a wide page": (padded(left=100), 0.02),
    "on a tall page": (padded(top=80, bottom=60), 0.02),
    "RGB": (character(mode="RGB", ink="black", paper="white"), 0.02),
    "blue on yellow": (character(mode="RGB", ink="navy", paper="yellow"), 0.02),
    "RGBA": (transparent(character(), "RGBA"), 0.02),
    "LA": (transparent(character(), "LA"), 0.02),
    "palette": (palette(), 0.02),
    "CMYK": (character(mode="RGB", ink="black", paper="white").convert("CMYK"), 0.02),
    "1 bit": (character().convert("1"), 0.02),
    "16 bits": (sixteen_bits(), 0.02),
    "JPEG": (jpeg(character()), 0.1),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_gives_the_same_glyph_however_it_is_kept(name):
    image, most = PICTURES[name]
    glyph = normalise(image)
    assert glyph.shape == (SIDE, SIDE) and glyph.dtype == np.float32
    assert glyph.min() == 0 and 0.99 < glyph.max() <= 1
    assert difference(normalise(character()), glyph) <= most


@pytest.mark.parametrize("side", [16, 48, 96, 128])
def test_what_is_drawn_fills_the_square_but_for_its_margin(side):
    top, bottom, left, right = box(normalise(padded(left=50), side))
    margin = MARGIN * side / SIDE
    assert max(bottom - top, right - left) == pytest.approx(side - 2 * margin, abs=1)
    assert top + bottom == pytest.approx(side, abs=1) and left + right == pytest.approx(side, abs=1)


def test_drawings_of_few_pixels_scaled_up_are_judged_by_their_shape_and_not_by_their_blur():
    small = character(128).resize((32, 32), Image.Resampling.BOX)
    large = small.resize((256, 256), Image.Resampling.BICUBIC)
    assert difference(normalise(small), normalise(large)) < 0.2
    assert difference(normalise(small), normalise(character(128).rotate(90))) > 0.8


@pytest.mark.parametrize("name", ["itself", "twice as large", "huge", "white on black"])
def test_a_glyph_made_a_picture_again_is_the_same_glyph(name):
    glyph = normalise(PICTURES[name][0])
    again = normalise(Image.fromarray(np.uint8(255.5 - 255 * glyph)))
    assert difference(glyph, again) < 0.1
    assert difference(glyph, fitted(glyph)) < 0.1


@pytest.mark.parametrize(
    "image",
    [
        Image.new("L", (96, 96), 255),
        Image.new("L", (96, 96), 0),
        Image.new("RGB", (40, 70), "teal"),
        Image.new("RGBA", (96, 96), (0, 0, 0, 0)),
        Image.new("L", (1, 1), 0),
        Image.new("L", (1, 1), 255),
        Image.new("L", (3000, 1), 255),
        Image.effect_noise((64, 64), 4).point(lambda value: value + 110),
    ],
    ids=["white", "black", "teal", "transparent", "black pixel", "white pixel", "a line of paper", "faint noise"],
)
def test_where_nothing_is_drawn_the_glyph_is_empty(image):
    assert not normalise(image).any()


def test_a_dot_is_not_blown_up_to_a_square():
    dot = Image.new("L", (96, 96), 255)
    ImageDraw.Draw(dot).rectangle((10, 10, 19, 19), fill=0)
    top, bottom, left, right = box(normalise(dot))
    assert bottom - top == right - left == pytest.approx(INSIDE * 10 / (96 * SMALLEST), abs=1)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("length", [20, 90, 900])
def test_a_single_line_stays_a_line(turned, length):
    line = Image.new("L", (length + 6, 10), 255)
    ImageDraw.Draw(line).rectangle((3, 4, length + 2, 5), fill=0)
    top, bottom, left, right = box(normalise(line.rotate(90, expand=True) if turned else line))
    high, wide = (right - left, bottom - top) if turned else (bottom - top, right - left)
    assert wide == pytest.approx(INSIDE, abs=1)
    assert 1 <= high <= max(1, INSIDE * 2 / length + 1)


def test_a_stray_speck_does_not_make_the_strokes_pale():
    image = character(ink=120)
    image.putpixel((5, 5), 0)
    assert np.quantile(normalise(image)[normalise(image) > 0.3], 0.5) > 0.9


def test_pictures_and_files_of_them_give_the_same_glyphs(tmp_path):
    for number, image in enumerate(images := [character(40), character(96), character(300, paper=200)]):
        image.save(tmp_path / f"{number}.png")
    glyphs = load_glyphs(images)
    assert glyphs.shape == (3, SIDE, SIDE) and glyphs.dtype == np.float32
    assert np.array_equal(glyphs, load_glyphs(sorted(tmp_path.iterdir())))
    assert np.array_equal(glyphs[1], normalise(images[1]))
    assert load_glyphs([], 24).shape == (0, 24, 24)


def test_reduced_first_a_picture_has_no_more_detail_than_so_many_pixels_hold():
    fine = Image.fromarray(np.uint8(255 * (np.indices((256, 256)).sum(0) // 4 % 2)))  # stripes of 4 pixels
    crisp, coarse = load_glyphs([fine], 128)[0], load_glyphs([fine], 128, resolution=16)[0]
    assert crisp.std() > 0.3 > 0.2 > coarse.std()
    assert np.array_equal(load_glyphs([character(96)], resolution=96), load_glyphs([character(96)]))


def test_reduced_first_a_page_keeps_its_proportions():
    wide, alone = padded(left=48, right=48), character()
    assert difference(load_glyphs([alone], 48, 48)[0], load_glyphs([wide], 48, 96)[0]) < 0.2


@pytest.mark.parametrize("content", [b"", b"no picture", "half"])
def test_a_file_that_is_no_whole_picture_is_named(tmp_path, content):
    file = tmp_path / "broken.png"
    character().save(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if content == "half" else content)
    with pytest.raises(ValueError, match=r"broken\.png is not a whole picture"):
        load_glyphs([character(), file])


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"gone\.png"):
        load_glyphs([tmp_path / "gone.png"])


def test_a_picture_that_is_too_large_to_open_is_named(tmp_path, monkeypatch):
    character().save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ValueError, match=r"huge\.png is not a whole picture: .*exceeds limit"):
        load_glyphs([tmp_path / "huge.png"])
