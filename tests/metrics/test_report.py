"""A report is whole, valid and readable, whatever the words and the figures in it."""

import json
import os
import re

import numpy as np
import pytest
from made_report import WORDS, figure, made_report, nothing_computed, with_pictures

from metrics.figures import FIGURES
from metrics.report import write_reports

FILES = ("report.json", "report.md", "report.html")


def no_constant(name):
    raise AssertionError(f"{name} is no JSON")


def read(folder):
    return json.loads((folder / "report.json").read_text("utf-8"), parse_constant=no_constant)


def test_one_report_is_its_dict(tmp_path):
    report = made_report()
    write_reports([report], tmp_path / "new" / "folder")
    assert read(tmp_path / "new" / "folder") == report
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(FILES)


def test_several_reports_are_a_list(tmp_path):
    reports = [made_report("a"), made_report("b")]
    write_reports(reports, tmp_path)
    assert read(tmp_path) == {"reports": reports}
    assert not (tmp_path / "curves.svg").exists()


def test_keys_are_in_one_order_whatever_that_of_the_caller(tmp_path):
    report = made_report(extra=1)
    for name, order in (("a", list(report)), ("b", list(report)[::-1])):
        write_reports([{key: report[key] for key in order}], tmp_path / name)
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in FILES)
    assert [key for key in read(tmp_path / "a") if key in FIGURES] == list(FIGURES)


def test_a_report_read_back_is_written_the_same(tmp_path):
    write_reports([made_report(fd_glyph=figure(100 / 7, 1e-9 / 3, details={"x": [1 / 3]}))], tmp_path / "a")
    write_reports([read(tmp_path / "a")], tmp_path / "b")
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in FILES)


def test_numbers_of_numpy_are_numbers(tmp_path):
    made = figure(np.float32(0.25), np.float64(1 / 3), n=np.int64(5), details={"all": (np.float32(0.5), True)})
    write_reports([made_report(fd_glyph=made)], tmp_path)
    assert read(tmp_path)["fd_glyph"] == {
        "value": 0.25,
        "spread": [0.25, 0.25],
        "yardstick": 0.333333,
        "n": 5,
        "details": {"all": [0.5, True]},
    }
    assert type(read(tmp_path)["fd_glyph"]["n"]) is int  # and not 5.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -np.inf, np.float32("nan"), object(), np.zeros(2)])
@pytest.mark.parametrize(
    ("key", "place"),
    [("fd_glyph.value", "value"), ("fd_glyph.spread[1]", "spread"), ("fd_glyph.details.x", "details")],
)
def test_what_is_no_number_is_named_and_leaves_the_old_report(bad, key, place, tmp_path):
    write_reports([made_report()], tmp_path)
    before = [(tmp_path / file).read_bytes() for file in FILES]
    made = figure(1.0, 1.0) | {place: {"value": bad, "spread": [0.0, bad], "details": {"x": bad}}[place]}
    with pytest.raises(ValueError, match=re.escape(f"report of runs/made-up: {key} is")):
        write_reports([made_report(fd_glyph=made)], tmp_path)
    assert [(tmp_path / file).read_bytes() for file in FILES] == before


@pytest.mark.parametrize("missing", [None, {}, {"value": 1.0}, {"value": 1.0, "yardstick": 2.0}])
def test_a_figure_that_is_neither_computed_nor_excused_is_named(missing, tmp_path):
    with pytest.raises(ValueError, match="kid needs value, yardstick and n, or not_computed"):
        write_reports([made_report(kid=missing)], tmp_path)


def test_no_report_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no report"):
        write_reports([], tmp_path)


@pytest.mark.parametrize("killed_at", range(3))
def test_a_kill_leaves_every_file_whole(killed_at, tmp_path, monkeypatch):
    write_reports([made_report("old")], tmp_path)
    old = {file: (tmp_path / file).read_bytes() for file in FILES}
    write_reports([made_report("new")], tmp_path / "new")
    new = {file: (tmp_path / "new" / file).read_bytes() for file in FILES}
    replace, calls = os.replace, []

    def killed(*paths):
        calls.append(paths)
        if len(calls) > killed_at:
            raise KeyboardInterrupt
        replace(*paths)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_reports([made_report("new")], tmp_path)
    now = {file: (tmp_path / file).read_bytes() for file in FILES}
    assert all(now[file] in (old[file], new[file]) for file in FILES)
    assert sum(now[file] == new[file] for file in FILES) == killed_at
    assert now["report.json"] == old["report.json"]  # the last to be written: where it is new all is new


