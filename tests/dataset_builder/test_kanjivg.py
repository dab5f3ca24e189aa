"""KanjiVG's strokes and how they are drawn."""

import gzip
import io
import zipfile

import numpy as np
import pytest
from PIL import Image
from small_sources import STROKES, kanjivg_svg, kanjivg_xml

from dataset_builder import kanjivg
from dataset_builder.sources import Dropped

NAMES = ("04e00", "06c34")


@pytest.fixture(params=["xml", "xml.gz", "zip of xml", "zip of svgs", "folder of svgs"])
def release(request, tmp_path):
    """The same two characters in each form that a release or a user may have."""
    xml, path = kanjivg_xml(*NAMES), tmp_path / "release"
    match request.param:
        case "xml":
            path.write_text(xml, "utf-8")
        case "xml.gz":
            path.write_bytes(gzip.compress(xml.encode()))
        case "zip of xml":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("kanjivg.xml", xml)
        case "zip of svgs":
            with zipfile.ZipFile(path, "w") as archive:
                for name in reversed(NAMES):
                    archive.writestr(f"kanji/{name}.svg", kanjivg_svg(name))
        case "folder of svgs":
            (path / "kanji").mkdir(parents=True)
            for name in NAMES:
                (path / "kanji" / f"{name}.svg").write_text(kanjivg_svg(name), "utf-8")
    return path


def test_every_form_of_a_release_gives_the_same_drawings(release):
    assert list(kanjivg.read(release)) == [
        kanjivg.Drawing("一", None, STROKES, ("木", "氵")),
        kanjivg.Drawing("水", None, STROKES, ("木", "氵")),
    ]


def test_the_code_point_is_taken_from_the_name_and_not_from_the_element(release):
    # Both drawings have kvg:element="木" on their outermost group.
    assert [drawing.character for drawing in kanjivg.read(release)] == ["一", "水"]


def test_the_date_of_a_release_is_found_where_it_says_one(release, request):
    expected = {"zip of svgs": pytest.approx, "folder of svgs": None}.get(
        request.node.callspec.params["release"], "2026-05-13"
    )
    if expected is pytest.approx:
        assert len(kanjivg.date(release)) == len("2026-05-13")
    else:
        assert kanjivg.date(release) == expected


