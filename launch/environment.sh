#!/usr/bin/env bash
# Prints the path of a Python that has what the given requirements files ask for:
#
#     python=$(launch/environment.sh requirements.txt tests/requirements.txt)
#
# That is the active environment ($PYTHON, else python3) where it satisfies them, else .venv, made or finished here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

die() { echo "$*" >&2; exit 1; }

# ---- there already? ----------------------------------------------------------------------------------------------

active=${PYTHON:-python3}
answer=$("$active" launch/environment.py "$@" 2>&1) && echo "$answer" && exit
# Someone who has activated an environment, or named a Python, expects it to be used: say why it is not.
[[ -z ${PYTHON:-${VIRTUAL_ENV:-${CONDA_PREFIX:-}}} ]] || echo "Using .venv, not $active: ${answer##*$'\n'}" >&2
.venv/bin/python launch/environment.py "$@" 2>/dev/null && exit

# ---- a Python to make it with ------------------------------------------------------------------------------------

# pyenv's python3.12 can be on PATH and yet fail, so each is run and not just looked up.
for base in "$active" python3.12 python3.11 python3.10 none; do
    "$base" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null && break
done
[[ $base != none ]] || die "No Python 3.10 to 3.12 on PATH: install one, or name one by PYTHON=/path/to/python."
"$base" -c 'import ensurepip, venv' 2>/dev/null ||
    die "$base cannot make environments (no ensurepip): install it, on Debian and Ubuntu by: apt install python3-venv"

# ---- .venv: made, or finished where an earlier run was killed ------------------------------------------------------

echo "Setting up .venv ($*): about three minutes and 8 GB the first time." >&2
if ! .venv/bin/python -c '' 2>/dev/null; then
    "$base" -m venv --clear .venv >&2 # --clear: what is there does not run, its Python may have been uninstalled
elif ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
    "$base" -m venv .venv >&2
fi
# pip writes RECORD last: a package without one was cut short, and pip would take it for installed.
for package in .venv/lib/python3*/site-packages/*.dist-info; do
    [[ -f $package/RECORD || ! -d $package ]] || rm -r "$package"
done
.venv/bin/python -m pip install --disable-pip-version-check "${@/#/--requirement=}" >&2 ||
    die "pip could not install what $* asks for (see above); the next run goes on from here."
.venv/bin/python launch/environment.py "$@"
