"""Folders of pictures are read whole or not at all, and have a fingerprint."""

import json
import os

import pytest
from PIL import Image

from generate import save
from metrics.glyphs import fingerprint, read_rows


def picture(side=32):
    return Image.new("L", (side, side), 255)


def save_rows(folder, rows):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.mark.parametrize("text", ["fire", "火、炎", "one\u2028two\u2029three", "\x85x", " edges ", "a\\nb"])
def test_rows_keep_their_words_and_all_else_that_is_told_of_them(tmp_path, text):
    save_rows(tmp_path, [{"file_name": "deep/火.png", "text": text, "components": ["火"]}] * 2)
    row = {"file_name": "deep/火.png", "text": text, "components": ["火"], "file": tmp_path / "deep" / "火.png"}
    assert read_rows(tmp_path) == read_rows(str(tmp_path)) == [row, row]


@pytest.mark.parametrize(
    "line",
    [
        *("{", "[]", "3", "null", '"file_name"', "{}", '{"file_name": "1.png"}', '{"text": "a"}'),
        *('{"file_name": "1.png", "text": ""}', '{"file_name": "1.png", "text": " "}'),
        *('{"file_name": "1.png", "text": ["a"]}', '{"file_name": "1.png", "text": null}'),
        *('{"file_name": 3, "text": "a"}', '{"file_name": null, "text": "a"}'),
        '{"file_name": "1.png", "text": "\udcff"}',
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path, line):
    save_rows(tmp_path, [{"file_name": "1.png", "text": "fire"}] * 2)
    with open(tmp_path / "metadata.jsonl", "ab") as file:
        file.write(line.encode("utf-8", "surrogateescape") + b"\n")
    with pytest.raises(ValueError, match=r"metadata\.jsonl, line 3: not a row with file_name and text"):
        read_rows(tmp_path)


def test_without_metadata_file_names_are_the_words(tmp_path):
    names = ["forest_fire.png", "deep/er/水.JPG", "café au lait.webp", "notes.txt", "judge.safetensors"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [(row["file"].name, row["text"]) for row in read_rows(tmp_path)] == [
        ("café au lait.webp", "café au lait"),
        ("水.JPG", "水"),
        ("forest_fire.png", "forest fire"),
    ]


def test_blank_lines_are_passed_over_and_counted(tmp_path):
    save_rows(tmp_path, ["", {"file_name": "1.png", "text": "fire"}, "  ", {"file_name": "2.png", "text": "rain"}, ""])
    assert [row["text"] for row in read_rows(tmp_path)] == ["fire", "rain"]
    save_rows(tmp_path, ["", "{"])
    with pytest.raises(ValueError, match="line 2: not a row"):
        read_rows(tmp_path)


def test_metadata_may_be_csv(tmp_path):
    text = '\ufefffile_name,text,class\r\n1.png,"a ""b"", c",0\r\n\r\ndeep/2.png,火,1\r\n'
    (tmp_path / "metadata.csv").write_bytes(text.encode())
    first, second = read_rows(tmp_path)
    assert first == {"file_name": "1.png", "text": 'a "b", c', "class": "0", "file": tmp_path / "1.png"}
    assert (second["file"], second["text"]) == (tmp_path / "deep" / "2.png", "火")


@pytest.mark.parametrize(
    "text, message",
    [
        (b"file_name,text\n1.png,fire\n2.png\n", "line 3: not a row"),
        (b"file_name,words\n1.png,fire\n", "line 2: not a row"),
        (b"file_name,text\n1.png,\xff\n", "is not UTF-8"),
    ],
)
def test_a_csv_that_has_no_rows_is_named(tmp_path, text, message):
    (tmp_path / "metadata.csv").write_bytes(text)
    with pytest.raises(ValueError, match=rf"metadata\.csv.*{message}"):
        read_rows(tmp_path)


def test_what_the_verbs_put_beside_drawings_is_no_drawing(tmp_path):
    for name in ("fire/0.png", "fire/report/0.png", "sheet.png", "report/0.png", "report/NAME/fire/0.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture().save(tmp_path / name)
    assert [row["file_name"] for row in read_rows(tmp_path)] == ["fire/0.png", "fire/report/0.png"]
    before = fingerprint(tmp_path)
    picture(40).save(tmp_path / "report" / "0.png")
    assert fingerprint(tmp_path) == before


def test_a_drawing_has_the_word_that_it_was_drawn_for(tmp_path):
    words = ["forest fire", "火山", "a/b"]
    for number, word in enumerate(words):
        save(picture(), tmp_path / f"{number}.png", {"word": word, "prompt": "x"})
    picture().save(tmp_path / "plain_one.png")
    (tmp_path / "those_broken.png").write_bytes(b"x")
    assert [row["text"] for row in read_rows(tmp_path)] == [*words, "plain one", "those broken"]


@pytest.mark.parametrize("name", ["metadata.jsonl", "metadata.csv"])
def test_a_folder_of_splits_is_not_taken_for_one_of_pictures(tmp_path, name):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / name).touch()
    with pytest.raises(ValueError, match="name its train or test folder"):
        read_rows(tmp_path)


def test_an_empty_folder_and_one_that_is_not_there_have_no_rows(tmp_path):
    assert read_rows(tmp_path) == read_rows(tmp_path / "nowhere") == []


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "data"
    save_rows(folder / "train", [{"file_name": "1.png", "text": "fire"}])
    picture().save(folder / "train" / "1.png")
    return folder


def add(dataset):
    picture().save(dataset / "train" / "2.png")


def rename(dataset):
    (dataset / "train" / "1.png").rename(dataset / "train" / "3.png")


def draw_anew(dataset):
    picture(40).save(dataset / "train" / "1.png")


def touch(dataset):
    os.utime(dataset / "train" / "1.png", (1, 1))


def other_words(dataset):
    save_rows(dataset / "train", [{"file_name": "1.png", "text": "flame"}])


@pytest.mark.parametrize("change", [add, rename, draw_anew, touch, other_words])
def test_the_fingerprint_changes_with_the_files(dataset, change):
    before = fingerprint(dataset)
    change(dataset)
    assert fingerprint(dataset) != before


def test_the_fingerprint_does_not_change_with_what_lies_beside_the_data(dataset):
    before = fingerprint(dataset)
    (dataset / "judge.safetensors").write_bytes(b"x")
    (dataset / "README.md").write_text("x")
    for name in ("report", "elsewhere"):
        (dataset / name).mkdir()
        picture().save(dataset / name / "1.png")
    assert fingerprint(str(dataset)) == before


def test_data_that_were_built_have_the_fingerprint_that_they_were_built_with(dataset):
    (dataset / "build.json").write_text('{"fingerprint": "abc"}')
    add(dataset)
    assert fingerprint(dataset) == "abc"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"fingerprint": null}', b"\xff"])
def test_without_a_fingerprint_in_build_json_the_files_have_one(dataset, content):
    before = fingerprint(dataset)
    (dataset / "build.json").write_bytes(content)
    assert fingerprint(dataset) == before