def folder_of(tmp_path, **files: str):
    for name, svg in files.items():
        (tmp_path / f"{name}.svg").write_text(svg, "utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ["Kanji", "1f", "110000", "0d800", "04E00", "04e00-", "04e00 (copy)"])
def test_a_name_that_is_no_code_point_is_dropped(tmp_path, name):
    first, second = sorted(
        kanjivg.read(folder_of(tmp_path, **{name: kanjivg_svg("04e00"), "06c34": kanjivg_svg("06c34")})), key=str
    )
    assert isinstance(second if isinstance(first, kanjivg.Drawing) else first, Dropped)


def test_a_variant_keeps_its_name(tmp_path):
    (drawing,) = kanjivg.read(folder_of(tmp_path, **{"04e00-KaishoHz": kanjivg_svg("04e00")}))
    assert (drawing.character, drawing.variant, drawing.name) == ("一", "KaishoHz", "04e00-KaishoHz")


def test_the_second_drawing_of_a_character_is_dropped(tmp_path):
    (tmp_path / "k.xml").write_text(kanjivg_xml("04e00", "04e00"), "utf-8")
    first, second = kanjivg.read(tmp_path / "k.xml")
    assert first.character == "一"
    assert second == Dropped("04e00", "twice in KanjiVG: the first drawing counts")


@pytest.mark.parametrize(
    "d",
    [
        "M10,10c1,2 3,4 5,6",
        "m 10 10 c 1 2 3 4 5 6 7 8 9 10 11 12",
        "M10.5 3.5e-1",
        "M60.96,16.08c-5.06,9.1-28.1,48.04-34.46,58.45c14.16,0,50.53,0,57.03,0",
        "M1.5.5S2,3,4,5Z",
        " M 1 , 2 L 3 , 4 H 5 V 6 ",
    ],
)
def test_a_whole_path_is_a_stroke(d):
    assert kanjivg.is_stroke(d)


@pytest.mark.parametrize(
    "d",
    [
        "",
        " ",
        "c1,2 3,4 5,6",
        "10,10",
        "M10",
        "M10,10c1,2 3,4 5",
        "M10,10c",
        "M10,10 foo",
        "M10,10c1,2 3,4 5,six",
        "M10,10x1,2",
        "M10,10Z1",
        "MNaN,NaN",
        "M10,10L1e999,5",
        "M200,10L10,10",
        "M１0,10L20,20",
        "M٣,3L20,20",
        "M10,-1L10,10",
        'M10,10"/><image href="file:///etc/passwd',
        "1" * 5000 + "x",
    ],
)
def test_a_broken_path_drops_its_character(tmp_path, d):
    assert not kanjivg.is_stroke(d)
    escaped = d.replace('"', "&quot;").replace("<", "&lt;")
    (dropped,) = kanjivg.read(folder_of(tmp_path, **{"04e00": kanjivg_svg("04e00", (STROKES[0], escaped))}))
    assert dropped == Dropped("04e00", "KanjiVG drawing whose stroke 2 is not a path that starts on the canvas")


def test_a_drawing_without_strokes_is_dropped(tmp_path):
    (dropped,) = kanjivg.read(folder_of(tmp_path, **{"04e00": kanjivg_svg("04e00", ())}))
    assert dropped == Dropped("04e00", "KanjiVG drawing without strokes")


def test_one_broken_svg_among_others_is_dropped(tmp_path):
    folder = folder_of(tmp_path, **{"04e00": kanjivg_svg("04e00")[:300], "06c34": kanjivg_svg("06c34"), "07530": ""})
    broken, drawing, empty = kanjivg.read(folder)
    assert isinstance(broken, Dropped) and isinstance(empty, Dropped)
    assert drawing.character == "水"


def ink(*strokes: str, resolution: int = 109, **options) -> np.ndarray:
    """Ink of a drawing, 0 (paper) to 1, indexed [y, x]; at 109 pixels a pixel is a unit."""
    return 1 - np.asarray(kanjivg.draw(strokes, resolution, **options)) / 255


def test_the_picture_is_neither_mirrored_nor_turned():
    top_left_down_right = ink("M20,20L20,90L80,90")
    assert top_left_down_right[50, 20] > 0.9 and top_left_down_right[90, 50] > 0.9
    assert top_left_down_right[50, 80] == 0 and top_left_down_right[20, 50] == 0


def test_curves_are_drawn_as_curves():
    arc = ink("M10,50C10,10 99,10 99,50")
    assert arc[20, 54] > 0.9  # its highest point
    assert arc[50, 54] == 0  # the chord


@pytest.mark.parametrize("resolution", [32, 109, 512])
@pytest.mark.parametrize("stroke_width", [0.5, 3, 30])
@pytest.mark.parametrize("margin", [0, 109])
def test_a_stroke_at_the_edge_of_the_room_is_not_clipped(resolution, stroke_width, margin):
    # The middle of a stroke may come as near to the canvas's edge as KanjiVG's own pen is wide by half.
    box = ink(
        "M1.5,1.5L107.5,1.5L107.5,107.5L1.5,107.5Z", resolution=resolution, stroke_width=stroke_width, margin=margin
    )
    half = resolution // 2
    sides = [box[:half].sum(), box[-half:].sum(), box[:, :half].sum(), box[:, -half:].sum()]
    assert min(sides) > 0.85 * max(sides) > 0
    y, x = np.nonzero(box > 0.1 * box.max())
    room = (y.min(), x.min(), resolution - 1 - y.max(), resolution - 1 - x.max())
    assert max(room) - min(room) <= 1


@pytest.mark.parametrize("stroke", ["M50,50L108.9,50", "M50,50L50,130", "M50,50L-20,50", "M50,0.5L50,50"])
def test_a_stroke_that_leaves_the_frame_is_an_error_and_not_clipped(stroke):
    with pytest.raises(ValueError, match="out of the frame"):
        kanjivg.draw((stroke,), 64)


def test_a_margin_makes_the_character_smaller_and_keeps_it_in_the_middle():
    wide = ink("M54.5,54.5L54.5,54.6", margin=54.5, resolution=218)
    assert wide[109, 109] > 0.9
    rows, columns = np.nonzero(ink("M20,20L89,20L89,89L20,89Z", margin=54.5))
    assert (rows.min(), rows.max()) == (columns.min(), columns.max()) and 35 <= rows.min() <= 37


def test_it_draws_what_cairosvg_draws():
    try:
        import cairosvg
    except (ImportError, OSError):
        pytest.skip("needs cairosvg and the system's libcairo")
    svg = kanjivg.svg(STROKES, 512, 0, kanjivg.PEN)
    png = cairosvg.svg2png(bytestring=svg.encode(), background_color="#fff")
    other = 1 - np.asarray(Image.open(io.BytesIO(png)).convert("L")) / 255
    mine = ink(*STROKES, resolution=512)
    assert np.abs(mine - other).mean() < 0.002
    assert mine.sum() == pytest.approx(other.sum(), rel=0.005)
