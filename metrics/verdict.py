"""What the figures of a report say, in plain sentences: of one model (verdict), and of several (compare)."""

from metrics.figures import FIGURES, number, shortfall, spread, standing

KINDS = {
    "good": "What is good",
    "fair": "In between, or no merit",
    "bad": "What is bad",
    "untold": "What could not be told",
}

# How far the meaning is followed is counted from shuffled prompts (0) to real characters (1). Below NO_USE a difference
# may be there but is of no use. The nearest meaning in the training data gets to 0.17 by component F1 (0.20 between
# 0.07 and 0.83), and nobody can guess a character from its meaning: who asks for much more than FOLLOWS is unfair.
NO_USE, FOLLOWS = 0.05, 0.15
MEMORISES = 0.25  # of the drawings; from there on copies are what the model does, not what happens to it

# What FD-glyph and MMD-glyph say together was found on known corruptions of real characters: of all of them only a
# collapse (50 characters over and over) had an MMD-glyph below the number of times that FD-glyph was above real.
COLLAPSED = (
    "FD-glyph is high while MMD-glyph is low, and variety is missing: a few different drawings, made over and over "
    "(collapse)."
)

KIND = {
    **{"level": "good", "beyond": "fair", "close": "fair", "short": "bad"},  # against real characters
    **{
        "none": "bad",
        "trace": "bad",
        "little": "fair",
        "part": "good",
        "unclear": "untold",
    },  # against shuffled prompts
    **{"no copy": "good", "memorises": "bad", "few": "bad", "a few": "fair", "many": "bad", "a bit many": "fair"},
}
WORSE = "By {title} the drawings are worse than real ones"
UNCLEAR = "{n} drawings are too few to tell chance from real characters by {title}"
OF_REAL = ": {title} {value}, and {mark} for as many real ones."
MEANING = ": {title} {value}, and {shuffled} with the prompts shuffled; real characters {mark}."
INCEPTION = {
    "level": "By {title} the images are as good as real ones",
    "beyond": "By {title} the images are better than real ones, which is no merit",
    "close": "By {title} the images are nearly as good as real ones",
    "short": "By {title}, a weak judge of drawings like these, the images are worse than real ones",
}

# Of each figure the end of its sentences, and their beginning by the state that it is in.
SENTENCES = {
    "fd_glyph": (
        OF_REAL,
        {
            "level": "As a set, the drawings are distributed like real ones",
            "beyond": "As a set, the drawings lie closer to the training data than real ones do, which is no merit "
            "(copies would)",
            "close": "As a set, the drawings are distributed nearly like real ones",
            "short": "As a set, the drawings are not distributed like real ones",
        },
    ),
    "mmd_glyph": (
        OF_REAL,
        {
            "level": "A typical drawing lies where real ones lie",
            "beyond": "A typical drawing lies closer to the training data than real ones do, which is no merit",
            "short": "A typical drawing does not lie where real ones lie",
        },
    ),
    "legibility": (
        ".",
        {
            "level": "{value} of the drawings pass as characters, and {mark} of real ones do (more would be no merit)",
            "close": "{value} of the drawings pass as characters, nearly as many as the {mark} of real ones",
            "short": "{value} of the drawings pass as characters where {mark} of real ones do",
        },
    ),
    "copies": (
        ".",
        {
            "no copy": "No drawing is a copy",
            "level": "It does not memorise: {value} of the drawings look like a copy of a training image, and {mark} "
            "of real ones do by chance",
            "short": "It memorises some: {value} of the drawings look like a copy of a training image where {mark} "
            "of real ones do by chance",
            "memorises": "It memorises: {value} of the drawings look like a copy of a training image where {mark} of "
            "real ones do by chance",
        },
    ),
    "diversity": (
        ": {value} of the real variety is covered, and real ones cover {mark}.",
        {
            "level": "It does not repeat itself",
            "close": "It repeats itself a little",
            "short": "It repeats itself, or draws what is unlike the training data",
        },
    ),
    "component_f1": (
        MEANING,
        {
            "none": "Its drawings do not follow the meaning",
            "trace": "Its drawings hardly follow the meaning",
            "little": "Its drawings follow the meaning a little",
            "part": "Its drawings follow the meaning in part",
            "level": "Its drawings have the parts of their meaning as real characters do",
            "beyond": "Its drawings show the parts of their meaning better than real characters, which is no merit",
        },
    ),
    "radical_hit": (
        MEANING,
        {
            "none": "The radical is right no more often than by chance",
            "trace": "The radical is right hardly more often than by chance",
            "little": "The radical is right a little more often than by chance",
            "part": "The radical is right more often than by chance",
            "level": "The radical is right as often as in real characters",
            "beyond": "The radical is plainer than in real characters, which is no merit",
        },
    ),
    "meaning_match": (
        MEANING,
        {
            "none": "A drawing fits its own prompt no better than another's",
            "trace": "A drawing fits its own prompt hardly better than another's",
            "little": "A drawing fits its own prompt a little better than another's",
            "part": "A drawing fits its own prompt better than another's",
            "level": "A drawing fits its own prompt as well as real characters do",
            "beyond": "A drawing fits its own prompt better than real characters do, which is no merit: a model that "
            "learnt its data by heart gets this",
        },
    ),
    "strokes": (
        ": {value} a drawing, and {mark} in real ones.",
        {
            "level": "The drawings have as many strokes as real characters",
            "a few": "The drawings have slightly too few strokes",
            "few": "The drawings have too few strokes",
            "a bit many": "The drawings have slightly too many strokes",
            "many": "The drawings have too many strokes",
        },
    ),
    "fid": (OF_REAL, INCEPTION),
    "kid": (OF_REAL, INCEPTION),
    "clip_score": (
        OF_REAL,
        {
            "none": "CLIP sees the word in the drawing no better than another word",
            "trace": "CLIP sees the word in the drawing hardly better than another word",
            "little": "CLIP sees the word in the drawing a little better than another word",
            "part": "CLIP sees the word in the drawing better than another word",
            "level": "CLIP sees the word in the drawing as well as in the real one",
            "beyond": "CLIP sees the word in the drawing better than in the real one, which may be a picture of "
            "the thing",
            "close": "CLIP sees the word in the drawing nearly as well as in the real one",
            "short": "CLIP sees the word in the drawing less than in the real one",
        },
    ),
}


