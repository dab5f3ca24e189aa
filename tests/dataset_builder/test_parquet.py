"""`--export parquet`: the same dataset in the form in which it is published, whole or not there."""

import fcntl
import json
import os
import resource
import time

import pytest
import yaml
from PIL import Image
from small_sources import assert_same_rows, content, rows

from dataset_builder import imagefolder, parquet

EXPORT = ["--export", "parquet"]


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def folder(tmp_path):
    """Where the export of `out` is."""
    return tmp_path / "out-parquet"


@pytest.mark.parametrize("options", [[], ["--one_row_per_meaning"], ["--test_fraction", "0"]])
def test_load_dataset_gives_the_rows_of_the_imagefolder(small, build, out, folder, tmp_path, options):
    from datasets import load_dataset

    assert build(*small, *options, *EXPORT)[0] == 0
    opened = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert assert_same_rows(out, opened) == (60 if "--one_row_per_meaning" in options else 30)


def test_the_starter_data_comes_back_too(build, out, folder, tmp_path):
    from datasets import load_dataset

    build("starter", "--resolution", "64", *EXPORT)
    assert assert_same_rows(out, load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))) == 80


def test_the_folder_holds_a_card_a_picture_the_shards_and_nothing_else(small, build, folder):
    build(*small, *EXPORT)
    shards = [f"data/{split}-00000-of-00001.parquet" for split in ("test", "train")]
    assert list(content(folder)) == ["README.md", *shards, "preview.png"]


def test_the_front_matter_is_complete_and_true(small, build, out, folder):
    build(*small, *EXPORT)
    card = (folder / "README.md").read_text("utf-8")
    head = yaml.safe_load(card.split("---\n")[1])
    assert (head["license"], head["task_categories"], head["language"]) == (
        "cc-by-sa-4.0",
        ["text-to-image"],
        ["en", "ja"],
    )
    assert (head["size_categories"], head["pretty_name"]) == (["n<1K"], "Kanji and their English meanings")
    assert head["configs"] == [
        {
            "config_name": "default",
            "data_files": [{"split": split, "path": f"data/{split}-*"} for split in ("train", "test")],
        }
    ]
    info = head["dataset_info"]
    assert [feature["name"] for feature in info["features"]] == [
        "image",
        *list(rows(out / "train" / "metadata.jsonl")[0])[1:],
    ]
    assert {split["name"]: split["num_examples"] for split in info["splits"]} == {
        split: len(rows(out / split / "metadata.jsonl")) for split in ("train", "test")
    }
    assert info["download_size"] == sum(shard.stat().st_size for shard in folder.glob("data/*"))
    assert info["dataset_size"] == sum(split["num_bytes"] for split in info["splits"]) > 0


def test_the_card_says_how_to_open_and_train_on_it_and_shows_the_picture(small, build, folder):
    build(*small, *EXPORT)
    card = (folder / "README.md").read_text("utf-8")
    assert 'load_dataset("data/kanji-parquet")' in card and "dataset_name: data/kanji-parquet" in card
    assert "](preview.png)" in card and "$" not in card and "imagefolder" not in card
    assert "Electronic Dictionary Research" in card and "Ulrich Apel" in card


@pytest.mark.parametrize(("samples", "shown"), [("4", range(4)), ("80", (0, 13, 26, 40, 53, 66))])
def test_the_picture_shows_examples_from_first_to_last_each_once(build, out, folder, samples, shown, monkeypatch):
    monkeypatch.setattr(parquet, "COLUMNS", 3)
    monkeypatch.setattr(parquet, "ROWS", 2)
    build("starter", "--resolution", str(parquet.SIDE), "--max_samples", samples, *EXPORT)
    written = rows(out / "train" / "metadata.jsonl")
    sheet = Image.open(folder / "preview.png")
    for n, row in enumerate(written[n] for n in shown):
        x = parquet.GAP + n % 3 * (parquet.SIDE + parquet.GAP)
        y = parquet.GAP + n // 3 * (parquet.SIDE + parquet.LABEL + parquet.GAP)
        cell = sheet.crop((x, y, x + parquet.SIDE, y + parquet.SIDE))
        assert cell.tobytes() == Image.open(out / "train" / row["file_name"]).tobytes()
        label = sheet.crop((x, y + parquet.SIDE, x + parquet.SIDE, y + parquet.SIDE + parquet.LABEL))
        assert label.getextrema()[0] < 100
    assert sheet.height == 2 * (parquet.SIDE + parquet.LABEL + parquet.GAP) + parquet.GAP


def test_an_export_that_is_there_is_left_alone(small, build, folder):
    build(*small, *EXPORT)
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*.p*")}, content(folder)
    assert build(*small, *EXPORT) == (0, "")
    assert ({file: file.stat().st_mtime_ns for file in folder.rglob("*.p*")}, content(folder)) == before


def test_an_export_of_other_content_is_replaced_and_nothing_comes_from_a_cache(small, build, out, folder, tmp_path):
    from datasets import load_dataset

    build(*small, "--test_fraction", "0.5", *EXPORT)
    build(*small, "--test_fraction", "0", "--stroke_width", "5", "--overwrite", *EXPORT)
    assert not list(folder.glob("data/test-*"))
    assert assert_same_rows(out, load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))) == 30


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: next(folder.glob("data/train-*")).unlink(),
        lambda folder: os.truncate(next(folder.glob("data/train-*")), 999),
        lambda folder: (folder / "preview.png").unlink(),
        lambda folder: (folder / "README.md").write_text(
            (folder / "README.md").read_text("utf-8").replace("dataset_info:", "dataset_info: {", 1), "utf-8"
        ),
    ],
    ids=["a shard gone", "a shard cut", "no picture", "a broken front matter"],
)
def test_what_is_no_longer_whole_is_made_again(small, build, folder, harm):
    build(*small, *EXPORT)
    before = content(folder)
    harm(folder)
    assert build(*small, *EXPORT)[0] == 0
    assert content(folder) == before


