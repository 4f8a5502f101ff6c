#!/bin/sh
# Finds a Python that can make virtual environments and hands over to setup.py.
# PYTHON names the one to take; without it the first good one on PATH is taken.
set -eu

venv=$1
here=$(dirname "$0")
lacking=

fail() {
    printf 'payflow set-up: %s\n' "$*" >&2
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' > /dev/null 2>&1
}

can_make_environments() {
    "$1" -c 'import ensurepip, ssl, venv' > /dev/null 2>&1
}

for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    is_new_enough "$python" || continue
    if can_make_environments "$python"; then
        exec "$python" "$here/setup.py" "$venv" ${PYTHON:+--exactly-this-python}
    fi
    lacking=${lacking:-$python}
done

if [ -n "$lacking" ]; then
    version=$("$lacking" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    fail "$lacking can't make virtual environments. On Debian and Ubuntu: apt-get install $version-venv"
fi
if [ -n "${PYTHON:-}" ]; then
    fail "PYTHON=$PYTHON is not a Python 3.11 or newer."
fi
fail "no Python 3.11 or newer on PATH. Install one (Debian, Ubuntu: python3 and python3-venv;" \
    "macOS: brew install python), or name one: make PYTHON=/path/to/python3 …"
