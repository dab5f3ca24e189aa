"""A sheet shows every image and every label, whole, on any machine; a page holds nothing that a word could inject."""

from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image, ImageFont

import sheet
from sheet import contact_sheet, web_page

LABELS = [
    "fire",
    "climate change",
    "雨",
    "気候変動と森林火災と石の橋と雨が降る川の魚",
    "café",
    "x" * 300,
    "a very long phrase " * 16,
    "😀",
    "한국어 Привет",
    "a\tb\nc",
    "",
]


def ink(size=32, mode="L"):
    return Image.new("L", (size, size), 0).convert(mode)


@pytest.fixture
def bare_machine(monkeypatch):
    """A machine with no font but the one inside Pillow, which has ASCII only."""
    monkeypatch.setattr(sheet, "SYSTEM_FONTS", ())
    sheet._fonts.cache_clear()
    yield
    sheet._fonts.cache_clear()


def dark(picture):
    return np.asarray(picture.convert("L")) < 128


@pytest.mark.parametrize("label", LABELS)
def test_no_label_is_cut_off(label, bare_machine):
    picture = dark(contact_sheet([(label, [ink()])], title=label))
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert not border.any()


@pytest.mark.parametrize("label", LABELS)
def test_a_wrapped_label_keeps_its_text_within_the_width(label):
    font, text = sheet._font_for(label)
    lines = sheet._wrap(text, font, 130)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(font.getlength(line) <= 130 for line in lines)


def test_labels_tell_sheets_apart():
    pictures = {contact_sheet([(label, [ink()])]).tobytes() for label in LABELS}
    assert len(pictures) == len(LABELS)


def test_a_character_without_a_glyph_is_labelled_by_its_code_point(bare_machine):
    assert sheet._font_for("雨 rain")[1].split() == ["U+96E8", "rain"]
    assert sheet._font_for("rain, 100% <b>&~")[1] == "rain, 100% <b>&~"


def test_where_a_font_has_the_characters_they_are_drawn():
    names = [name for name in sheet.SYSTEM_FONTS if name != "DejaVuSans.ttf"]
    for name in names:
        try:
            ImageFont.truetype(name, 15)
        except OSError:
            continue
        assert sheet._font_for("雨の日 rain")[1] == "雨の日 rain"
        return
    pytest.skip("needs a CJK font")


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK"])
def test_images_of_every_mode_are_shown(mode):
    picture = np.asarray(contact_sheet([("", [ink(mode=mode)])], cell=40).convert("L"))
    assert (picture[13:53, 13:53] < 10).all()


def test_transparency_is_paper_not_ink():
    clear = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    palette = Image.new("P", (32, 32), 0)
    palette.info["transparency"] = 0
    assert not dark(contact_sheet([("", [clear, palette])])).any()


@pytest.mark.parametrize("size", [(1, 1), (32, 32), (200, 10), (10, 200), (512, 512)])
def test_an_image_of_any_size_keeps_its_shape(size):
    picture = dark(contact_sheet([("", [Image.new("L", size, 0)])], cell=100))
    height, width = picture.any(1).sum(), picture.any(0).sum()
    assert max(height, width) == 100
    assert width / height == pytest.approx(size[0] / size[1], rel=0.05)


@pytest.mark.parametrize(("counts", "columns"), [([1], None), ([1] * 80, None), ([4, 1, 0, 3], None), ([20, 3], 2)])
def test_every_image_has_a_cell_of_its_own(counts, columns):
    groups = [("", [ink()] * count) for count in counts]
    assert dark(contact_sheet(groups, cell=10, columns=columns)).sum() == sum(counts) * 100


def test_images_stay_in_their_order():
    first, second = Image.new("L", (10, 10), 0), Image.new("L", (10, 10), 200)
    picture = np.asarray(contact_sheet([("", [first, second])], cell=10).convert("L"))
    assert (picture[13:23, 13:23].max(), picture[13:23, 24:34].min()) == (0, 200)


@pytest.mark.parametrize("groups", [[], [("fire", [])]])
def test_a_sheet_of_nothing_is_an_error(groups):
    with pytest.raises(ValueError, match="at least one image"):
        contact_sheet(groups)


class Links(HTMLParser):
    """The tags of a page, its addresses and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.addresses, self.words = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.words.append(data)


@pytest.mark.parametrize(
    "word",
    ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "'&amp;", "$title ${x} $", "雨 😀", "a\x07b"],
)
def test_no_word_gets_out_of_its_place_on_the_page(word):
    page = Links(web_page(word, {"negative_prompt": word}, [(word, word + "!", [("w/1.png", word)])]))
    assert page.words.count(word) == 4  # title, heading, setting, label
    assert page.words.count(word + "!") == 1
    assert "script" not in page.tags and page.tags.count("img") == 1
    assert page.addresses == ["w/1.png", "w/1.png"]


def test_addresses_on_the_page_are_encoded():
    page = Links(web_page("", {}, [("", "", [("雨 #1?/2%.png", "")])]))
    assert set(page.addresses) == {"%E9%9B%A8%20%231%3F/2%25.png"}


def test_a_setting_without_a_value_is_not_shown():
    page = web_page("", {"dtype": "fp32", "negative_prompt": "", "resolution": None, "seed": 0}, [])
    assert "negative" not in page and "resolution" not in page
    assert "<dd>fp32</dd>" in page and "<dd>0</dd>" in page
