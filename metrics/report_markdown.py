"""A report as GitHub-flavoured Markdown: the words first, then the table, then each figure with its pictures."""

import html
import re
from urllib.parse import quote

from metrics.figures import FIGURES, HOW_TO_READ, WAYS
from metrics.verdict import KINDS

PIXELS = 96  # width of a picture


def markdown(page):
    """The report as Markdown, in which every text is escaped. page: what metrics.report.overview returns."""
    several = len(page["names"]) > 1
    lines = [f"# Evaluation: {_md(page['title'])}", ""]
    lines += [_md(page["best"]), ""] if page["best"] else []
    for i in page["in_words"]:
        lines += [f"## In words: {_md(page['names'][i])}", ""] if several else []
        said = page["verdicts"][i]
        for kind, heading in KINDS.items():
            lines += (
                [f"**{heading}**", "", *(f"- {_md(sentence)}" for _, sentence in said[kind]), ""] if said[kind] else []
            )
    if page["notes"]:
        lines += ["## Read this first", "", *(f"- {_md(note)}" for note in page["notes"]), ""]
    lines += ["## The figures", "", HOW_TO_READ, "", *_table(_side_by_side(page) if several else _alone(page)), ""]
    lines += ["![Each figure against the training step](curves.svg)", ""] if page["checkpoints"] else []
    for key, about in FIGURES.items():
        lines += [f"## {about.title}", "", f"*{about.question}* {WAYS[about.better]}", "", about.definition, ""]
        lines += [f"Compared: {_md(page['by_figure'][key])}", ""] if key in page["by_figure"] else []
        for name, views in zip(page["names"], page["columns"], strict=True):
            lines += [f"### {_md(name)}", ""] if several else []
            lines += _figure(views[key])
    lines += ["## What was evaluated", ""]
    for name, facts in zip(page["names"], page["facts"], strict=True):
        lines += [f"### {_md(name)}", ""] if several else []
        lines += [*(f"- {key}: {_md(text)}" for key, text in facts.items()), ""]
    return "\n".join(lines)


def _alone(page):
    rows = [["figure", "value", "spread (95%)", "yardstick: real held-out", "shuffled", "n"]]
    for key, view in page["columns"][0].items():
        cells = [view.get(name, "–") for name in ("value", "spread", "yardstick", "shuffled", "n")]
        rows.append([FIGURES[key].title, *(["not computed", *cells[1:]] if "not_computed" in view else cells)])
    return rows


def _side_by_side(page):
    def cell(view):
        if "not_computed" in view:
            return "not computed"
        shuffled = f", shuffled {view['shuffled']}" if view["shuffled"] != "–" else ""
        return f"{view['value']} ({view['spread']}), real {view['yardstick']}{shuffled}, n {view['n']}"

    rows = [[about.title, *(cell(views[key]) for views in page["columns"])] for key, about in FIGURES.items()]
    return [["figure", *page["names"]], *rows]


def _figure(view):
    if "not_computed" in view:
        return [f"Not computed: {_md(view['not_computed'])}", ""]
    shuffled = f" With the prompts shuffled: {view['shuffled']}." if view["shuffled"] != "–" else ""
    line = (
        f"**{view['value']}** (95%: {view['spread']}; n = {view['n']}). Real held-out: {view['yardstick']}.{shuffled}"
    )
    lines = [line, "", *([_md(view["note"]), ""] if view["note"] else [])]
    lines += [*(f"- {_md(name)}: {_md(text)}" for name, text in view["details"].items()), ""] if view["details"] else []
    for name, rows in view["tables"].items():
        lines += [*([f"{_md(name)}:", ""] if name else []), *_table(rows), ""]
    for kind, cases in view["cases"].items():
        if cases:
            lines += [f"{_md(kind).capitalize()} cases:", "", *_pictures(cases), ""]
    return lines


def _pictures(cases):
    rows = [[_image(case["image"], case["word"]) for case in cases]]
    rows += [[f"{_md(case['word'])}<br>{case['score']}" for case in cases]]
    if any(case["beside"] for case in cases):
        rows += [[_image(case["beside"], case["beside_label"]) if case["beside"] else "" for case in cases]]
        rows += [[_md(case["beside_label"]) for case in cases]]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|---" * len(cases) + "|", *lines[1:]]


def _image(path, text):
    alt = html.escape(" ".join(text.split())).replace("|", "&#124;")  # a bar would end the cell
    return f'<img src="{quote(path)}" alt="{alt}" width="{PIXELS}">'


def _table(rows):
    lines = [f"| {' | '.join(map(_md, row))} |" for row in rows]
    return [lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]


def _md(text):
    """A text that Markdown shows as it is, in one line: for a paragraph, a heading, a cell of a table."""
    text = re.sub(r"([\\`*_\[\]<>|&#~$])", r"\\\1", " ".join(str(text).split()))
    return re.sub(r"^(\d*)([-+=.)])(?=\s|$)", r"\1\\\2", text)  # no list, no underlined heading
