"""The page of a report opens from the disk, shows what is there, and fetches nothing."""

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from made_report import WORDS, figure, made_report, nothing_computed, with_pictures

from metrics.figures import FIGURES
from metrics.report import write_reports
from metrics.report_page import curves


class Page(HTMLParser):
    """Tags, addresses, ids and texts of a page."""

    def __init__(self, folder):
        super().__init__()
        self.tags, self.addresses, self.ids, self.images, self.words = [], [], [], [], []
        self.feed((folder / "report.html").read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, attrs))
        attrs = dict(attrs)
        self.addresses += [attrs[name] for name in ("src", "href") if name in attrs]
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.images += [attrs] if tag == "img" else []

    def handle_data(self, data):
        self.words.append(data.strip())


@pytest.mark.parametrize("word", WORDS)
def test_no_word_gets_out_of_its_place(word, tmp_path):
    shapes = []
    for text in (word, "word"):
        report = with_pictures(tmp_path, word=text, model=text, notes=[text], kid={"not_computed": text})
        report["dataset"]["path"], report["copies"]["note"] = text or "-", text or "-"
        report["copies"]["details"] = {text: text, "table": [[text, "b"], [text, 1]]}
        write_reports([report], tmp_path)
        page = Page(tmp_path)
        shapes.append([(tag, [name for name, _ in attrs]) for tag, attrs in page.tags])
    assert shapes[0] == shapes[1]


def test_the_words_are_on_the_page(tmp_path):
    word = WORDS[0]
    write_reports([with_pictures(tmp_path, word=word, model=word, notes=[word])], tmp_path)
    page = Page(tmp_path)
    assert page.words.count(word) == 3  # heading, note, caption; the title has one more word
    assert [image["alt"] for image in page.images] == [word, word]


@pytest.mark.parametrize(
    "name", ["drawing.png", "a b/書 #1?/2%20.png", 'it\'s "so".png', "java:script.png", "<i>.png", "a&amp;b.png"]
)
def test_every_image_is_there(name, tmp_path):
    write_reports([with_pictures(tmp_path, name=name)], tmp_path)
    page = Page(tmp_path)
    assert len(page.images) == 2 and all(image["loading"] == "lazy" for image in page.images)
    assert all((tmp_path / unquote(image["src"])).is_file() for image in page.images)
    named = re.findall(r'<img src="([^"]*)"', (tmp_path / "report.md").read_text("utf-8"))
    assert [unquote(path) for path in named] == [name, f"real/{name}"]


@pytest.mark.parametrize(("gone", "left"), [("drawing.png", 0), ("real/drawing.png", 1)])
def test_an_image_that_is_gone_is_left_out(gone, left, tmp_path):
    report = with_pictures(tmp_path)
    (tmp_path / gone).unlink()
    write_reports([report], tmp_path)
    assert len(Page(tmp_path).images) == left


@pytest.mark.parametrize("path", ["http://example.com/x.png", "//example.com/x.png", "javascript:alert(1)", "data:,x"])
@pytest.mark.parametrize("reports", [1, 2])
def test_nothing_is_fetched_from_elsewhere(path, reports, tmp_path):
    report = with_pictures(tmp_path, model="http://example.com")
    case = report["copies"]["cases"]["worst"][0]
    report["copies"]["cases"]["worst"] += [case | {"image": path}, case | {"beside": path}]
    write_reports([report, report | {"model": "b"}][:reports], tmp_path)
    page = Page(tmp_path)
    assert page.images and not any(re.match(r"(\w+:|//)", address) for address in page.addresses)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object"}
    assert not re.search(r"url\(|@import", (tmp_path / "report.html").read_text("utf-8"))


@pytest.mark.parametrize(
    "reports",
    [
        [made_report()],
        [nothing_computed()],
        [made_report("a"), nothing_computed()],
        [made_report(step=1), made_report(step=2), made_report(step=3)],
        [nothing_computed() | {"step": 1}, nothing_computed() | {"step": 2}],
        [made_report(fd_glyph={"value": 0.0, "yardstick": None, "n": 0}, mmd_glyph=figure(-0.3, -0.1, wide=0.1))],
    ],
    ids=["one", "nothing computed", "two", "checkpoints", "checkpoints of nothing", "odd numbers"],
)
def test_every_kind_of_page_links_to_what_it_has(reports, tmp_path):
    write_reports(reports, tmp_path)
    page = Page(tmp_path)
    assert set(FIGURES) <= set(page.ids) and len(page.ids) == len(set(page.ids))
    for address in page.addresses:
        assert address[1:] in page.ids if address.startswith("#") else (tmp_path / address).is_file()
    places = re.findall(r"(?:left|width): (-?[\d.]+)%", (tmp_path / "report.html").read_text("utf-8"))
    assert all(0 <= float(place) <= 100 for place in places)


def test_marks_of_all_models_share_one_scale(tmp_path):
    write_reports([made_report("a", fd_glyph=figure(20, 10)), made_report("b", fd_glyph=figure(40, 10))], tmp_path)
    row = re.search(r'<td><a href="#fd_glyph">.*?</tr>', (tmp_path / "report.html").read_text("utf-8"), re.S)[0]
    assert re.findall(r'class="value" style="left: ([\d.]+)', row) == ["50.0", "100.0"]
    assert re.findall(r'class="real" style="left: ([\d.]+)', row) == ["25.0", "25.0"]


def test_curves_are_one_picture_of_the_computed_figures(tmp_path):
    reports = [made_report(step=step, kid={"not_computed": "x"}) for step in (300, 100, 200)]
    reports[0]["fid"] = {"not_computed": "x"}  # of one checkpoint only
    picture = ElementTree.fromstring(curves(reports))
    panels = [group for group in picture.iter() if re.fullmatch(r"axes_\d+", group.get("id", ""))]
    assert len([panel for panel in panels if len(panel) > 1]) == len(FIGURES) - 1
    assert curves(reports) == curves(sorted(reports, key=lambda report: report["step"]))  # the order does not matter


def test_models_with_steps_of_their_own_are_no_checkpoints(tmp_path):
    write_reports([made_report("a", step=1), made_report("b", step=2)], tmp_path)
    assert not (tmp_path / "curves.svg").exists() and "curves" not in "".join(Page(tmp_path).addresses)
