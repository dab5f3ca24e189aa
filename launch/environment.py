"""Does this Python have what requirements files ask for?

    python launch/environment.py FILE...

Prints the interpreter's path and exits with 0, or says in one line what is missing and exits with 1. It looks at the
metadata of installed packages only, so that it answers in a tenth of a second where importing torch takes seconds.
"""

from __future__ import annotations

import sys
from pathlib import Path


def missing_requirements(files: list[str]) -> list[str]:
    """The lines of `files` that this environment does not satisfy, each with what is there instead."""
    from importlib.metadata import PackageNotFoundError, distribution

    from packaging.requirements import Requirement

    missing = []
    lines = [line.partition("#")[0].strip() for file in files for line in Path(file).read_text("utf-8").splitlines()]
    for line in filter(None, lines):
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            package = distribution(requirement.name)
        except PackageNotFoundError:
            missing.append(line)
            continue
        if not requirement.specifier.contains(package.version, prereleases=True):
            missing.append(f"{line} (has {package.version})")
        elif package.read_text("METADATA") and not package.read_text("RECORD") and not package.read_text("INSTALLER"):
            missing.append(f"{line} (half installed)")  # pip writes these two last, and was killed before
    return missing


def main():
    if not (3, 10) <= sys.version_info[:2] <= (3, 12):
        sys.exit(f"it is Python {sys.version_info[0]}.{sys.version_info[1]}, not 3.10 to 3.12")
    try:
        missing = missing_requirements(sys.argv[1:])
    except ImportError:  # packaging comes with accelerate: where it is missing, so is the rest
        sys.exit("it lacks what " + " and ".join(sys.argv[1:]) + " ask for")
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        sys.exit("it lacks " + ", ".join(missing[:3]) + more)
    print(sys.executable)


if __name__ == "__main__":
    main()
