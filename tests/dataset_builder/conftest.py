"""Small sources, and the builder as a user runs it."""

import subprocess
import sys
from pathlib import Path

import pytest
from small_sources import entry, kanjidic2, kanjivg_xml

from dataset_builder.__main__ import main


@pytest.fixture
def small(tmp_path):
    """Options that name a small KANJIDIC2 and KanjiVG: 30 characters in both, and what has to be left out."""
    codes = [0x4E00 + 7 * n for n in range(30)]
    entries = "".join(entry(chr(code), f"thing {n}", f"stuff {n}") for n, code in enumerate(codes))
    entries += entry("鬱") + entry("薔", "rose")  # no English, no drawing
    (tmp_path / "kanjidic2.xml").write_text(kanjidic2(entries), "utf-8")
    names = [f"{code:05x}" for code in codes]
    others = ["09b31", "00041", "04e00-Kaisho"]  # 鬱, Latin A, a variant; hiragana a comes first of all
    (tmp_path / "kanjivg.xml").write_text(kanjivg_xml("03042", *names, *others), "utf-8")
    sources = ["--kanjidic2", tmp_path / "kanjidic2.xml", "--kanjivg", tmp_path / "kanjivg.xml"]
    return ["kanji", *sources, "--test_fraction", "0.2", "--resolution", "32"]


@pytest.fixture
def build(tmp_path, monkeypatch, capsys):
    """Runs the builder in this process, its output in tmp_path/out; returns (exit code, what it said on stderr)."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*args, output: Path = tmp_path / "out") -> tuple[int | str | None, str]:
        capsys.readouterr()
        try:
            main([*map(str, args), "--output", str(output)])
        except SystemExit as stop:
            printed = capsys.readouterr().err
            return (1, f"{printed}{stop.code}") if isinstance(stop.code, str) else (stop.code, printed)
        return 0, capsys.readouterr().err

    return run


@pytest.fixture
def start(tmp_path, root):
    """Starts the builder as a process of its own."""
    processes = []

    def run(*args, **options) -> subprocess.Popen:
        command = [sys.executable, "-m", "dataset_builder", *map(str, args)]
        process = subprocess.Popen(
            command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        process.kill()
        process.communicate()
