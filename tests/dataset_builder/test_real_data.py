"""The dataset that real KANJIDIC2 and KanjiVG give: 6,414 characters, and none of the mistakes that others made."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_sources import assert_same_rows, rows

from dataset_builder import kanjivg, parquet
from dataset_builder.__main__ import main
from dataset_builder.sources import kanji

RESOLUTION = 64


@pytest.fixture(scope="module")
def real(shared_data, tmp_path_factory) -> Path:
    """data/kanji from the real files, small."""
    out = tmp_path_factory.mktemp("real") / "kanji"
    files = ["--kanjidic2", shared_data / "kanjidic2.xml.gz", "--kanjivg", shared_data / "kanjivg-20260513.xml.gz"]
    main([*map(str, ["kanji", *files, "--output", out, "--resolution", RESOLUTION])])
    return out


@pytest.fixture(scope="module")
def splits(real) -> dict[str, list[dict]]:
    return {split: rows(real / split / "metadata.jsonl") for split in ("train", "test")}


@pytest.fixture(scope="module")
def everybody(splits) -> list[dict]:
    return [row | {"split": split} for split in splits for row in splits[split]]


@pytest.fixture(scope="module")
def drawings(shared_data) -> dict[str, kanjivg.Drawing]:
    read = kanjivg.read(shared_data / "kanjivg-20260513.xml.gz")
    return {drawing.character: drawing for drawing in read}


@pytest.fixture(scope="module")
def images(real, everybody) -> dict[str, np.ndarray]:
    """Characters -> their pixels, [y, x], 0 ink to 255 paper."""
    return {row["character"]: np.asarray(Image.open(real / row["split"] / row["file_name"])) for row in everybody}


def test_it_has_6414_characters_each_once(everybody):
    assert len(everybody) == 6414 == len({row["character"] for row in everybody})


def test_nobody_is_in_both_splits(splits):
    train, test = ({row["character"] for row in splits[split]} for split in ("train", "test"))
    assert not train & test and len(test) == 312


def test_every_character_of_both_sources_is_either_in_or_dropped(real, everybody, drawings):
    named = {row["character"] for row in everybody} | {row["character"] for row in rows(real / "dropped.jsonl")}
    assert set(drawings) <= named
    reasons = json.loads((real / "build.json").read_text())["counts"]["dropped_by_reason"]
    # 13,108 in KANJIDIC2, 10,383 of them with English, 6,703 in KanjiVG, 6,414 in both.
    assert reasons["no English meaning in KANJIDIC2"] == 13108 - 10383
    assert reasons["no drawing in KanjiVG"] == 10383 - 6414
    assert reasons["kana (--include_kana takes it in)"] + reasons["not in KANJIDIC2"] == 6703 - 6414 - 3


def test_no_caption_is_empty_or_holds_what_is_no_meaning(everybody):
    for row in everybody:
        assert row["text"].strip() == row["text"] != ""
        assert row["text"] == ", ".join(row["meanings"]) == row["captions"][0]
        assert all(caption.strip() for caption in row["captions"])
        assert not re.search(r"kokuji|\(no?\. ?\d|radical (number )?\d|None|[{}]", row["text"]), row


def test_known_characters_have_their_own_captions(everybody):
    by_character = {row["character"]: row for row in everybody}
    for character, meaning in {
        "火": "fire",
        "水": "water",
        "林": "grove",
        "語": "word",
        "一": "one",
        "亻": "man",
    }.items():
        assert meaning in by_character[character]["meanings"]
    assert by_character["林"]["components"] == ["木"]
    assert by_character["語"]["components"] == ["言", "口", "吾", "五", "二"]
    assert by_character["語"]["radical"] == "言"
    assert {row["grade"] for row in everybody} == {0, 1, 2, 3, 4, 5, 6, 8, 9, 10}


def test_no_image_is_blank_or_black_or_clipped(images):
    for character, pixels in images.items():
        assert pixels.shape == (RESOLUTION, RESOLUTION) and pixels.dtype == np.uint8
        ink = (255 - pixels.astype(float)).mean() / 255
        assert 0.002 < ink < 0.35, (character, ink)
        border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
        assert border.min() == 255, character


def test_every_stroke_is_where_kanjivg_has_it(images, drawings):
    # Where a stroke starts there is ink: not so if a picture were mirrored, turned, scaled, or another character's.
    scale, misses, mirrored = RESOLUTION / kanjivg.CANVAS, [], 0
    for character, pixels in images.items():
        starts = [re.findall(kanjivg.NUMBER, stroke)[:2] for stroke in drawings[character].strokes]
        places = [(int(float(y) * scale), int(float(x) * scale)) for x, y in starts]
        misses += [character for y, x in places if pixels[y, x] == 255]
        mirrored += all(pixels[:, ::-1][place] < 255 for place in places)
    assert not misses
    assert mirrored < 0.03 * len(images)  # the test can tell: 一 and 口 look alike in a mirror, few others do


def test_no_two_characters_have_the_same_image(images):
    seen = {}
    for character, pixels in images.items():
        seen.setdefault(pixels.tobytes(), []).append(character)
    assert not [same for same in seen.values() if len(same) > 1]


def test_the_release_of_single_svgs_gives_the_same_drawings(shared_data, drawings):
    if not (shared_data / "kanjivg-20260513-main.zip").is_file():
        pytest.skip("needs ../shared/data (real KanjiVG as single SVGs)")
    assert {
        drawing.character: drawing for drawing in kanjivg.read(shared_data / "kanjivg-20260513-main.zip")
    } == drawings


def test_exported_as_parquet_in_several_shards_all_6414_rows_come_back_equal(real, tmp_path, monkeypatch):
    from datasets import load_dataset

    monkeypatch.setattr(parquet, "SHARD_SIZE", "2MB")
    folder = parquet.export(real, kanji.CARD)
    shards = sorted(folder.glob("data/train-*.parquet"))
    assert [shard.name for shard in shards] == [f"train-{n:05}-of-{len(shards):05}.parquet" for n in range(len(shards))]
    assert len(shards) > 2 and all(shard.stat().st_size < 2.3e6 for shard in shards)
    assert assert_same_rows(real, load_dataset(str(folder), cache_dir=str(tmp_path))) == 6414
