"""Rows are read as `datasets` reads them: every table here is put before both."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from launch.rows import read_rows

LINK, PNG = "a link to ", "a picture"
CAT, NA = {"a.png": PNG}, ("NA", "null", "None", "nan", "", "no", "Nan")
A, B = {"file_name": "a.png", "text": "a cat"}, {"file_name": "b.png", "text": "a dog"}
ODD_NAMES = ["a b.png", "50%.png", "火.png", "two\nlines.png", "h#.png", "q?.png", "[x].png", "a:b.png", "UP.PNG"]


def make(folder, files):
    """Files by their name: rows (a list), text, bytes, PNG, or LINK with what it points to."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        if content == PNG:
            Image.new("L", (8, 8), 255).save(path, "PNG")
        elif isinstance(content, str) and content.startswith(LINK):
            path.symlink_to(folder / content.removeprefix(LINK))
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.fixture
def in_datasets(tmp_path):
    """Loads a folder as the official scripts do -> (columns, {(name of the image, its text)})."""

    def load(folder):
        import datasets

        datasets.disable_progress_bars()
        files = {"train": os.path.join(folder, "**")}
        rows = datasets.load_dataset("imagefolder", data_files=files, cache_dir=str(tmp_path / "cache"))["train"]
        (image,) = (name for name, feature in rows.features.items() if isinstance(feature, datasets.Image))
        texts = rows["text"] if "text" in rows.column_names else [None] * len(rows)
        paths = rows.cast_column(image, datasets.Image(decode=False))[image]
        names = [os.path.relpath(path["path"], folder) for path in paths]
        return set(rows.column_names), comparable(zip(names, texts, strict=True))

    return load


def comparable(pairs):
    """What is neither text nor a list has no caption, whatever else it is."""
    return sorted((name, repr(text) if isinstance(text, (str, list)) else "none") for name, text in pairs)


def csv(*lines):
    return "\n".join(["file_name,text", *lines]) + "\n"