@pytest.mark.parametrize("word", WORDS)
def test_no_word_breaks_the_markdown(word, tmp_path):
    report = with_pictures(tmp_path, word=word, model=word)
    report["copies"]["details"] = {word: word, "table": [[word, "b"], [word, 1]]}
    report["notes"], report["kid"] = [word], {"not_computed": word}
    write_reports([report], tmp_path)
    text = (tmp_path / "report.md").read_text("utf-8")
    write_reports([made_report(kid={"not_computed": "plain"})], tmp_path / "plain")
    plain = (tmp_path / "plain" / "report.md").read_text("utf-8")
    assert len(re.findall(r"^#+ ", text, re.M)) == len(re.findall(r"^#+ ", plain, re.M))
    assert not re.search(r"(?<!\\)<(?!(img src=|br>))", text)  # no HTML but ours
    assert not re.search(r"(?<!\\)\]\(", re.sub(r"<img .*?>", "", text))  # no link
    for table in re.findall(r"(?:^\|.*\n)+", text, re.M):
        cells = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in table.splitlines()}
        assert len(cells) == 1, table


def test_the_words_come_first_then_notes_then_the_table(tmp_path):
    write_reports([made_report(kid={"not_computed": "no weights"})], tmp_path)
    text = (tmp_path / "report.md").read_text("utf-8")
    in_order = ["What is good", "No drawing is a copy.", "What is bad", "71% of the drawings", "could not be told"]
    in_order += ["Read this first", "Small drawings.", "## The figures", "| Legibility | 71% |", "## FD-glyph"]
    places = [text.index(words) for words in in_order]
    assert places == sorted(places)
    assert all(about.definition in text and about.question in text for about in FIGURES.values())


def test_a_report_of_nothing_computed_says_why(tmp_path):
    write_reports([nothing_computed("neither characters nor weights")], tmp_path)
    for file in ("report.md", "report.html"):
        text = (tmp_path / file).read_text("utf-8")
        assert "What could not be told" in text and "What is good" not in text
        assert text.count("neither characters nor weights") >= len(FIGURES)


def test_several_are_columns_of_one_table(tmp_path):
    write_reports([made_report("a"), made_report("b", kid={"not_computed": "x"}), made_report("b")], tmp_path)
    text = (tmp_path / "report.md").read_text("utf-8")
    assert "| figure | a | b (2) | b (3) |" in text
    assert re.search(r"\| KID \| 0.05.* \| not computed \| 0.05", text)


def test_checkpoints_are_told_apart_by_their_step(tmp_path):
    reports = [made_report(step=1000 * i, legibility=figure(i / 4, 0.95, wide=0.01)) for i in range(1, 4)]
    write_reports(reports, tmp_path)
    text = (tmp_path / "report.md").read_text("utf-8")
    assert "| figure | step 1,000 | step 2,000 | step 3,000 |" in text
    assert "Compared: step 3,000 (75%) is best." in text
    assert "Compared: no checkpoint is clearly better." in text
    assert text.index("curves.svg") and (tmp_path / "curves.svg").stat().st_size


@pytest.mark.parametrize(
    ("details", "shown"),
    [
        ({"cosine_above": 0.846}, "- cosine above: 0.846"),
        ({"families": {"chimera": {"AUC": 0.84}}, "x": 1}, "|  | AUC |\n|---|---|\n| chimera | 0.840 |"),
        ({"ink": {"drawn": {"mean": 2.0}, "real": {"mean": 3.0}}}, "| ink | mean 2.00 | mean 3.00 |"),
        ({"rows": [{"a": 1, "b": None}]}, "| a | b |\n|---|---|\n| 1 | – |"),
        ({"counts": [1, 2]}, "- counts: 1, 2"),
        ({"nothing": []}, "- nothing: "),
    ],
)
def test_details_are_lists_or_tables(details, shown, tmp_path):
    write_reports([made_report(strokes=figure(1.0, 1.0, details=details))], tmp_path)
    assert shown in (tmp_path / "report.md").read_text("utf-8")