@pytest.mark.parametrize("made", ["a file", "a folder", "a card of something else", "a file beside the export's own"])
def test_what_is_not_ours_is_never_replaced(small, build, folder, made):
    if made == "a file":
        folder.write_text("thesis")
    elif made == "a file beside the export's own":
        build(*small, *EXPORT)
        (folder / "data" / "thesis.txt").write_text("thesis")
    else:
        folder.mkdir()
        (folder / ("thesis.txt" if made == "a folder" else "README.md")).write_text("---\nlicense: mit\n---\nthesis")
    before = content(folder) if folder.is_dir() else folder.read_bytes()
    code, said = build(*small, "--overwrite", "--stroke_width", "5", *EXPORT)
    assert code == 1 and "no part of an export: move it away" in said.splitlines()[-1]
    assert (content(folder) if folder.is_dir() else folder.read_bytes()) == before


def test_no_cache_and_no_working_folder_is_left(small, start, tmp_path):
    home = {"HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "home" / "hf"), "PATH": os.environ["PATH"]}
    process = start(*small, *EXPORT, "--output", tmp_path / "out", env=home)
    said, progress = process.communicate()
    assert process.returncode == 0 and "Generating train split" in progress
    assert f"{tmp_path / 'out-parquet'}: " in said and "MB of Parquet" in said
    assert sorted(os.listdir(tmp_path)) == ["kanjidic2.xml", "kanjivg.xml", "out", "out-parquet"]


def test_a_killed_export_leaves_nothing_that_is_taken_for_one(small, build, start, out, folder, tmp_path):
    build(*small)
    partial = tmp_path / ".out-parquet.partial"
    process = start(*small, *EXPORT, "--output", out, preexec_fn=lambda: os.nice(19))
    while not partial.exists() and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert partial.is_dir() and not folder.exists()
    # And what a later moment could have left: half a shard, and a card that is not to be trusted.
    (partial / "data").mkdir(exist_ok=True)
    (partial / "data" / "train-00009-of-00010.parquet").write_bytes(b"PAR1")
    (partial / "README.md").write_text("half")
    assert build(*small, *EXPORT)[0] == 0
    assert not partial.exists()
    build(*small, *EXPORT, output=tmp_path / "whole")
    assert content(folder) == content(tmp_path / "whole-parquet")


def test_a_swap_that_was_killed_in_the_middle_loses_nothing(small, build, folder, tmp_path):
    build(*small, *EXPORT)
    before = content(folder)
    folder.rename(tmp_path / ".out-parquet.old")
    assert build(*small, *EXPORT) == (0, "")
    assert content(folder) == before and not (tmp_path / ".out-parquet.old").exists()


def test_a_kill_while_the_card_was_written_does_no_harm(small, build, folder):
    build(*small, *EXPORT)
    before = content(folder)
    (folder / "README.md.tmp").write_text("half")
    assert build(*small, *EXPORT) == (0, "")
    assert content(folder) == before


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(small, build, start, out, folder):
    build(*small)
    # The system refuses files over 3,000 bytes: images and card fit, a shard does not.
    small_files = {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))}
    process = start(*small, *EXPORT, "--output", out, **small_files)
    progress = process.communicate()[1]
    said = progress.strip().splitlines()[-1]
    assert process.returncode == 1 and "Traceback" not in progress
    assert said.startswith("error: ") and "too large" in said and "the same command goes on from here" in said
    assert not folder.exists()
    assert build(*small, *EXPORT)[0] == 0


def test_an_image_that_is_gone_is_one_line(small, build, out, folder):
    build(*small)
    gone = next(out.glob("train/*.png"))
    gone.unlink()
    code, said = build(*small, *EXPORT)
    assert code == 1 and gone.name in said.splitlines()[-1] and "No such file" in said.splitlines()[-1]
    assert not folder.exists()


def test_a_second_export_at_the_same_time_is_told_so(small, build, tmp_path):
    build(*small)
    partial = tmp_path / ".out-parquet.partial"
    partial.mkdir()
    held = os.open(partial, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    code, said = build(*small, *EXPORT)
    assert code == 1 and "another process is building" in said.splitlines()[-1]
    os.close(held)
    assert build(*small, *EXPORT)[0] == 0


def test_two_exports_at_the_same_time_leave_one_whole(small, build, start, out, folder, tmp_path):
    from datasets import load_dataset

    build(*small)
    both = [start(*small, *EXPORT, "--output", out) for _ in range(2)]
    said = [process.communicate()[1] for process in both]
    assert 0 in [process.returncode for process in both] and "Traceback" not in "".join(said)
    assert assert_same_rows(out, load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))) == 30


def test_a_dataset_that_is_replaced_while_it_is_exported_is_not_exported(small, build, out, folder, monkeypatch):
    write_shards = parquet.write_shards

    def slowly(*args):
        info = write_shards(*args)
        said = json.loads((out / "build.json").read_text("utf-8"))
        imagefolder.write_json(out / "build.json", said | {"fingerprint": "0" * 64})
        return info

    monkeypatch.setattr(parquet, "write_shards", slowly)
    code, said = build(*small, *EXPORT)
    assert code == 1 and "replaced while it was exported" in said.splitlines()[-1] and not folder.exists()