LOADS = {
    "a row for each image": {"a.png": PNG, "b.png": PNG, "metadata.jsonl": [A, B]},
    "an image without a row": {"a.png": PNG, "b.png": PNG, "metadata.jsonl": [A]},
    "a row without its image": CAT | {"metadata.jsonl": [A, B]},
    "two rows of one image": CAT | {"metadata.jsonl": [A, A | {"text": "the same cat"}]},
    "another name of the column": CAT | {"metadata.jsonl": [{"text": "a cat", "drawing_file_name": "a.png"}]},
    "lists of captions": CAT | {"metadata.jsonl": [A | {"text": ["a cat", "cat"]}, A | {"text": []}]},
    "no caption": CAT | {"metadata.jsonl": [A, A | {"text": None}, {"file_name": "a.png"}]},
    "whole and other numbers": CAT | {"metadata.jsonl": [A | {"n": 1}, A | {"n": 1.5}, A | {"n": None}]},
    "objects": CAT | {"metadata.jsonl": [A | {"by": {"name": "x", "year": 1}}, A | {"by": {"name": None}}]},
    "metadata in a subfolder": {"x/a.png": PNG, "x/metadata.jsonl": [A]},
    "metadata above": {"x/y/a.png": PNG, "metadata.jsonl": [A | {"file_name": "x/y/a.png"}]},
    "metadata above and below": {
        "x/a.png": PNG,
        "x/metadata.jsonl": [A],
        "metadata.jsonl": [A | {"file_name": "x/a.png", "text": "a cat from above"}],
    },
    "several metadata files": {"x/a.png": PNG, "x/metadata.jsonl": [A], "y/a.png": PNG, "y/metadata.jsonl": [A]},
    "an empty metadata file beside a full one": CAT | {"metadata.jsonl": [A], "x/metadata.jsonl": ""},
    "a detour in a name": CAT | {"metadata.jsonl": [A | {"file_name": "./x/../a.png"}]},
    "odd names": dict.fromkeys(ODD_NAMES, PNG) | {"metadata.jsonl": [A | {"file_name": n} for n in ODD_NAMES]},
    "hidden metadata": CAT | {"metadata.jsonl": [A], ".x/metadata.jsonl": [B], "__x/metadata.jsonl": [B]},
    "metadata in upper case": {"a.png": PNG, "Metadata.jsonl": [A]},
    "a linked folder": {
        "../elsewhere/a.png": PNG,
        "../elsewhere/metadata.jsonl": [A],
        "link": LINK + "../elsewhere",
        "b.png": PNG,
    },
    "white space between and in rows": {"metadata.jsonl": '\n{"file_name":\n"a.png"} {"file_name": "b.png"}\r\n \n'},
    "a byte order mark": CAT | {"metadata.jsonl": "\ufeff" + json.dumps(A)},
    "not a number": CAT | {"metadata.jsonl": '{"file_name": "a.png", "text": "x", "n": NaN}'},
    "no metadata": {"a.png": PNG, "b.JPG": PNG, "c.png.txt": PNG, ".hidden.png": PNG, "README.md": "x", "d.avif": "x"},
    "no metadata, hidden folders": {"a.png": PNG, ".x/b.png": PNG, "__x/c.png": PNG},
    "no metadata, odd names": dict.fromkeys(ODD_NAMES, PNG),
    "no metadata, links": {
        "../elsewhere/a.png": PNG,
        "folder": LINK + "../elsewhere",
        "file.png": LINK + "../elsewhere/a.png",
        "broken.png": LINK + "../nowhere.png",
        "b.png": PNG,
    },
    "folders as labels": {"x/a.png": PNG, "y/a.png": PNG},
    "one folder is no label": {"x/a.png": PNG},
    "folders of two depths are no labels": {"x/a.png": PNG, "y/z/a.png": PNG},
    "csv": CAT | {"metadata.csv": csv('a.png,"one, ""two"""', "", "a.png, padded ", "a.png")},
    "csv with lines in a text": CAT | {"metadata.csv": csv('a.png,"one', 'two"', 'a.png,5" pipe')},
    "csv with a byte order mark": CAT | {"metadata.csv": "\ufefffile_name,text\na.png,cat\n"},
    "csv with words that pandas takes for none": CAT
    | {"metadata.csv": csv(*(f"a.png,{word}" for word in NA))},
    "csv with numbers for captions": CAT | {"metadata.csv": csv("a.png,1", "a.png,02", "a.png,")},
    "csv with a number among texts": CAT | {"metadata.csv": csv("a.png,1", "a.png,cat")},
    "csv with truths for captions": CAT | {"metadata.csv": csv("a.png,true", "a.png,False")},
}  # fmt: skip


@pytest.mark.parametrize("files", LOADS.values(), ids=LOADS)
def test_the_rows_and_columns_are_those_that_datasets_has(files, tmp_path, in_datasets):
    folder = tmp_path / "train"
    make(folder, files)
    rows, columns, _ = read_rows(folder)
    pairs = comparable((name, row.get("text")) for name, row in rows)
    assert (columns, pairs) == in_datasets(folder)


