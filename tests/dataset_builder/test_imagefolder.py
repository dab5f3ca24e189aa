"""The folder that is written: what is in it, and what is not."""

import hashlib
import json
import os
import re

import pytest
from PIL import Image
from small_sources import entry, kanjidic2, kanjivg_xml, rows

from dataset_builder import imagefolder

COLUMNS = ["file_name", "text", "captions", "character", "codepoint", "meanings"]
COLUMNS += ["components", "radical", "stroke_count", "grade"]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def everything(out) -> list[dict]:
    return [row for split in ("train", "test") for row in rows(out / split / "metadata.jsonl")]


def test_each_row_has_its_image_and_all_columns(small, build, out):
    assert build(*small)[0] == 0
    assert len(everything(out)) == 30
    for row in everything(out):
        assert list(row) == COLUMNS
        n = (ord(row["character"]) - 0x4E00) // 7
        assert row["file_name"] == f"{ord(row['character']):05x}.png"
        assert row["text"] == f"thing {n}, stuff {n}"
        assert row["captions"] == [row["text"], f"thing {n}", f"stuff {n}"]
        assert row["meanings"] == [f"thing {n}", f"stuff {n}"]
        assert row["codepoint"] == f"U+{ord(row['character']):04X}"
        assert (row["components"], row["radical"], row["stroke_count"], row["grade"]) == (["木", "氵"], "火", 3, 0)


def test_no_value_is_null_so_that_a_split_without_grades_has_the_same_types(small, build, out):
    build(*small, "--include_kana")
    assert not [key for row in everything(out) for key, value in row.items() if value is None or value == []]


def test_an_image_is_8_bit_grey_on_white_and_says_where_it_is_from(small, build, out):
    build(*small, "--resolution", "48")
    for file in out.glob("*/*.png"):
        with Image.open(file) as image:
            image.load()
            assert (image.mode, image.size, image.getpixel((0, 0))) == ("L", (48, 48), 255)
            assert image.getextrema()[0] < 100
            assert image.text["Title"] == f"{chr(int(file.stem, 16))} U+{file.stem[1:].upper()}"
            assert "kanjivg" in image.text["Source"] and "CC BY-SA 3.0" in image.text["License"]


def test_everything_left_out_is_listed_with_its_reason(small, build, out):
    build(*small)
    assert {row["name"]: (row["character"], row["reason"]) for row in rows(out / "dropped.jsonl")} == {
        "09b31": ("鬱", "no English meaning in KANJIDIC2"),
        "08594": ("薔", "no drawing in KanjiVG"),
        "03042": ("あ", "kana (--include_kana takes it in)"),
        "00041": ("A", "not in KANJIDIC2"),
        "04e00-Kaisho": ("一", "a variant (--include_variants takes it in)"),
    }


def test_kana_never_inherit_a_caption(small, build, out):
    build(*small, "--include_kana", "--test_fraction", "0")
    (kana,) = [row for row in rows(out / "train" / "metadata.jsonl") if row["character"] == "あ"]
    assert kana["text"] == "hiragana letter a" and kana["captions"] == ["hiragana letter a"]


def test_a_variant_has_its_characters_caption_and_split(small, build, out, tmp_path):
    names = ["04e00", *(f"04e00-Form{n}" for n in range(12)), "04e07"]
    (tmp_path / "kanjivg.xml").write_text(kanjivg_xml(*names), "utf-8")
    assert build(*small)[0] == 0
    assert sum(row["reason"].startswith("a variant") for row in rows(out / "dropped.jsonl")) == 12
    assert build(*small, "--include_variants", "--overwrite")[0] == 0
    splits = [split for split in ("train", "test") for _ in (out / split).glob("04e00*.png")]
    assert len(splits) == 13 and len(set(splits)) == 1
    assert {row["text"] for row in rows(out / splits[0] / "metadata.jsonl") if row["character"] == "一"} == {
        "thing 0, stuff 0"
    }


def test_a_compatibility_ideograph_is_in_the_split_of_what_it_looks_like(small, build, tmp_path):
    twins = {"\uf92e": "冷", "\ufa19": "神", "\uf9b4": "領", "\ufa38": "器", "\uf9d0": "類", "\uf91d": "欄"}
    both = [*twins, *twins.values()]
    (tmp_path / "kanjidic2.xml").write_text(kanjidic2("".join(entry(c, "thing") for c in both)), "utf-8")
    (tmp_path / "kanjivg.xml").write_text(kanjivg_xml(*(f"{ord(c):05x}" for c in both)), "utf-8")
    build(*small, "--test_fraction", "0.5")
    train = {row["character"] for row in rows(tmp_path / "out" / "train" / "metadata.jsonl")}
    assert 0 < len(train) < 12
    assert all((compatible in train) == (unified in train) for compatible, unified in twins.items())


