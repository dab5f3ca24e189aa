"""What the tests of all rooms share: where the checkout is, and what this machine lacks."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root():
    """The checkout's top folder."""
    return ROOT


def copy_checkout(folder):
    """Puts at `folder` what git would take, for commands that write beside the code."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def official_scripts():
    """diffusers' own training scripts are at hand, in the user's cache or by DIFFUSERS_EXAMPLES; else skips."""
    for name in ("train_text_to_image", "train_text_to_image_lora"):
        command = [sys.executable, "-c", f"from launch.script import script_path; script_path('{name}')"]
        if subprocess.run(command, cwd=ROOT, capture_output=True).returncode:
            pytest.skip("needs diffusers' official scripts (no way to github.com and no DIFFUSERS_EXAMPLES)")


@pytest.fixture(scope="session")
def shared_data():
    """Folder with real KANJIDIC2 and KanjiVG files; a machine without them skips."""
    folder = ROOT.parent / "shared" / "data"
    if not (folder / "kanjidic2.xml.gz").is_file():
        pytest.skip("needs ../shared/data (real KANJIDIC2 and KanjiVG)")
    return folder


@pytest.fixture(scope="module")
def one_thread():
    """Threads only wait for each other on a model this small."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def generated(monkeypatch, capsys):
    """Run the verb in this process: -> how many images it drew, and how many it said were there."""

    import generate

    def call(*argv):
        monkeypatch.setattr(sys, "argv", ["generate.py", *argv])
        generate.main()
        return tuple(int(n) for n in re.match(r"(\d+) images drawn, (\d+) were", capsys.readouterr().out).groups())

    return call


def pytest_terminal_summary(terminalreporter):
    """Counts the skipped tests by reason, whichever files they are in."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("skipped, by reason")
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count:5}  {reason}")
