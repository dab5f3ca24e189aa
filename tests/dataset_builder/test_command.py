"""`python -m dataset_builder`, as it is typed."""

import json
import re
import shlex

import pytest


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "NAME"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["../kanji"], "invalid choice"),
        (["__init__"], "invalid choice"),
        (["starter", "--nonsense"], "--nonsense"),
        (["starter", "--resol", "64"], "--resol"),
        (["starter", "extra"], "extra"),
        (["starter", "--resolution", "0"], "whole number from 16 to 4096"),
        (["starter", "--resolution", "64.5"], "whole number from 16 to 4096"),
        (["starter", "--resolution", "5000"], "whole number from 16 to 4096"),
        (["starter", "--test_fraction", "1"], "number from 0 to 0.99"),
        (["starter", "--test_fraction", "-0.1"], "number from 0 to 0.99"),
        (["starter", "--test_fraction", "nan"], "number from 0 to 0.99"),
        (["starter", "--test_fraction", "half"], "number from 0 to 0.99"),
        (["starter", "--stroke_width", "0"], "number from 0.5 to 30"),
        (["starter", "--stroke_width", "inf"], "number from 0.5 to 30"),
        (["starter", "--margin", "-1"], "number from 0 to 109"),
        (["starter", "--max_meanings", "0"], "whole number from 1"),
        (["starter", "--max_samples", "0"], "whole number from 1"),
        (["starter", "--num_proc", "0"], "whole number from 1 to 256"),
        (["starter", "--caption_style", "poetic"], "invalid choice: 'poetic'"),
        (["starter", "--caption_style", "template"], "--caption_template"),
        (["starter", "--caption_template", "{meanings}"], "--caption_style template"),
        (["starter", "--caption_style", "template", "--caption_template", "a {kanji}"], "no field {kanji}"),
        (["starter", "--kanjivg", "x"], "--kanjivg"),
        (["starter", "--export", "csv"], "invalid choice: 'csv'"),
        (["starter", "--public"], "--push_to_hub USER/NAME"),
        (["starter", "--export", "parquet", "--public"], "--push_to_hub USER/NAME"),
        *(
            (["starter", "--push_to_hub", name], "not of the form USER/NAME")
            for name in ("", "name", "user/", "/name", "a/b/c", "user/two words", "user/..", "user/a--b", "user/a.git")
        ),
        (["starter", "--push_to_hub", f"user/{'x' * 100}"], "not of the form USER/NAME"),
        (["starter", "--push_to_hub", "https://huggingface.co/datasets/user/name"], "not of the form USER/NAME"),
    ],
)
def test_a_wrong_command_is_one_line_and_writes_nothing(build, tmp_path, arguments, complaint):
    code, said = build(*arguments)
    assert code in (1, 2) and complaint in said and len(said.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_help_names_every_source_and_needs_nothing_heavy(start):
    process = start("--help", env={"PYTHONPATH": "", "PYTHONPROFILEIMPORTTIME": "1"})
    said, imported = process.communicate()
    assert process.returncode == 0 and "kanji " in said and "starter " in said
    names = set(re.findall(r"\| +([\w.]+)$", imported, re.M))
    heavy = {"torch", "datasets", "huggingface_hub", "httpx", "pyarrow", "numpy", "PIL.Image", "resvg_py", "tqdm"}
    assert "argparse" in names and names.isdisjoint(heavy)


@pytest.mark.parametrize("name", ["kanji", "starter"])
def test_the_help_of_a_source_explains_each_of_its_options(start, name):
    said, _ = start(name, "--help").communicate()
    options = re.findall(r"^  (--\w+)(?: [A-Z_{].*?)?(?:  +(\S.*))?\n(?: {10,}(\S.*))?", said, re.M)
    assert len(options) > 10 and all(same_line or next_line for _, same_line, next_line in options)


def test_starter_is_80_characters_to_train_on_from_any_folder(build, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert build("starter", "--resolution", "32")[0] == 0
    said = json.loads((tmp_path / "out" / "build.json").read_text())
    assert (said["counts"]["train"], said["counts"]["test"], said["counts"]["dropped"]) == (80, 0, 0)
    assert said["caption_template"] == "{meanings}"
    assert [source["given"] for source in said["sources"]] == [
        "dataset_builder/starter/kanjidic2.xml",
        "dataset_builder/starter/kanjivg.xml",
    ]
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    assert "license: cc0-1.0" in card and "public domain" in card


def test_the_card_is_valid_and_credits_both_sources_as_they_ask(small, build, tmp_path):
    import yaml

    build(*small)
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["license"] == "cc-by-sa-4.0" and head["language"] == ["en", "ja"]
    assert head["task_categories"] == ["text-to-image"] and head["size_categories"] == ["n<1K"]
    files = head["configs"][0]["data_files"]
    assert files == [{"split": "train", "path": "train/**"}, {"split": "test", "path": "test/**"}]
    assert str(tmp_path) not in card  # whose disk it was built on
    for credit in (
        "Electronic Dictionary Research and Development Group",
        "https://www.edrdg.org/edrdg/licence.html",
        "Ulrich Apel",
        "https://kanjivg.tagaini.net",
        "https://creativecommons.org/licenses/by-sa/3.0/",
    ):
        assert credit in card
    assert card.count("changed:") == 2  # CC BY-SA wants it said
    assert "30 images" in card and "| no drawing in KanjiVG | 1 |" in card and "$" not in card


@pytest.mark.parametrize(
    "options",
    [
        ["--test_fraction", "0", "--one_row_per_meaning", "--max_samples", "7"],
        ["--caption_style", "template", "--caption_template", "it's {meanings}, {stroke_count} strokes"],
    ],
)
def test_the_command_in_the_card_asks_for_the_same_dataset(small, build, tmp_path, options):
    build(*small, *options)
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    command = shlex.split(re.search(r"^python -m dataset_builder (.*)$", card, re.M)[1])
    assert build(*command, *small[1:5]) == (0, "")  # recognised as the one that is there