FAILS = {
    "not UTF-8": ({"metadata.jsonl": json.dumps(A).encode() + b'\n{"text": "caf\xe9"}'}, "not UTF-8"),
    "csv not UTF-8": ({"metadata.csv": b"file_name,text\na.png,caf\xe9\n"}, "not UTF-8"),
    "not JSON": ({"metadata.jsonl": '\n{"file_name":\n"a.png"}\n\n{"file_name": "b.png",}\n'}, "line 5: not JSON"),
    "cut short": ({"metadata.jsonl": '{"file_name": "a.png"}\n{"file_name": "b.p'}, "line 2: not JSON"),
    "an array": ({"metadata.jsonl": json.dumps([A])}, "line 1: not a JSON object"),
    "no file_name at all": ({"metadata.jsonl": [{"text": "a cat"}]}, "line 1: no file_name"),
    "a number for file_name": ({"metadata.jsonl": [A | {"file_name": 1}]}, "line 1: no file_name"),
    "a path that leaves the folder": ({"metadata.jsonl": [A, A | {"file_name": "x/../../a.png"}]}, "line 2: file_name"),
    "an absolute path": ({"metadata.jsonl": [A | {"file_name": "/etc/a.png"}]}, "line 1: file_name"),
    "an address": ({"metadata.jsonl": [A | {"file_name": "file://a.png"}]}, "line 1: file_name"),
    "text and number": ({"metadata.jsonl": [A, A | {"text": 1}]}, "line 2: `text` is a number, and text before"),
    "text and list": ({"metadata.jsonl": [A | {"text": ["cat"]}, A]}, "line 2: `text` is text, and a list before"),
    "a list of two kinds": ({"metadata.jsonl": [A | {"text": ["cat", 1]}]}, r"line 1: `text\[\]` is a number"),
    "an object of two kinds": ({"metadata.jsonl": [A | {"by": {"n": 1}}, A | {"by": {"n": True}}]}, "line 2: `by.n`"),
    "half a surrogate pair": ({"metadata.jsonl": [A | {"text": "\ud83d"}]}, "line 1: `text` has half"),
    "metadata of two kinds": ({"x/metadata.jsonl": [A], "metadata.csv": csv("a.png,cat")}, "one kind"),
    "csv with a comma in a text": ({"metadata.csv": csv("a.png,x", "a.png,one, two")}, "line 3: more"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "words"), FAILS.values(), ids=FAILS)
def test_metadata_that_datasets_cannot_load_is_told_in_one_line_with_its_place(files, words, tmp_path, in_datasets):
    folder = tmp_path / "train"
    make(folder, CAT | files)
    with pytest.raises(ValueError, match=words) as told:
        read_rows(folder)
    assert "\n" not in str(told.value) and str(folder) in str(told.value)
    with pytest.raises(Exception):  # noqa: B017 - it has no kind of its own for any of them
        in_datasets(folder)


@pytest.mark.parametrize(
    "row", [{"text": "a dog"}, {"file_name": "", "text": "a dog"}, {"file_name": None}, {"x_file_name": ""}]
)
def test_a_row_that_names_no_image_is_an_error_as_training_would_stop_at_it(row, tmp_path):
    make(tmp_path, CAT | {"metadata.jsonl": [A, row]})
    with pytest.raises(ValueError, match="line 2: no file_name"):
        read_rows(tmp_path)


def test_a_folder_within_one_whose_name_is_a_pattern_is_an_error(tmp_path, monkeypatch, in_datasets):
    make(tmp_path / "data [new]" / "train", CAT | {"metadata.jsonl": [A]})
    monkeypatch.chdir(tmp_path / "data [new]")
    with pytest.raises(ValueError, match="rename the folder"):
        read_rows(Path("train"))
    with pytest.raises(ValueError):
        in_datasets("train")


@pytest.mark.parametrize("name", ["[", "a]", "[]", "what?", "*", "漢 字", ".hidden", "__x"])
def test_a_folder_of_any_other_name_is_read(name, tmp_path, in_datasets):
    make(tmp_path / name, CAT | {"metadata.jsonl": [A]})
    rows, columns, _ = read_rows(tmp_path / name)
    assert (columns, comparable((name, row["text"]) for name, row in rows)) == in_datasets(tmp_path / name)


def test_metadata_as_parquet_is_left_to_datasets_with_the_way_out(tmp_path):
    make(tmp_path, {"metadata.parquet": b"PAR1"})
    with pytest.raises(ValueError, match=r"write it as metadata\.jsonl"):
        read_rows(tmp_path)


@pytest.mark.parametrize("missing", [True, False])
def test_a_folder_that_is_none_is_the_systems_own_error(missing, tmp_path):
    if not missing:
        (tmp_path / "train").write_text("")
    with pytest.raises(OSError, match="train"):
        read_rows(tmp_path / "train")


def test_all_images_below_are_named_with_and_without_a_row(tmp_path):
    make(tmp_path, {"a.png": PNG, "x/b.webp": PNG, "notes.txt": "x", "metadata.jsonl": [A]})
    assert read_rows(tmp_path)[2] == ["a.png", "x/b.webp"]
