"""launch/environment.sh, offline: its requirements are wheels that the test packs."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

from launch.environment import missing_requirements

REAL_PYTHON = sys._base_executable if sys.prefix != sys.base_prefix else sys.executable
needs_ensurepip = pytest.mark.skipif(find_spec("ensurepip") is None, reason="needs ensurepip (python3-venv)")


def pack_wheel(folder: Path, name: str, version: str = "1.0", files: dict[str, str] | None = None) -> None:
    info = f"{name}-{version}.dist-info"
    files = files or {f"{name}.py": ""}
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files[f"{info}/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    """A folder with a wheel of tinything and one of packaging, which the check itself imports."""
    folder = tmp_path_factory.mktemp("wheels")
    pack_wheel(folder, "tinything")
    sources = [path for path in metadata.files("packaging") if path.suffix == ".py"]
    pack_wheel(folder, "packaging", metadata.version("packaging"), {str(path): path.read_text() for path in sources})
    return folder


@pytest.fixture
def checkout(tmp_path, root, wheels):
    """A folder with the launcher in it and the requirement tinything; `checkout.set_up()` runs environment.sh."""

    class Checkout:
        folder = tmp_path / "it's a 漢字 folder"
        environment = os.environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels), "PYTHON": REAL_PYTHON}
        venv = folder / ".venv"

        def set_up(self, **environment):
            environment = self.environment | environment
            command = ["bash", "launch/environment.sh", "requirements.txt"]
            return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)

    shutil.copytree(root / "launch", Checkout.folder / "launch", ignore=shutil.ignore_patterns("__pycache__"))
    (Checkout.folder / "requirements.txt").write_text("tinything==1.0\npackaging\n")
    return Checkout()


def path_with(folder: Path, script: str) -> str:
    """A PATH on which every Python is the shell script `script`."""
    folder.mkdir()
    for name in ("python3", "python3.12", "python3.11", "python3.10"):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    for tool in ("bash", "dirname"):
        (folder / tool).symlink_to(shutil.which(tool))
    return str(folder)


@needs_ensurepip
def test_a_bare_machine_gets_an_environment_once_and_what_failed_or_was_killed_is_finished(checkout, tmp_path):
    # python3 and python3.12 are pyenv's shims of versions that are not there; python3.11 is one
    path = path_with(tmp_path / "bin", "echo 'pyenv: command not found' >&2; exit 127")
    (tmp_path / "bin" / "python3.11").write_text(f'#!/bin/sh\nexec {REAL_PYTHON} "$@"\n')
    checkout.environment |= {"PYTHON": "", "PATH": f"{path}:{os.environ['PATH']}"}
    failed = checkout.set_up(PIP_FIND_LINKS="/nonexistent")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "pip could not install what requirements.txt asks for" in failed.stderr.splitlines()[-1]

    first = checkout.set_up()
    assert first.returncode == 0, first.stderr
    assert first.stdout == f"{checkout.venv}/bin/python\n"
    assert "Setting up .venv" in first.stderr

    second = checkout.set_up(PIP_FIND_LINKS="/nonexistent")
    assert second.stdout == first.stdout
    assert "Setting up" not in second.stderr

    # what pip leaves that was killed while it unpacked a package: files, and no list of them
    (info,) = checkout.venv.glob("lib/python3*/site-packages/tinything-1.0.dist-info")
    (info / "RECORD").unlink()
    (info / "INSTALLER").unlink()
    (info.parent / "tinything.py").unlink()
    third = checkout.set_up()
    assert third.stdout == first.stdout, third.stderr
    assert "Setting up .venv" in third.stderr
    assert (info / "RECORD").is_file()
    assert (info.parent / "tinything.py").is_file()

    # and one whose Python was uninstalled since
    (checkout.venv / "bin" / "python").unlink()
    (checkout.venv / "bin" / "python").symlink_to("/nonexistent/python3")
    assert checkout.set_up().stdout == first.stdout


def test_an_active_environment_that_has_everything_is_used(checkout):
    (checkout.folder / "requirements.txt").write_text("packaging\npytest>=1  # with a comment\n\n")
    answer = checkout.set_up(PYTHON=sys.executable)
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, f"{sys.executable}\n", "")
    assert not checkout.venv.exists()


@pytest.mark.parametrize(
    ("script", "message"),
    [
        # a pyenv shim: on PATH, and yet no Python
        ("echo 'pyenv: python3: command not found' >&2; exit 127", "No Python 3.10 to 3.12 on PATH"),
        (f'case "$*" in *ensurepip*) exit 1;; esac; exec {REAL_PYTHON} "$@"', "apt install python3-venv"),
    ],
)
def test_a_machine_that_lacks_what_it_takes_is_told_in_one_line(checkout, tmp_path, script, message):
    answer = checkout.set_up(PATH=path_with(tmp_path / "bin", script), PYTHON="")
    assert answer.returncode == 1
    assert answer.stderr.count("\n") == 1
    assert message in answer.stderr
    assert not checkout.venv.exists()


@pytest.mark.parametrize(
    ("line", "missing"),
    [
        ("pytest", []),
        (f"pytest=={metadata.version('pytest')}", []),
        ("pytest==0.1", [f"pytest==0.1 (has {metadata.version('pytest')})"]),
        ("no-such-thing==1.0", ["no-such-thing==1.0"]),
        ('no-such-thing==1.0; python_version < "3.10"', []),
        ('no-such-thing==1.0; python_version >= "3.10"', ['no-such-thing==1.0; python_version >= "3.10"']),
        ("# no-such-thing", []),
        ("", []),
    ],
)
def test_a_requirement_is_compared_with_what_is_installed(tmp_path, line, missing):
    (tmp_path / "requirements.txt").write_text(line)
    assert missing_requirements([str(tmp_path / "requirements.txt")]) == missing
