"""The lint finds what training would stumble over, and finds nothing where there is nothing."""

import functools
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from small_pictures import file, ink, noise, write_split

from launch import data_lint
from launch.data_lint import Facts, look

FINDINGS = [name for name, kind in Facts.__annotations__.items() if str(kind).startswith("list")]


@pytest.fixture
def folder(tmp_path):
    """write_split in a folder of the test's own."""
    return functools.partial(write_split, tmp_path / "data")


def test_rows_that_share_an_image_are_no_duplicates(folder):
    train = folder({"a.png": file(ink())}, [{"file_name": "a.png", "text": "a"}, {"file_name": "./a.png", "text": "b"}])
    facts = look(train, "text", None, None)
    assert (facts.rows, facts.images, facts.duplicates) == (2, 1, [])


def test_sizes_missing_images_and_images_without_a_row(folder):
    sizes = {"a.png": (32, 32), "b/火.png": (64, 16), "c.png": (40, 40), "d\n.png": (16, 17)}
    files = {name: file(ink(size=size)) for name, size in sizes.items()} | {"unused.png": file(ink())}
    rows = [{"file_name": name} for name in [*sizes, "nowhere.png", "x" * 300 + ".png", "b/nowhere.png"]]
    facts = look(folder(files, rows), "text", None, None)
    assert facts.missing == ["b/nowhere.png", "nowhere.png", "x" * 300 + ".png"]
    assert facts.without_row == ["unused.png"]
    assert facts.not_square == ["b/火.png", "d\n.png"]
    assert (facts.smallest, facts.largest) == ((16, 17), (40, 40))
    assert (facts.rows, facts.images, facts.looked_at, facts.columns) == (7, 4, 4, {"image"})


@pytest.mark.parametrize(
    ("caption", "captions", "bad"),
    [
        ("a cat", 1, False),
        (["a cat", "cat"], 2, False),
        ("", 0, True),
        (" \n", 0, True),
        (None, 0, True),
        (7, 0, True),
        ({"en": "a cat"}, 0, True),
        ([], 0, True),
        (["a cat", ""], 0, True),
        (["a cat", None], 0, True),
        ([["a cat"]], 0, True),
    ],
)
def test_a_caption_is_a_text_or_a_list_of_texts(caption, captions, bad, folder):
    facts = look(folder({"a.png": file(ink())}, [{"file_name": "a.png", "text": caption}]), "text", None, None)
    assert (facts.captions, facts.bad_captions) == (captions, ["a.png"] * bad)


def test_every_caption_of_a_list_counts_against_the_limit(folder):
    rows = [{"file_name": "a.png", "texts": ["a cat", "a b " * 50, "unbreakable" * 10], "text": "a cat"}]
    train = folder({"a.png": file(ink())}, rows)
    facts = look(train, "texts", None, None)
    assert (facts.too_long, facts.maybe_too_long, facts.limit) == ([("a b " * 50, 102)], 1, 77)
    assert look(train, "text", None, None).too_long == []


def test_a_column_that_is_not_there_has_no_captions_and_no_bad_ones(folder):
    facts = look(folder({"a.png": file(ink())}), "captions", None, None)
    assert (facts.captions, facts.bad_captions, facts.columns) == (0, [], {"image", "text"})


A, B, C = (noise(0, 255, (9, 9 + more)) for more in range(3))


@pytest.mark.parametrize(
    ("train", "test", "held_out"),
    [
        ({"a.png": (A, "火"), "b.png": (B, "水")}, {"c.png": (C, "水")}, ["b.png"]),
        ({"a.png": (A, "火")}, {"a.png": (A, "水")}, []),
        ({"a.png": (A, "火"), "b.png": (B, None)}, {"b.png": (B, "水"), "c.png": (C, None)}, []),
        ({"a.png": (A, "火"), "b.png": (B, "水")}, {"c.png": (B,)}, ["b.png"]),
        ({"a.png": (A,), "b.png": (B,)}, {"c.png": (C,), "d.png": (A,), "gone.png": (None,)}, ["a.png"]),
        ({"a.png": (A,), "b.png": (B,)}, {"a.png": (B,), "b.png": (C,)}, ["b.png"]),
    ],
    ids=["character", "another character", "no character", "only one has characters", "pixels", "not the name"],
)
def test_held_out_is_what_both_splits_have(train, test, held_out, folder):
    def make(split, content):
        rows = [
            {"file_name": name, "text": "x"} | dict(zip(["character"], more, strict=False))
            for name, (_, *more) in content.items()
        ]
        files = {name: file(image, title=split) for name, (image, *_) in content.items() if image}
        return folder(files, rows, split)

    make("test", test)
    assert look(make("train", train), "text", None, None).held_out == held_out


@pytest.mark.parametrize("characters", [True, False])
def test_a_folder_with_both_splits_below_holds_the_held_out_ones(characters, folder, monkeypatch):
    for split, image, character in (("train", A, "火"), ("test", B, "水")):
        more = {"character": character} if characters else {}
        folder({f"{split}.png": file(image)}, [{"file_name": f"{split}.png", "text": "x"} | more], split)
        parent = folder({}, [], split=".").resolve()
    (parent / "metadata.jsonl").unlink()
    monkeypatch.chdir(parent)
    facts = look(Path("."), "text", None, None)
    assert (facts.held_out, facts.rows) == (["test/test.png"], 2)


