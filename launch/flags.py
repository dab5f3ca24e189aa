"""A recipe -> the arguments of its script, each checked against the script's own flags.

    python -m launch.flags CALLER_FOLDER [RECIPE] [--flag value ...] [--accelerate_config PATH] [--check]

prints what launch_training.sh needs to know as assignments, quoted for the shell. A recipe is flat YAML: `true` becomes
`--key`, a list `--key a b`, and any other value `--key=value`, letter for letter as it is written in the file. What
YAML would read as something else than it looks like (no, 010, 1:30, a date) is an error that says what to write.
"""

import ast
import difflib
import math
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from launch.script import script_path

DEFAULT_RECIPE = "recipes/train_text_to_glyph/quickstart.yaml"
TINY_MODEL = "runs/tiny-stable-diffusion"  # made by models/tiny_stable_diffusion.py where it is missing
PLAIN_NUMBER = re.compile(r"[-+]?((0|[1-9]\d*)(\.\d*)?|\.\d+)([eE][-+]?\d+)?")  # reads the same in YAML and Python
VALUELESS = ("store_true", "store_false", "store_const", "append_const", "count")  # argparse's actions without a value
NEGATIVE_NUMBER = re.compile(r"-\d+|-\d*\.\d+")  # what argparse takes for a value although it starts with "-"


class Setting(NamedTuple):
    """What a recipe or the command line says of one flag."""

    value: bool | str | list[str]  # True, a text, or texts
    where: str  # "recipes/train_text_to_glyph/quickstart.yaml, line 7"


class Flag(NamedTuple):
    """What a script's add_argument says of one flag; a name that argparse would accept is a key of `script_flags`."""

    names: tuple[str, ...]  # without the leading --
    nargs: Any  # argparse's, or 0 for an action that takes no value
    type: str | None  # name of the converting function
    choices: list | None
    required: bool
    default: Any  # None where there is none, or the source computes it


