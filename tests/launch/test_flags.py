"""A recipe becomes the arguments that it looks like, or an error that says where and what to write."""

import subprocess
import sys
from pathlib import Path

import pytest

from launch import flags
from launch.flags import read_command_line, read_recipe, script_flags, to_argv

SCRIPT = """
import argparse, does_not_exist
SCHEDULES = ("constant", "cosine")
parser = argparse.ArgumentParser()
group = parser.add_argument_group("a group")
group.add_argument("--output_dir", "--out", required=True)
parser.add_argument("--max_train_steps", type=int, default=None)
parser.add_argument("-lr", "--learning_rate", type=float, help="--not_a_flag")
parser.add_argument("--use_ema", action="store_true")
parser.add_argument("--validation_prompts", nargs="+")
parser.add_argument("--size", type=int, nargs=2)
parser.add_argument("--lr_scheduler", choices=SCHEDULES)
parser.add_argument("--levels", type=int, choices=[1, 2])
parser.add_argument("--xformers", action=argparse.BooleanOptionalAction)
parser.add_argument("--prompt", type=str)
parser.add_argument("--variant", nargs="?")
"""


@pytest.fixture
def script(tmp_path) -> Path:
    path = tmp_path / "train_fake.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def recipe(tmp_path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "tiny.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize(
    ("line", "argv"),
    [
        ("use_ema: true", ["--use_ema"]),
        ("use_ema: True", ["--use_ema"]),
        ("learning_rate: 1e-4", ["--learning_rate=1e-4"]),  # a text to YAML 1.1, a number to the script
        ("learning_rate: 5.0e-05", ["--learning_rate=5.0e-05"]),
        ("learning_rate: .5", ["--learning_rate=.5"]),
        ("max_train_steps: 500", ["--max_train_steps=500"]),
        ("max_train_steps: -1", ["--max_train_steps=-1"]),
        ("max_train_steps: 0", ["--max_train_steps=0"]),
        ('prompt: "no"', ["--prompt=no"]),
        ("prompt: '010'", ["--prompt=010"]),
        ('prompt: ""', ["--prompt="]),
        ("prompt: --use_ema", ["--prompt=--use_ema"]),
        ("prompt: 森 の 'fire' \"x\" $HOME `id`", ["--prompt=森 の 'fire' \"x\" $HOME `id`"]),
        ("prompt: a=b", ["--prompt=a=b"]),
        ('prompt: "two\\nlines"', ["--prompt=two\nlines"]),
        ("validation_prompts: [forest fire, 'no', 3]", ["--validation_prompts", "forest fire", "no", "3"]),
        ("validation_prompts:\n  - one\n", ["--validation_prompts", "one"]),
        ("size: [-1, 2]", ["--size", "-1", "2"]),
    ],
)
def test_a_value_reaches_the_script_letter_for_letter(recipe, line, argv):
    settings = read_recipe(recipe(line))
    assert to_argv(settings) == argv
    # and the command line that it makes is read as the same settings
    assert {key: value for key, (value, _) in read_command_line(argv).items()} in (
        {key: value for key, (value, _) in settings.items()},
        {"validation_prompts": "one"},  # a list of one is no list on a command line
    )


@pytest.mark.parametrize(
    ("line", "what_to_do"),
    [
        ("use_ema: false", "leave the key out"),
        ("use_ema: No", '"No" in quotes'),
        ("mixed_precision: no", '"no" in quotes'),
        ("use_ema: yes", "or true"),
        ("use_ema: on", "or true"),
        ("prompt:", "has no value"),
        ("prompt: null", "has no value"),
        ("prompt: ~", "has no value"),
        ("prompt: {a: b}", "a recipe is flat"),
        ("prompt:\n  a: b", "a recipe is flat"),
        ("validation_prompts: []", "leave the key out"),
        ("validation_prompts: [a, [b]]", "something else than texts and numbers"),
        ("validation_prompts: [a, true]", "something else than texts and numbers"),
        ("validation_prompts: [a, no]", '"no" in quotes'),
        ("validation_prompts: [a, null]", "has no value"),
        ("validation_prompts: [a, --use_ema]", "take for a flag"),
        ("max_train_steps: 010", '"010" in quotes'),
        ("max_train_steps: 0x10", "plain number"),
        ("max_train_steps: 1_000", "plain number"),
        ("max_train_steps: 1:30", "plain number"),
        ("learning_rate: .nan", "plain number"),
        ("learning_rate: -.inf", "plain number"),
        ("prompt: 2026-01-02", '"2026-01-02" in quotes'),
        ("prompt: !!binary aGk=", "in quotes"),
        ("prompt: !!python/object/apply:os.system [id]", "os.system"),
        ("prompt: !!python/name:os.system", "os.system"),
        ('prompt: "a\\0b"', "NUL"),
        ("max_train_steps: 5\nprompt: a\nmax_train_steps: 6", "twice, first in"),
        ("? [a]\n: b", "name of a flag"),
        ("<<: {prompt: a}", "a recipe is flat"),
    ],
)
def test_what_yaml_reads_otherwise_than_it_looks_is_an_error_with_file_line_and_key(recipe, line, what_to_do):
    path = recipe("# a comment\n" + line)
    with pytest.raises(ValueError) as error:
        read_recipe(path)
    line_number = 4 if "twice" in what_to_do else 2
    assert str(error.value).startswith(f"{path}, line {line_number}: ")
    assert line.rpartition("\n")[2].partition(":")[0].strip("? ") in str(error.value) or line.startswith("?")
    assert what_to_do in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lines of `key: value`"),
        ("- a\n- b", "lines of `key: value`"),
        ("just a text", "lines of `key: value`"),
        ("a: b: c", "line 1: not YAML"),
        ("a: [1, 2\nb: 3", "line 2: not YAML"),
        ("a: 1\n---\nb: 2", "line 2: not YAML"),
        ("a: *nowhere", "line 1: not YAML"),
        (b"a: \xff\xfe", "not UTF-8"),
        ("a: \x07", "not YAML"),
    ],
)
def test_a_file_that_is_no_recipe_is_one_line_that_names_it(recipe, text, message):
    with pytest.raises(ValueError) as error:
        read_recipe(recipe(text))
    assert "tiny.yaml" in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_flags_are_read_without_importing_the_script(script):
    found = script_flags(script)
    assert "not_a_flag" not in found
    assert "lr" not in found
    assert found["out"] is found["output_dir"]
    assert found["output_dir"].required
    assert found["lr_scheduler"].choices == ["constant", "cosine"]
    assert "no-xformers" in found