def _state(key, figure):
    """The state of a figure, by which its sentence is chosen. What lies within the spread counts as equal."""
    where, shuffled = standing(key, figure), figure.get("shuffled")
    if key in ("legibility", "copies", "diversity") and where == "beyond":
        where = "level"
    if key == "copies" and not figure["value"]:
        return "no copy"
    if key == "copies" and where == "short" and figure["value"] > MEMORISES:
        return "memorises"
    if key == "strokes" and where != "level":
        more = figure["value"] > figure["yardstick"]
        return ("a bit many" if more else "a few") if where == "close" else ("many" if more else "few")
    if shuffled is None:
        return where
    by_chance = spread(figure)[0] <= shuffled
    if by_chance or where in ("level", "beyond"):
        return where if not by_chance else "none" if where == "short" else "unclear"
    followed = (figure["value"] - shuffled) / (figure["yardstick"] - shuffled)
    return "trace" if followed < NO_USE else "little" if followed < FOLLOWS else "part"


def _collapsed(fd, mmd, diversity):
    if any(figure.get("yardstick") is None for figure in (fd, mmd, diversity)):
        return False
    times = fd["value"] / max(fd["yardstick"], 1e-9)
    low_mmd = mmd["value"] - mmd["yardstick"] < times
    return times > 2 and low_mmd and diversity["value"] < diversity["yardstick"] / 2


def verdict(report):
    """What one report says of its model: {"good": [(key, sentence)], "fair", "bad", "untold": the same}."""
    said, missing = {kind: [] for kind in KINDS}, {}
    for key, about in FIGURES.items():
        figure = report[key]
        if "not_computed" in figure:
            missing.setdefault(figure["not_computed"].rstrip("."), []).append(key)
            continue
        numbers = {name: number(figure.get(name), key) for name in ("value", "shuffled")}
        if figure.get("yardstick") is None:
            said["untold"].append((key, f"{about.title} is {numbers['value']}; no yardstick says if that is much."))
            continue
        state = _state(key, figure)
        end, beginnings = SENTENCES[key]
        sentence = UNCLEAR + end if state == "unclear" else beginnings.get(state, WORSE) + end
        mark = number(figure["yardstick"], key)
        title = about.title if about.title[1].isupper() else about.title.lower().replace("f1", "F1")
        said[KIND[state]].append((key, sentence.format(title=title, n=figure["n"], mark=mark, **numbers)))
    if _collapsed(report["fd_glyph"], report["mmd_glyph"], report["diversity"]):
        said["bad"].append(("diversity", COLLAPSED))
    for why, keys in missing.items():
        titles = " and ".join(", ".join(FIGURES[key].title for key in keys).rsplit(", ", 1))
        said["untold"].append((keys[0], f"{titles} {'were' if len(keys) > 1 else 'was'} not computed: {why}."))
    return said


def compare(reports, names, noun):
    """Which of several is best by which figure: (sentence for the top, {key: sentence}, [index of the best]).

    names: what to call each report; noun: what they are ("model", "checkpoint"). Two whose spreads overlap are not told
    apart, what is better than real characters counts as equal to them, and figures that depend on the number of
    drawings are compared only at the same one.
    """
    if len({str(report["dataset"].get("fingerprint")) for report in reports}) > 1:
        return f"The {noun}s were judged on different data, and their figures do not compare.", {}, []
    sentences, wins, compared = {}, [0] * len(reports), 0
    for key, about in FIGURES.items():
        figures = {i: report[key] for i, report in enumerate(reports) if report[key].get("yardstick") is not None}
        if len(figures) < 2:
            continue
        counts = sorted({figure["n"] for figure in figures.values()})
        if about.same_n and len(counts) > 1:
            different = " and ".join(f"{n:,}" for n in counts)
            sentences[key] = f"does not compare: of {different} drawings, and it depends on their number."
            continue
        if any("spread" not in figure for figure in figures.values()):
            sentences[key] = "does not tell: without a spread a difference may be chance."
            continue
        short = {i: shortfall(key, figure) for i, figure in figures.items()}
        best = min(short, key=lambda i: short[i][1])
        level = [i for i in short if i == best or short[i][0] <= short[best][2]]
        shown = {i: f"{names[i]} ({number(figures[i]['value'], key)})" for i in figures}
        sentences[key] = f"{shown[best]} is best."
        if len(level) == len(figures):
            sentences[key] = f"no {noun} is clearly better."
        elif len(level) > 1:
            sentences[key] = f"{', '.join(shown[i] for i in level)} are best, none of them clearly better."
        compared += 1
        for i in level:
            wins[i] += 1
    most = max(wins)
    winners = [i for i, won in enumerate(wins) if won == most]
    if not compared:
        return f"No figure was computed by which the {noun}s compare.", sentences, []
    if len(winners) == len(reports):
        return f"No {noun} is clearly better than the others by most figures.", sentences, []
    who = " and ".join(names[i] for i in winners)
    return f"Best, or level with the best, by most figures ({most} of {compared}): {who}.", sentences, winners
