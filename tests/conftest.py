"""What the tests of all rooms share: where the checkout is, and what this machine lacks."""

from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root():
    """The checkout's top folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data():
    """Folder with real KANJIDIC2 and KanjiVG files; a machine without them skips."""
    folder = ROOT.parent / "shared" / "data"
    if not (folder / "kanjidic2.xml.gz").is_file():
        pytest.skip("needs ../shared/data (real KANJIDIC2 and KanjiVG)")
    return folder


def pytest_terminal_summary(terminalreporter):
    """Counts the skipped tests by reason, whichever files they are in."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("skipped, by reason")
        for reason, count in reasons.most_common():
            terminalreporter.line(f"{count:5}  {reason}")