@pytest.mark.parametrize(
    "line",
    [
        "use_ema: true",
        "xformers: true",
        "no-xformers: true",
        "size: [3, 4]",
        "validation_prompts: one",
        "lr_scheduler: cosine",
        "levels: 2",
        "variant: true",
        "learning_rate: 1e-4",
        "out: elsewhere",
    ],
)
def test_what_the_script_takes_passes(script, recipe, line):
    path = recipe(f"output_dir: runs/tiny\n{line}")
    flags.check(read_recipe(path), script_flags(script), path, script)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("max_train_step: 5", "no flag --max_train_step; did you mean max_train_steps?"),  # argparse would take it
        ("max-train-steps: 5", "did you mean max_train_steps?"),
        ("--max_train_steps: 5", "did you mean max_train_steps?"),
        ("zzz: 5", "train_fake.py has no flag --zzz"),
        ("lr: 5", "no flag --lr"),
        ("use_ema: 5", "use_ema takes no value"),
        ('use_ema: "true"', "use_ema takes no value"),
        ("xformers: 1", "xformers takes no value"),
        ("max_train_steps: true", "max_train_steps takes one value, not 0"),
        ("max_train_steps: [1, 2]", "max_train_steps takes one value, not 2"),
        ("validation_prompts: true", "takes one value or more, not 0"),
        ("size: 3", "size takes 2 values, not 1"),
        ("variant: [a, b]", "takes one value at most"),
        ("max_train_steps: 1e3", "takes int numbers, not '1e3'"),
        ("max_train_steps: many", "takes int numbers"),
        ("learning_rate: nan", "takes float numbers"),
        ("learning_rate: 1e999", "takes float numbers"),
        ("size: [3, big]", "takes int numbers"),
        ("lr_scheduler: cosin", "is one of constant, cosine, not 'cosin'"),
        ("levels: 3", "is one of 1, 2"),
    ],
)
def test_what_the_script_would_not_take_is_an_error_with_file_line_and_key(script, recipe, line, message):
    path = recipe(f"output_dir: runs/tiny\n{line}")
    with pytest.raises(ValueError) as error:
        flags.check(read_recipe(path), script_flags(script), path, script)
    assert str(error.value).startswith(f"{path}, line 2: ")
    assert message in str(error.value)


def test_a_flag_that_only_another_script_has_is_said_to_be_its(script, recipe):
    script.with_name("train_other.py").write_text('parser.add_argument("--rank", type=int)')
    path = recipe("output_dir: runs/tiny\nrank: 4")
    with pytest.raises(ValueError, match="has no flag --rank; it belongs to train_other"):
        flags.check(read_recipe(path), script_flags(script), path, script)


def test_a_required_flag_that_is_missing_is_named(script, recipe):
    path = recipe("use_ema: true")
    with pytest.raises(ValueError, match="needs --output_dir"):
        flags.check(read_recipe(path), script_flags(script), path, script)


@pytest.mark.parametrize(
    ("argv", "settings"),
    [
        (["--a", "1"], {"a": "1"}),
        (["--a=1"], {"a": "1"}),
        (["--a=1", "--a", "2"], {"a": "2"}),
        (["--a"], {"a": True}),
        (["--a", "1", "2", "--b"], {"a": ["1", "2"], "b": True}),
        (["--a", "-1"], {"a": "-1"}),
        (["--a=--b"], {"a": "--b"}),
        (["--a="], {"a": ""}),
    ],
)
def test_the_command_line_is_read_as_argparse_reads_it(argv, settings):
    assert {key: value for key, (value, _) in read_command_line(argv).items()} == settings


@pytest.mark.parametrize("argv", [["5"], ["--a=1", "2"], ["-a", "1"], ["--"], ["--=1"], ["---a"]])
def test_a_word_that_belongs_to_no_flag_is_an_error(argv):
    with pytest.raises(ValueError, match="not a flag"):
        read_command_line(argv)


def test_the_check_agrees_with_argparse_on_our_own_trainers(root):
    """What the source says of each flag is what the running parser has."""
    trainers = sorted((root / "trainers").glob("train_*.py"))
    if not trainers:
        pytest.skip("needs a script in trainers/")
    for trainer in trainers:
        code = f"""
import argparse, runpy, sys
def report(parser, *_, **__):
    for action in parser._actions:
        print(*sorted(n[2:] for n in action.option_strings if n.startswith("--")), action.nargs, bool(action.required),
                  repr(action.default or None))
    sys.exit()
argparse.ArgumentParser.parse_args = argparse.ArgumentParser.parse_known_args = report
runpy.run_path({str(trainer)!r}, run_name="__main__")
"""
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
        expected = {line for line in answer.stdout.splitlines() if not line.startswith("help ")}
        found = {
            f"{' '.join(sorted(flag.names))} {flag.nargs} {flag.required} {flag.default or None!r}"
            for flag in script_flags(trainer).values()
        }
        assert found == expected
