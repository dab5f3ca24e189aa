"""A dataset is whole, or not there, whatever happens to its build: kills, other options, full disks, a second one."""

import fcntl
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import time

import pytest
from PIL import Image
from small_sources import content, kanjivg_xml

from dataset_builder import imagefolder


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_the_bytes_are_the_same_whatever_num_proc_is(small, build, start, out, tmp_path):
    assert build(*small)[0] == 0
    three = start(*small, "--num_proc", "3", "--output", tmp_path / "three")
    assert three.communicate()[1] is not None and three.returncode == 0
    assert content(tmp_path / "three") == content(out)


def test_a_killed_build_goes_on_and_gives_the_bytes_of_an_unkilled_one(small, build, start, tmp_path):
    options = [*small[:-1], "700"]  # large images, so that there is time to kill
    out, partial = tmp_path / "killed", tmp_path / ".killed.partial"
    process = start(*options, "--output", out, preexec_fn=lambda: os.nice(19))  # it must not outrun this test
    while len(list(partial.glob("*/*.png"))) < 5 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    drawn = {file: file.stat().st_mtime_ns for file in partial.glob("*/*.png")}
    assert 5 <= len(drawn) < 30 and not out.exists()
    # And what a power cut may leave besides: half a PNG, an empty one, a temporary file.
    half, empty, *rest = sorted(drawn)
    half.write_bytes(half.read_bytes()[:-100])
    empty.write_bytes(b"")
    (partial / "train" / "0ffff.png.tmp").write_bytes(b"x")

    assert build(*options, output=out)[0] == 0
    assert not partial.exists()
    kept = [out / file.relative_to(partial) for file in rest]
    assert [file.stat().st_mtime_ns for file in kept] == [drawn[file] for file in rest]
    assert build(*options, output=tmp_path / "whole")[0] == 0
    assert content(out) == content(tmp_path / "whole")


@pytest.fixture
def unfinished(small, build, out, tmp_path):
    """A build at 32 pixels that stopped after everything was drawn."""
    build(*small)
    partial = tmp_path / ".out.partial"
    out.rename(partial)
    plan = json.loads((partial / "build.json").read_text("utf-8"))
    plan.pop("counts")
    (partial / "build.json").write_text(json.dumps(plan | {"fingerprint": None}), "utf-8")
    return partial


@pytest.mark.parametrize(
    "options", [["--resolution", "40"], ["--stroke_width", "5"], ["--test_fraction", "0.5"], ["--max_samples", "20"]]
)
def test_a_build_with_other_options_takes_nothing_of_an_unfinished_one(
    small, build, out, unfinished, tmp_path, options
):
    code, said = build(*small, *options)
    assert code == 0 and "thrown away" in said
    build(*small, *options, output=tmp_path / "fresh")
    assert content(out) == content(tmp_path / "fresh")


def test_a_build_from_other_sources_takes_nothing_of_an_unfinished_one(small, build, out, unfinished, tmp_path):
    xml = (tmp_path / "kanjivg.xml").read_text("utf-8")
    (tmp_path / "kanjivg.xml").write_text(xml.replace("M30,80c10,2 20,3 30,3", "M30,70c10,2 20,3 30,3"), "utf-8")
    build(*small)
    build(*small, output=tmp_path / "fresh")
    assert content(out) == content(tmp_path / "fresh")


def test_a_partial_folder_with_an_unreadable_plan_is_not_trusted(small, build, out, unfinished, tmp_path):
    for png in unfinished.glob("*/*.png"):
        Image.new("L", (32, 32), 7).save(png)
    (unfinished / "build.json").write_text('{"source": "kan')
    build(*small)
    build(*small, output=tmp_path / "fresh")
    assert content(out) == content(tmp_path / "fresh")


def test_a_whole_build_is_left_alone(small, build, out, capsys):
    build(*small)
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    assert build(*small, "--num_proc", "2") == (0, "")
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == before


def test_other_options_need_overwrite_and_say_so(small, build, out):
    build(*small)
    before = content(out)
    code, said = build(*small, "--resolution", "40", "--max_meanings", "1")
    assert code == 1 and said.count("\n") == 0
    assert (
        "--max_meanings None, not 1; --resolution 32, not 40" in said and "--overwrite" in said and "--output" in said
    )
    assert content(out) == before