def test_the_test_split_is_found_from_within_train(folder, monkeypatch):
    folder({"b.png": file(A)}, split="test")
    monkeypatch.chdir(folder({"a.png": file(A)}))
    assert look(Path("."), "text", None, None).held_out == ["a.png"]  # though Path(".").parent is "." again


def test_no_test_split_holds_nothing_out(folder):
    assert look(folder({"a.png": file(A)}), "text", None, None).held_out == []


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes on by one whenever it is asked, which is once an image, and by nine more at each decoding."""
    ticks, decode = itertools.count(), data_lint._pixels
    monkeypatch.setattr(data_lint.time, "monotonic", lambda: next(ticks))
    monkeypatch.setattr(data_lint.os, "cpu_count", lambda: 1)

    def slowly(path):
        for _ in range(9):
            next(ticks)
        return decode(path)

    monkeypatch.setattr(data_lint, "_pixels", slowly)


def many(number, **special):
    """Drawings that need more bytes than a blank one, in two folders."""
    images = {f"{'ab'[n % 2]}/{n:03}.png": file(noise(0, 255, (16, 16 + n))) for n in range(number)}
    return images | {name.replace("_", "/") + ".png": image for name, image in special.items()}


def test_a_budget_cuts_the_decoding_and_neither_sizes_nor_equal_files(clock, folder):
    large, warm, cold = (noise(0, 255, (side, side)) for side in (400, 401, 401))
    warm.putpalette([*range(256)] * 3)  # the same pixels but for the palette
    cold.putpalette([*range(255, -1, -1)] * 3)
    twins = {"b_zz": file(large, title="one"), "a_aa": file(large, title="the same picture")}
    files = many(300, **twins, b_warm=file(warm), a_cold=file(cold))
    facts = look(folder(files), "text", None, 1000)
    assert (facts.images, facts.looked_at) == (304, 100)  # and none of the large ones
    assert (facts.largest, facts.duplicates) == ((401, 401), [("a/aa.png", "b/zz.png")])
    assert len(facts.not_square) == 299


def test_a_budget_for_few_is_spent_on_the_smallest_files_first_and_then_all_over_the_place(clock, folder, monkeypatch):
    monkeypatch.setattr(data_lint, "SMALLEST", 10)
    blank, cut = file(Image.new("L", (99, 99), 255)), file(noise(0, 255))[:150]
    train = folder(many(300, b_blank=blank, a_cut=cut))
    looked = []
    decode = data_lint._pixels
    monkeypatch.setattr(data_lint, "_pixels", lambda path: looked.append(path.relative_to(train)) or decode(path))
    facts = look(train, "text", None, 1000)
    assert facts.blank == ["b/blank.png"] and facts.unreadable == ["a/cut.png"]
    rest = [str(path) for path in looked[10:]]
    assert 30 < len([name for name in rest if name.startswith("a/")]) < 60
    assert min(rest)[2:] < "020.png" and max(rest)[2:] > "280.png"
    first, looked[:] = looked[:], []
    look(train, "text", None, 1000)
    assert looked == first


def test_a_budget_too_small_for_the_headers_says_so(clock, folder):
    facts = look(folder(many(100)), "text", None, 50)
    assert (facts.images, facts.rows) == (100, 100)
    assert 0 < facts.looked_at < len(facts.not_square) < 60
    assert facts.unreadable == facts.missing == []


def test_no_budget_at_all_still_reads_the_rows(folder):
    facts = look(folder(many(20), [{"file_name": "gone.png", "text": ""}]), "text", None, 0)
    assert (facts.looked_at, facts.smallest, facts.missing) == (0, None, ["gone.png"])
    assert facts.bad_captions == ["gone.png"] and len(facts.without_row) == 20


def test_nothing_at_all_is_no_error(folder):
    facts = look(folder({}), "text", None, None)
    assert (facts.rows, facts.images, facts.columns, facts.smallest) == (0, 0, set(), None)


@pytest.mark.parametrize("source", ["starter", "kanji"])
def test_what_the_dataset_builder_makes_has_nothing_to_find(source, tmp_path, request):
    from dataset_builder.__main__ import main

    arguments = [source, "--output", str(tmp_path / source), "--resolution", "64"]
    if source == "kanji":
        data = request.getfixturevalue("shared_data")
        arguments += ["--kanjidic2", str(data / "kanjidic2.xml.gz"), "--kanjivg", str(data / "kanjivg-20260513.xml.gz")]
        arguments += ["--max_samples", "400"]
    main(arguments)
    for column in ("text", "captions"):
        facts = look(tmp_path / source / "train", column, None, None)
        assert {name: found for name in FINDINGS if (found := getattr(facts, name))} == {}
        assert facts.rows == facts.images == facts.looked_at <= facts.captions
        assert facts.smallest == facts.largest == (64, 64)


def test_nothing_heavy_is_imported():
    code = (
        "import sys; from pathlib import Path; from launch.data_lint import look; look(Path(sys.argv[1]), '', None, 1);"
        "print(*{'torch', 'numpy', 'datasets', 'transformers', 'pandas', 'pyarrow'} & {*sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code, os.path.dirname(__file__)], capture_output=True, text=True)
    assert run.stdout == "\n", run
