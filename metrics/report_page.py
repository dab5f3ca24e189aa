"""A report as a page that opens from the disk, nothing fetched from elsewhere; and the curves of checkpoints."""

import io
from pathlib import Path
from urllib.parse import quote

from metrics.figures import FIGURES, HOW_TO_READ, WAYS, spread
from metrics.verdict import KINDS


def web_page(page):
    """The report as HTML, by the template report.html, which escapes every text. page: of metrics.report.overview."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = FileSystemLoader(Path(__file__).parent)
    templates = Environment(loader=folder, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    templates.lstrip_blocks = True
    templates.filters["url"] = quote  # of relative paths: a colon would be a scheme, # and ? would end the path
    return templates.get_template("report.html").render(
        **page,
        figures=FIGURES,
        kinds=KINDS,
        ways=WAYS,
        how_to_read=HOW_TO_READ,
        strips={key: _strips(key, page["reports"]) for key in FIGURES},
        kind_of=[{key: kind for kind in KINDS for key, _ in said[kind]} for said in page["verdicts"]],
    )


def _strips(key, reports):
    """Where a figure's marks lie, in percent of a line that all reports share: [{"value", "low", "high", ...}]."""
    marks = []
    for figure in (report[key] for report in reports):
        low, high = spread(figure) if "value" in figure else (None, None)
        mark = {"low": low, "high": high, **{name: figure.get(name) for name in ("value", "yardstick", "shuffled")}}
        marks.append({name: place for name, place in mark.items() if place is not None})
    places = [place for mark in marks for place in mark.values()]
    left = min([0, *places])
    right = max([1, *places] if FIGURES[key].share or key in ("component_f1", "meaning_match") else [1e-9, *places])
    return [{name: 100 * (place - left) / (right - left) for name, place in mark.items()} for mark in marks]


def curves(reports):
    """Each computed figure against the training step, as SVG: value and spread, yardstick dashed, shuffled dotted.

    reports: of the checkpoints of one run, each with its "step".
    """
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    reports = sorted(reports, key=lambda report: report["step"])
    told = {key: [report for report in reports if "value" in report[key]] for key in FIGURES}
    told = {key: found for key, found in told.items() if found}
    down = max(1, -(-len(told) // 3))
    settings = {"svg.hashsalt": "curves", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.rc_context(settings), io.StringIO() as svg:
        canvas = Canvas(figsize=(10, 2.3 * down + 0.4), layout="constrained")
        canvas.get_layout_engine().set(h_pad=0.1)
        for axes, key in zip(canvas.subplots(down, 3, squeeze=False).flat, [*told, *[None] * 3], strict=False):
            if key is None:
                axes.set_axis_off()
                continue
            steps = [report["step"] for report in told[key]]
            figures = [report[key] for report in told[key]]
            lows, highs = zip(*map(spread, figures), strict=True)
            axes.fill_between(steps, lows, highs, color="tab:blue", alpha=0.2, linewidth=0, label="spread (95%)")
            axes.plot(steps, [figure["value"] for figure in figures], "o-", color="tab:blue", ms=3, label="value")
            for name, style, label in (("yardstick", "--", "real held-out"), ("shuffled", ":", "shuffled prompts")):
                line = [figure.get(name) for figure in figures]
                if None not in line:
                    axes.plot(steps, line, style, color="0.35", lw=1.2, label=label)
            axes.set_title(f"{FIGURES[key].title}. {WAYS[FIGURES[key].better]}", fontsize=9)
            axes.margins(y=0.15)
        named = {}
        for axes in canvas.axes:
            named |= dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
        if named:
            canvas.legend(named.values(), named.keys(), loc="outside upper center", ncols=4, frameon=False)
        canvas.supxlabel("training step", fontsize=9)
        canvas.savefig(svg, format="svg", metadata={"Date": None})
        return svg.getvalue()
