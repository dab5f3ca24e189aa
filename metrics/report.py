"""A report for a reader without the code: report.json, report.md and report.html, of one model or of several."""

import json
import math
import os
from numbers import Integral, Real
from pathlib import Path

from metrics.figures import FIGURES, number
from metrics.report_markdown import markdown
from metrics.report_page import curves, web_page
from metrics.verdict import compare, verdict

HEAD = ("model", "kind", "step", "dataset", "judge", "drawings", "notes")


def write_reports(reports, output):
    """Writes the report of one model or several into a folder, each file whole or not at all.

    reports: dicts of "model", "kind", "step", "dataset", "judge", "drawings", "notes" and the twelve figures of
        metrics.figures.FIGURES, each {"value", "spread", "yardstick", "n", ...} or {"not_computed": why}; paths of
        images in it are relative to `output`, and those that are not there are left out of the pages.
    output: the folder, made where it is missing. report.json is the one report, or {"reports": [...]}; several of one
        model, with a "step" each, are its checkpoints, and curves.svg shows them.

    Raises ValueError that names the key when a figure is missing or no number (NaN would make the JSON invalid).
    """
    if not reports:
        raise ValueError("there is no report to write")
    reports = [_clean(report) for report in reports]
    output = Path(output)
    output.mkdir(parents=True, exist_ok=True)
    pages = overview(reports, output)
    if pages["checkpoints"]:
        _write(output / "curves.svg", curves(reports))
    _write(output / "report.html", web_page(pages))
    _write(output / "report.md", markdown(pages))
    whole = reports[0] if len(reports) == 1 else {"reports": reports}
    _write(output / "report.json", json.dumps(whole, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def _write(path, text):
    path.with_suffix(".tmp").write_text(text, "utf-8")
    os.replace(path.with_suffix(".tmp"), path)


def _clean(report):
    """The report with keys in one order and numbers of six digits that JSON knows; ValueError where that cannot be."""
    name = report.get("model", "without a name")
    for key in FIGURES:
        figure = report.get(key)
        if figure is None or ("not_computed" not in figure and not {"value", "yardstick", "n"} <= figure.keys()):
            raise ValueError(
                f"report of {name}: {key} needs value, yardstick and n, or not_computed and why; it is {figure}"
            )

    def plain(value, key):
        if isinstance(value, dict):
            return {str(name): plain(item, f"{key}.{name}") for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item, f"{key}[{i}]") for i, item in enumerate(value)]
        if isinstance(value, bool | str | None):
            return value
        if isinstance(value, Integral):  # numpy's too
            return int(value)
        if not isinstance(value, Real) or not math.isfinite(value):
            raise ValueError(f"report of {name}: {key} is {value!r}, not a number that JSON knows")
        return float(f"{value:.6g}")

    order = {key: report[key] for key in (*HEAD, *FIGURES) if key in report} | report
    return {key: plain(value, key) for key, value in order.items()}


def overview(reports, output):
    """What both pages show, as one dict of texts ready to be escaped: see the keys at its end."""
    several, steps = len(reports) > 1, [report.get("step") for report in reports]
    checkpoints = several and len({report["model"] for report in reports}) == 1 and None not in steps
    names = [f"step {step:,}" if checkpoints else report["model"] for report, step in zip(reports, steps, strict=True)]
    names = [f"{name} ({i + 1})" if names.count(name) > 1 else name for i, name in enumerate(names)]
    noun = "checkpoint" if checkpoints else "model"
    best, by_figure, winners = compare(reports, names, noun) if several else (None, {}, [])
    in_words = [winners[-1] if winners else -1] if checkpoints else range(len(reports))
    columns = [{key: _view(key, report[key], output) for key in FIGURES} for report in reports]
    return {
        "title": f"{len(reports)} models side by side" if several and not checkpoints else reports[0]["model"],
        "names": names,
        "checkpoints": checkpoints,
        "best": best,  # sentence
        "by_figure": by_figure,  # key: sentence
        "verdicts": [verdict(report) for report in reports],
        "in_words": in_words,  # whose verdicts stand at the top
        "notes": list(dict.fromkeys(note for report in reports for note in report.get("notes", []))),
        "facts": [_facts(report) for report in reports],  # [{name: text}], as the next
        "columns": columns,  # [{key: view}]
        "reports": reports,
    }


def _facts(report):
    facts = {"kind": report.get("kind"), "step": report.get("step")}
    facts |= {key: report.get(key) for key in ("dataset", "judge", "drawings")}
    return {key: _text(value) for key, value in facts.items() if value not in (None, {}, "")}


def _text(value):
    """Any value of a report in one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_text(item)}" for key, item in value.items() if item is not None)
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return number(value) if isinstance(value, Real | None) and not isinstance(value, bool) else str(value)


def _view(key, figure, output):
    """A figure's texts: {"not_computed"} or value, spread, yardstick, shuffled, n; with note, details and cases."""
    if "not_computed" in figure:
        return {"not_computed": figure["not_computed"]}
    ends = [number(end, key) for end in figure.get("spread") or []]
    view = {name: number(figure.get(name), key) for name in ("value", "yardstick", "shuffled")}
    view |= {"n": number(figure["n"]), "spread": " to ".join(ends) or "–", "note": figure.get("note", "")}
    details = {name.replace("_", " "): value for name, value in figure.get("details", {}).items()}
    whole = _rows(details)  # where every detail is a row of one table
    view["tables"] = {"": whole} if whole else {name: rows for name, value in details.items() if (rows := _rows(value))}
    view["details"] = {} if whole else {n: _text(value) for n, value in details.items() if n not in view["tables"]}
    view["cases"] = {}
    for kind, cases in figure.get("cases", {}).items():
        view["cases"][kind] = [
            {
                "image": case["image"],
                "word": case["word"],
                "score": number(case["score"]),
                "beside": beside if (beside := case.get("beside")) and (output / beside).is_file() else None,
                "beside_label": case.get("beside_label") or "",
            }
            for case in cases
            if (output / case["image"]).is_file()
        ]
    return view


def _rows(value):
    """A small table, a list or dict of rows, as lists of texts with its heading first; None for what is no table."""
    if isinstance(value, dict) and value and all(isinstance(row, dict) for row in value.values()):
        value = [{"": name, **row} for name, row in value.items()]
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(row, dict) for row in value):
        return [list(value[0]), *([_text(row.get(name)) for name in value[0]] for row in value)]
    return [[_text(cell) for cell in row] for row in value] if all(isinstance(row, list) for row in value) else None