def test_one_row_per_meaning_shares_the_image(small, build, out):
    build(*small, "--one_row_per_meaning")
    assert len(everything(out)) == 60 and len(list(out.glob("*/*.png"))) == 30
    first, second = everything(out)[:2]
    assert first["file_name"] == second["file_name"]
    assert [first["text"], second["text"]] == first["meanings"] and first["captions"] == [first["text"]]


@pytest.mark.parametrize(
    ("options", "caption", "for_new_words"),
    [
        (["--max_meanings", "1"], "thing 0", "{meanings}"),
        (
            ["--caption_style", "descriptive"],
            "a kanji meaning thing 0, stuff 0, written with 3 strokes",
            "a kanji meaning {meanings}",
        ),
        (
            ["--caption_style", "template", "--caption_template", "{meanings}, {components}, radical {radical}"],
            "thing 0, stuff 0, 木 氵, radical 火",
            "{meanings}",
        ),
    ],
)
def test_captions_are_as_asked_for(small, build, out, options, caption, for_new_words):
    build(*small, *options)
    assert next(row["text"] for row in everything(out) if row["character"] == "一") == caption
    assert json.loads((out / "build.json").read_text())["caption_template"] == for_new_words


def test_what_a_template_asks_for_and_is_not_known_leaves_the_character_out(small, build, out, tmp_path):
    taught = entry("一", "one", extra="<grade>1</grade>") + entry("万", "ten thousand")
    (tmp_path / "kanjidic2.xml").write_text(kanjidic2(taught), "utf-8")
    build(*small, "--caption_style", "template", "--caption_template", "{meanings} {grade}", "--test_fraction", "0")
    assert [row["text"] for row in rows(out / "train" / "metadata.jsonl")] == ["one 1"]
    assert {"name": "04e07", "character": "万", "reason": "no grade, which the caption template asks for"} in rows(
        out / "dropped.jsonl"
    )


def test_a_character_whose_strokes_leave_the_frame_is_dropped(small, build, out, tmp_path):
    xml = (tmp_path / "kanjivg.xml").read_text("utf-8")
    (tmp_path / "kanjivg.xml").write_text(xml.replace("M20,20c10,0 30,2 50,2", "M20,20L200,20", 1), "utf-8")
    build(*small, "--include_kana")
    assert "strokes run out of the frame" in {
        row["reason"] for row in rows(out / "dropped.jsonl") if row["name"] == "03042"
    }


@pytest.mark.parametrize(
    ("image", "fault"),
    [
        (Image.new("L", (9, 9), 255), "blank image"),
        (Image.new("L", (9, 9), 0), "image without white paper"),
        (Image.new("LA", (9, 9)), "image of mode LA, not 8-bit greyscale"),
        (Image.new("1", (9, 9)), "image of mode 1, not 8-bit greyscale"),
    ],
)
def test_an_image_that_teaches_nothing_is_never_written(tmp_path, image, fault):
    from functools import partial

    assert imagefolder.draw_one((tmp_path / "a.png", partial(Image.Image.copy, image), {})) == ("", fault)
    assert not list(tmp_path.iterdir())


def test_the_splits_are_decided_by_the_code_point_alone():
    keys = [f"{code:05x}" for code in range(0x4E00, 0x9FFF)]
    test = {
        fraction: {key for key in keys if imagefolder.split_of(key, fraction) == "test"} for fraction in (0, 0.05, 0.2)
    }
    assert test[0] == set() and test[0.05] < test[0.2]
    assert len(test[0.05]) / len(keys) == pytest.approx(0.05, abs=0.005)
    # Fixed for good: a character that moves would have been trained on by models that are then tested on it.
    assert sorted(test[0.05])[:3] == ["04e11", "04e41", "04e4a"]


def test_max_samples_is_a_cross_section_and_a_larger_one_holds_a_smaller_one(small, build, out, tmp_path):
    build(*small, "--max_samples", "5", "--test_fraction", "0")
    build(*small, "--max_samples", "12", "--test_fraction", "0", output=tmp_path / "more")
    few = {row["character"] for row in rows(out / "train" / "metadata.jsonl")}
    more = {row["character"] for row in rows(tmp_path / "more" / "train" / "metadata.jsonl")}
    assert len(few) == 5 and len(more) == 12 and few < more
    assert few != {chr(0x4E00 + 7 * n) for n in range(5)}