def test_overwrite_replaces_the_whole_dataset(small, build, out, tmp_path):
    build(*small, "--test_fraction", "0.5")
    assert build(*small, "--test_fraction", "0", "--overwrite")[0] == 0
    build(*small, "--test_fraction", "0", output=tmp_path / "fresh")
    assert content(out) == content(tmp_path / "fresh")
    assert not (tmp_path / ".out.old").exists() and not (tmp_path / ".out.partial").exists()


def test_a_failing_build_leaves_the_good_one_where_it_is(small, build, out, tmp_path):
    build(*small)
    before = content(out)
    (tmp_path / "kanjivg.xml").write_text("<kanjivg><kanji", "utf-8")
    assert build(*small, "--overwrite")[0] == 1
    assert content(out) == before


def test_a_swap_that_was_killed_in_the_middle_loses_nothing(small, build, out, tmp_path):
    build(*small)
    before = content(out)
    out.rename(tmp_path / ".out.old")
    assert build(*small) == (0, "")
    assert content(out) == before


def test_a_dataset_of_an_earlier_version_of_the_builder_is_another_dataset(small, build, monkeypatch):
    monkeypatch.setattr(imagefolder, "VERSION", 0)
    build(*small)
    monkeypatch.undo()
    code, said = build(*small)
    assert code == 1 and "version 0, not 1" in said


def test_what_a_swap_could_not_clear_away_is_cleared_later(small, build, out, tmp_path):
    build(*small)
    before = content(out)
    shutil.copytree(out, tmp_path / ".out.old")
    assert build(*small) == (0, "")
    assert content(out) == before and not (tmp_path / ".out.old").exists()


def test_a_changed_source_is_another_dataset(small, build, out, tmp_path):
    build(*small)
    (tmp_path / "kanjivg.xml").write_text(kanjivg_xml("04e00", "04e07"), "utf-8")
    code, said = build(*small)
    assert code == 1 and "another KanjiVG" in said


@pytest.mark.parametrize("made", ["a file", "a folder with a file", "a dataset without its fingerprint"])
def test_what_is_not_ours_is_never_replaced(small, build, out, made):
    if made == "a file":
        out.write_text("thesis")
    elif made == "a folder with a file":
        out.mkdir()
        (out / "thesis.txt").write_text("thesis")
    else:
        build(*small)
        (out / "build.json").write_text("{}")
    code, said = build(*small, "--overwrite")
    assert code == 1 and "no dataset of this builder's" in said
    assert out.is_file() or content(out)


def test_an_empty_folder_may_be_there(small, build, out):
    out.mkdir()
    assert build(*small)[0] == 0


def test_two_builds_of_one_dataset_do_not_mix(small, build, tmp_path):
    partial = tmp_path / ".out.partial"
    partial.mkdir()
    held = os.open(partial, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    code, said = build(*small)
    assert code == 1 and "another process is building" in said
    os.close(held)
    assert build(*small)[0] == 0


def test_a_full_disk_is_one_line_and_the_next_run_goes_on(small, start, build, tmp_path):
    out, partial = tmp_path / "full", tmp_path / ".full.partial"
    # The system refuses files over 3,000 bytes: the plan of the build fits, an image of 700 pixels does not.
    options = [*small[:-1], "700", "--output", out]
    process = start(*options, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)))
    said = process.communicate()[1].strip().splitlines()[-1]
    assert process.returncode == 1
    assert said.startswith("error: ") and "too large" in said and "the same command goes on from here" in said
    assert not out.exists() and not list(partial.rglob("*.tmp"))
    for png in partial.glob("*/*.png"):
        Image.open(io.BytesIO(png.read_bytes())).load()
    assert build(*small[:-1], "700", output=out)[0] == 0


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("mount"),
    reason="needs root, to mount a small disk",
)
def test_a_really_full_disk_is_one_line_and_keeps_what_was_drawn(small, build, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=80k", "none", disk], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        code, said = build(*small[:-1], "500", output=disk / "out")
        assert code == 1 and "No space left on device" in said.splitlines()[-1]
        assert not (disk / "out").exists()
        drawn = list((disk / ".out.partial").glob("*/*.png"))
        assert drawn and not list((disk / ".out.partial").rglob("*.tmp"))
        subprocess.run(["mount", "-o", "remount,size=10m", disk], check=True)
        assert build(*small[:-1], "500", output=disk / "out")[0] == 0
    finally:
        subprocess.run(["umount", disk])
