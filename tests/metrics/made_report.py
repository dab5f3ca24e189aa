"""Made-up reports, for what writes and reads them."""

import copy

from PIL import Image

from metrics.figures import FIGURES

# value, yardstick, shuffled: about what a text_to_glyph model measures after half an hour on two cores
VALUES = {
    "fd_glyph": (47, 12.5, None),
    "mmd_glyph": (27, 1.5, None),
    "legibility": (0.71, 0.95, None),
    "copies": (0.0, 0.048, None),
    "diversity": (0.6, 0.94, None),
    "component_f1": (0.057, 0.83, 0.045),
    "radical_hit": (0.042, 0.78, 0.026),
    "meaning_match": (0.53, 0.765, 0.5),
    "strokes": (14.2, 11.9, None),
    "fid": (80, 30, None),
    "kid": (0.05, 0.002, None),
    "clip_score": (21, 23, 20.9),
}

WORDS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a | b",
    "`*_[link](http://example.com)_*`",
    "{{ 7 * 7 }} {% raw %} $x$",
    "書法 😀",
    "two\nlines\r\n# three",
    "long " * 60,
    "\\|",
    "",
]


def figure(value, yardstick, shuffled=None, wide=0.0, n=516, **more):
    """A figure whose spread is `wide` to both sides."""
    made = {
        "value": value,
        "spread": [round(value - wide, 4), round(value + wide, 4)],
        "yardstick": yardstick,
        "n": n,
        **more,
    }
    return made if shuffled is None else made | {"shuffled": shuffled}


def made_report(model="runs/made-up", step=None, fingerprint="7a1c", **figures):
    """A report of all twelve figures; those in `figures` replace the made-up ones."""
    return {
        "model": model,
        "kind": "TextToGlyphPipeline",
        "step": step,
        "dataset": {"path": "data/made-up", "fingerprint": fingerprint, "train": 6000, "test": 300},
        "judge": {"labels": "components", "count": 290, "held_out_map": 0.85},
        "drawings": {"n": 516, "words": 516, "resolution": 48, "settings": {"seed": 0}},
        "notes": ["Small drawings."],
        **{key: figure(*VALUES[key], wide=VALUES[key][0] / 100) for key in FIGURES},
        **copy.deepcopy(figures),
    }


def nothing_computed(why="no weights"):
    return made_report(**{key: {"not_computed": why} for key in FIGURES})


def with_pictures(folder, name="drawing.png", word="fire", **report):
    """A report whose copies have a case of one drawing beside another image, both written to the folder."""
    for path in (folder / name, folder / "real" / name):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (16, 16), 200).save(path, "PNG")
    case = {"image": name, "word": word, "score": 0.9, "beside": f"real/{name}", "beside_label": word}
    return made_report(copies=figure(0.3, 0.05, cases={"best": [], "worst": [case]}), **report)