def test_without_a_test_fraction_there_is_no_test_folder(small, build, out):
    build(*small, "--test_fraction", "0")
    assert sorted(os.listdir(out)) == ["README.md", "build.json", "dropped.jsonl", "train"]


def test_a_split_all_of_whose_images_were_dropped_is_not_there(small, build, out, tmp_path):
    splits = {
        split: f"{code:05x}" for code in range(0x4E00, 0x4E50) for split in [imagefolder.split_of(f"{code:05x}", 0.5)]
    }
    meanings = "".join(entry(chr(int(name, 16)), "thing") for name in splits.values())
    (tmp_path / "kanjidic2.xml").write_text(kanjidic2(meanings), "utf-8")
    xml = kanjivg_xml(splits["test"], splits["train"]).replace("M20,20c10,0 30,2 50,2", "M20,20L200,20", 1)
    (tmp_path / "kanjivg.xml").write_text(xml, "utf-8")
    assert build(*small, "--test_fraction", "0.5")[0] == 0
    assert (out / "train").exists() and not (out / "test").exists()


def test_build_json_says_what_the_dataset_is_made_of(small, build, out, tmp_path):
    build(*small)
    said = json.loads((out / "build.json").read_text("utf-8"))
    assert said["source"] == "kanji" and said["options"]["resolution"] == 32
    assert {"output", "num_proc", "kanjivg"}.isdisjoint(said["options"])
    kanjidic, kanjivg = said["sources"]
    assert kanjidic["given"] == str(tmp_path / "kanjidic2.xml")
    assert kanjidic["sha256"] == hashlib.sha256((tmp_path / "kanjidic2.xml").read_bytes()).hexdigest()
    assert (kanjidic["date"], kanjivg["date"]) == ("2026-05-01", "2026-05-13")
    counts = said["counts"]
    assert (counts["images"], counts["train"] + counts["test"], counts["dropped"]) == (30, 30, 5)
    assert counts["dropped_by_reason"]["no drawing in KanjiVG"] == 1


def test_the_fingerprint_is_of_the_content_only(small, build, tmp_path):
    def fingerprint(name, *options):
        assert build(*small, *options, output=tmp_path / name)[0] == 0
        return json.loads((tmp_path / name / "build.json").read_text())["fingerprint"]

    first = fingerprint("a")
    for file, element in (("kanjidic2.xml", "character"), ("kanjivg.xml", "kanji")):
        text = (tmp_path / file).read_text("utf-8")
        found = re.findall(rf"<{element}[ >].*?</{element}>", text, re.S)
        other_order = text.replace("\n".join(found), "\n".join(found[::-1])).replace(
            "".join(found), "".join(found[::-1])
        )
        assert other_order != text
        (tmp_path / file).write_text(other_order + "<!-- another day -->", "utf-8")
    assert fingerprint("b") == first
    assert (tmp_path / "b" / "dropped.jsonl").read_bytes() == (tmp_path / "a" / "dropped.jsonl").read_bytes()
    assert fingerprint("c", "--max_meanings", "1") != first
    assert fingerprint("d", "--stroke_width", "4") != first
    assert fingerprint("e", "--test_fraction", "0.5") != first


def test_nothing_to_train_on_is_an_error_that_says_why(small, build, out, tmp_path):
    (tmp_path / "kanjivg.xml").write_text(kanjivg_xml("03042"), "utf-8")
    code, said = build(*small)
    assert code == 1 and "nothing is left to train on" in said and "no drawing in KanjiVG" in said
    assert not out.exists()


@pytest.mark.parametrize("options", [[], ["--one_row_per_meaning"], ["--test_fraction", "0"]])
@pytest.mark.parametrize("how", ["imagefolder", "card"])
def test_datasets_reads_it(small, build, out, tmp_path, options, how):
    from datasets import load_dataset

    build(*small, *options)
    where = {"path": "imagefolder", "data_dir": str(out)} if how == "imagefolder" else {"path": str(out)}
    dataset = load_dataset(**where, cache_dir=str(tmp_path / "hf"))
    splits = ["train"] if "--test_fraction" in options else ["train", "test"]
    assert list(dataset) == splits
    for split in splits:
        written = rows(out / split / "metadata.jsonl")
        assert dataset[split].num_rows == len(written)
        assert dataset[split].column_names == ["image", *list(written[0])[1:]]
        for row, read in zip(written, dataset[split], strict=True):
            assert {key: row[key] for key in row if key != "file_name"} == {
                k: v for k, v in read.items() if k != "image"
            }
            assert read["image"].mode == "L"
            assert read["image"].text["Title"].startswith(row["character"])