def read_recipe(path: Path) -> dict[str, Setting]:
    """The settings of a recipe. Raises ValueError that names file, line and key, or OSError."""
    try:
        root = yaml.compose(path.read_text("utf-8"), Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        raise ValueError(f"{path}{line}: not YAML: {problem}") from None
    if not isinstance(root, yaml.MappingNode) or not root.value:
        raise ValueError(f"{path}: a recipe is lines of `key: value`, the keys being flags of its script")
    settings = {}
    for key_node, node in root.value:
        where = f"{path}, line {key_node.start_mark.line + 1}"
        if not isinstance(key_node, yaml.ScalarNode):
            raise ValueError(f"{where}: a key must be the name of a flag")
        key = key_node.value
        if key in settings:
            raise ValueError(f"{where}: {key} stands here twice, first in {settings[key].where}: keep one")
        try:
            settings[key] = Setting(_value(node), where)
        except ValueError as error:
            raise ValueError(f"{where}: {key} {error}") from None
    return settings


def _value(node: yaml.Node) -> bool | str | list[str]:
    """True, the text as written, or a list of texts. Raises ValueError with what follows "KEY " in the message."""
    kind = node.tag.rpartition(":")[2]
    if isinstance(node, yaml.MappingNode):
        raise ValueError("has keys below it: a recipe is flat, a key and its value")
    if isinstance(node, yaml.SequenceNode):
        if kind != "seq":
            raise ValueError(f"has the tag {kind}: a list needs none")
        if not node.value:
            raise ValueError("is an empty list: leave the key out")
        texts = [_value(item) for item in node.value]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("is a list that holds something else than texts and numbers")
        for text in texts:
            if text.startswith("-") and not NEGATIVE_NUMBER.fullmatch(text):
                raise ValueError(f'has "{text}" in its list, which the script would take for a flag')
        return texts
    text = node.value
    if "\0" in text:
        raise ValueError("holds a NUL character, which no command line can carry")
    if kind == "str":
        return text
    if kind == "bool" and text.lower() == "true":
        return True
    if kind == "bool" and text.lower() == "false":
        raise ValueError("is false: leave the key out, a flag that is not there is off")
    if kind == "bool":
        raise ValueError(f'is {text}, which YAML reads as true or false: write "{text}" in quotes, or true')
    if kind == "null":
        raise ValueError('has no value: leave the key out (or write "" for an empty text)')
    if kind in ("int", "float") and PLAIN_NUMBER.fullmatch(text):
        return text
    kind = "another number" if kind in ("int", "float") else f"a {kind}"
    raise ValueError(f'is {text}, which YAML reads as {kind}: write a plain number, or "{text}" in quotes')


def read_command_line(argv: list[str]) -> dict[str, Setting]:
    """The settings that `--key=value`, `--key value ...` and `--key` make; of a repeated flag the last one counts."""
    settings = {}
    words = list(argv)
    while words:
        word = words.pop(0)
        if not re.match("--[^=-]", word):
            raise ValueError(f"{word}: not a flag (--flag value; paths of recipes come first)")
        key, equals, text = word[2:].partition("=")
        values = [text] if equals else []
        while not equals and words and not words[0].startswith("--"):
            values.append(words.pop(0))
        value = values[0] if len(values) == 1 else values
        settings[key] = Setting(value if values else True, f"--{key}")
    return settings


def to_argv(settings: dict[str, Setting]) -> list[str]:
    """The arguments of the script, in order. `read_command_line` is the way back."""
    argv = []
    for key, (value, _) in settings.items():
        if value is True:
            argv.append(f"--{key}")
        elif isinstance(value, list):
            argv += [f"--{key}", *value]
        else:
            argv.append(f"--{key}={value}")
    return argv


def script_flags(script: Path) -> dict[str, Flag]:
    """The flags of a training script by name, read from its source: importing it would take seconds."""
    source = ast.parse(script.read_text("utf-8"), str(script))
    constants = {}  # CHOICES = ("a", "b") at the top of the script
    for statement in source.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            constants[statement.targets[0].id] = statement.value
    flags = {}
    for call in ast.walk(source):
        if not (isinstance(call, ast.Call) and getattr(call.func, "attr", None) == "add_argument"):
            continue
        names = [_literal(name) for name in call.args]
        names = tuple(name[2:] for name in names if isinstance(name, str) and name.startswith("--"))
        options = {option.arg: option.value for option in call.keywords}
        on_or_off = getattr(options.get("action"), "attr", None) == "BooleanOptionalAction"
        if on_or_off:
            names += tuple(f"no-{name}" for name in names)
        choices = options.get("choices")
        choices = _literal(constants.get(choices.id) if isinstance(choices, ast.Name) else choices)
        flag = Flag(
            names,
            nargs=0 if on_or_off or _literal(options.get("action")) in VALUELESS else _literal(options.get("nargs")),
            type=getattr(options.get("type"), "id", None),
            choices=list(choices) if choices else None,
            required=_literal(options.get("required")) is True,
            default=_literal(options.get("default")),
        )
        flags.update(dict.fromkeys(names, flag))
    return flags


def _literal(node: ast.expr | None) -> Any:
    """The constant that `node` spells out, or None where the source computes it."""
    try:
        return ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None


def check(settings: dict[str, Setting], flags: dict[str, Flag], recipe: Path, script: Path) -> None:
    """Raises ValueError for the first setting that `script` would not take as it is meant."""
    for key, (value, where) in settings.items():
        if key not in flags:
            near = difflib.get_close_matches(key, flags, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            others = [path for path in sorted(script.parent.glob("train_*.py")) if key in script_flags(path)]
            hint += f"; it belongs to {', '.join(path.name for path in others)}" if others else ""
            raise ValueError(f"{where}: {script.name} has no flag --{key}{hint}")
        flag = flags[key]
        values = [] if value is True else value if isinstance(value, list) else [value]
        if flag.nargs == 0 and values:
            raise ValueError(f"{where}: {key} takes no value: it is `true` in a recipe, or not there")
        expected = {None: 1, "?": min(len(values), 1), "*": len(values), "+": max(len(values), 1)}
        if len(values) != expected.get(flag.nargs, flag.nargs):
            wanted = {None: "one value", "?": "one value at most", "+": "one value or more"}.get(flag.nargs)
            raise ValueError(f"{where}: {key} takes {wanted or f'{flag.nargs} values'}, not {len(values)}")
        for text in values:
            if flag.type in ("int", "float") and not _is_number(text, flag.type):
                raise ValueError(f"{where}: {key} takes {flag.type} numbers, not {text!r}")
            if flag.choices and text not in map(str, flag.choices):
                raise ValueError(f"{where}: {key} is one of {', '.join(map(str, flag.choices))}, not {text!r}")
    for flag in flags.values():
        if flag.required and not settings.keys() & set(flag.names):
            raise ValueError(f"{recipe}: {script.name} needs --{flag.names[0]}: add `{flag.names[0]}: VALUE`")


def _is_number(text: str, kind: str) -> bool:
    try:
        return math.isfinite({"int": int, "float": float}[kind](text))
    except (ValueError, OverflowError):
        return False


def find(path: str, caller: str) -> Path:
    """A path as it was typed in the folder `caller`, or else as seen from the project's folder."""
    from_caller = Path(caller, path).resolve()
    if not from_caller.exists():
        return Path(path)
    return from_caller.relative_to(Path.cwd()) if from_caller.is_relative_to(Path.cwd()) else from_caller


def builder(data_dir: str) -> str:
    """The NAME of `python -m dataset_builder NAME` that has still to make `data_dir`, or "" if it is there.

    Raises ValueError if it is not there and no builder makes it.
    """
    parts = Path(os.path.relpath(data_dir)).parts
    if len(parts) == 3 and parts[::2] == ("data", "train"):
        whole = Path("data", parts[1], "build.json").is_file()  # the builder writes it last
        if not whole and Path("dataset_builder", "sources", f"{parts[1]}.py").is_file():
            return parts[1]
    if not Path(data_dir).is_dir():
        raise ValueError(f"no training data at {data_dir}: `python -m dataset_builder NAME` makes data/NAME/train")
    return ""


def main(caller: str, *argv: str) -> None:
    """Prints the answers: recipe, script, flags, output_dir, build, base_model, accelerate_config and check."""
    words = [word for word in argv if word != "--check"]
    accelerate_config = Path("accelerate_config.yaml")
    for place, word in enumerate(words):
        if word.partition("=")[0] == "--accelerate_config":
            path = word.partition("=")[2] or "".join(words[place + 1 : place + 2])
            accelerate_config = find(path, caller)
            if not path or not accelerate_config.is_file():
                raise ValueError(f"--accelerate_config: no file {path or '(it takes a PATH)'}")
            del words[place : place + (1 if "=" in word else 2)]
            break
    recipe = find(words.pop(0), caller) if words and not words[0].startswith("-") else Path(DEFAULT_RECIPE)
    if not recipe.is_file():
        known = "\n".join(f"  {path}" for path in sorted(Path("recipes").glob("*/*.yaml")))
        raise ValueError(f"no recipe {recipe}; there are:\n{known}")

    settings = read_recipe(recipe) | read_command_line(words)
    name = recipe.absolute().parent.name
    try:
        script = script_path(name)
        check(settings, script_flags(script), recipe, script)
    except OSError as error:  # no way to fetch it: the rest can be looked at all the same
        if "--check" not in argv:
            raise
        script = Path(f"{name}.py")
        print(f"Not seen  the flags of {script}: {error}", file=sys.stderr)
    texts = {key: setting.value for key, setting in settings.items() if isinstance(setting.value, str)}
    if "output_dir" not in texts:
        raise ValueError(f"{recipe}: no output_dir: add `output_dir: runs/NAME`")
    make_model = texts.get("pretrained_model_name_or_path") == TINY_MODEL and not Path(TINY_MODEL).exists()

    answers = {"recipe": recipe, "script": script, "output_dir": texts["output_dir"]}
    answers |= {"build": builder(texts["train_data_dir"]) if "train_data_dir" in texts else ""}
    answers |= {"base_model": TINY_MODEL if make_model else "", "accelerate_config": accelerate_config}
    answers |= {"check": "check" if "--check" in argv else ""}
    print("\n".join(f"{name}={shlex.quote(str(value))}" for name, value in answers.items()))
    print(f"flags=({shlex.join(to_argv(settings))})")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
