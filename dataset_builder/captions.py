"""Captions of a character, out of its meanings and what else is known of it."""

import string

from dataset_builder import DataError

TEMPLATES = {"simple": "{meanings}", "descriptive": "a kanji meaning {meanings}, written with {strokes}"}
KANA_TEMPLATE = "the {meanings}, written with {strokes}"  # descriptive: "the hiragana letter a, ..."
FIELDS = ("meanings", "stroke_count", "radical", "components", "grade")


def check_template(template: str) -> None:
    """Raise DataError unless the template has {meanings} and, besides, only FIELDS."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise DataError(f"--caption_template {template!r}: {error}") from None
    names = [name for _, name, _, _ in parts if name is not None]
    if unknown := [name for name in names if name not in FIELDS]:
        raise DataError(f"--caption_template: no field {{{unknown[0]}}}; there are {{{'}, {'.join(FIELDS)}}}")
    if any(spec or conversion for _, name, spec, conversion in parts if name) or "{{" in template or "}}" in template:
        raise DataError(
            f"--caption_template {template!r}: fields are plain, as {{meanings}}, and other braces are not allowed"
        )
    if "meanings" not in names:
        raise DataError(f"--caption_template {template!r}: it needs {{meanings}}")


def for_new_words(template: str) -> str:
    """The template without the clauses, comma to comma, that need to know more than a meaning.

    A word that has no character has no stroke count: "a kanji meaning {meanings}, {stroke_count} strokes" becomes
    "a kanji meaning {meanings}".
    """
    clauses = [clause for clause in template.split(",") if "{" not in clause.replace("{meanings}", "")]
    plain = ",".join(clauses).strip(" ,")
    return plain if "{meanings}" in plain else "{meanings}"


def write(template: str, meanings: list[str], row: dict) -> list[str]:
    """Captions in the template: first all meanings joined by commas, then, where there are several, each by itself.

    Raises ValueError where the template asks for something that is not known of this character.
    """
    known = {
        "stroke_count": row["stroke_count"],
        "strokes": f"{row['stroke_count']} stroke" + "s" * (row["stroke_count"] != 1),
        "radical": row["radical"],
        "components": " ".join(row["components"]),
        "grade": row["grade"],
    }
    if missing := [name for name, value in known.items() if f"{{{name}}}" in template and not value]:
        raise ValueError(f"no {missing[0]}, which the caption template asks for")
    return [template.format(meanings=m, **known) for m in dict.fromkeys([", ".join(meanings), *meanings])]
