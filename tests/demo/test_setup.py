"""`make`'s set-up: a virtual environment in a clone of its own, without the packages."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.processes import ROOT

NOBODY = 65534
MADE = "Making a virtual environment"
INSTALLED = "Installing the pinned packages"


@pytest.fixture
def clone() -> Iterator[Path]:
    """What the set-up needs of one, and nothing to install. Not in pytest's folder, which pytest
    closes to all other users whenever it starts."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "home" / "payflow"
        (clone / "scripts").mkdir(parents=True)
        for name in ("Makefile", "scripts/setup.sh", "scripts/setup.py"):
            shutil.copy(ROOT / name, clone / name)
        for name in ("requirements.txt", "requirements-dev.txt", "requirements-nodeps.txt"):
            (clone / name).write_text("# nothing\n")
        yield clone


def set_up(
    clone: Path, *arguments: str, user: int | None = None, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    kept = {"HOME": str(clone.parent), "PATH": path or os.environ["PATH"]}
    command = ["make", "setup", *arguments]
    return subprocess.run(
        command,
        cwd=clone,
        env=kept,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )


def this_python() -> str:
    return f"PYTHON={Path(sys.base_prefix) / 'bin' / 'python3'}"


def test_it_does_what_is_needed_and_no_more(clone: Path) -> None:
    """One story, since each virtual environment takes seconds to make."""
    first = set_up(clone, this_python())
    assert MADE in first.stdout, first.stderr

    again = set_up(clone, this_python())
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    (clone / "requirements-dev.txt").write_text("# something else\n")
    changed = set_up(clone, this_python())
    assert INSTALLED in changed.stdout
    assert MADE not in changed.stdout

    (clone / "requirements-nodeps.txt").write_text("# something else\n")
    assert INSTALLED in set_up(clone, this_python()).stdout

    moved = clone.rename(clone.with_name("elsewhere"))
    assert MADE in set_up(moved, this_python()).stdout
    pip = subprocess.run([moved / ".venv/bin/pip", "--version"], capture_output=True, check=True)
    assert str(moved).encode() in pip.stdout

    (moved / "requirements-dev.txt").write_text("./no-such-package\n")
    failed = set_up(moved, this_python())
    assert failed.returncode != 0
    assert "no-such-package" in failed.stdout

    (moved / "requirements-dev.txt").write_text("# nothing\n")
    mended = set_up(moved, this_python())
    assert MADE in mended.stdout, "what was left half made is not to be built on"
    assert mended.returncode == 0


def test_a_python_that_will_not_do_is_answered_with_a_sentence(clone: Path) -> None:
    named = set_up(clone, "PYTHON=/bin/false")
    assert "PYTHON=/bin/false is not a Python 3.11 or newer" in named.stderr

    tools = clone.parent / "bin"
    tools.mkdir()
    for tool in ("make", "sh", "dirname"):
        found = shutil.which(tool)
        assert found is not None
        (tools / tool).symlink_to(found)
    none = set_up(clone, path=str(tools))
    assert "no Python 3.11 or newer on PATH" in none.stderr

    bare = tools / "python3.12"
    bare.write_text(
        f'#!/bin/sh\ncase $2 in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n'
    )
    bare.chmod(0o755)
    without_venv = set_up(clone, path=str(tools))
    assert "can't make virtual environments" in without_venv.stderr
    assert "-venv" in without_venv.stderr


def test_an_ordinary_user_sets_up_under_a_closed_home(clone: Path) -> None:
    home = clone.parent
    user = NOBODY if os.geteuid() == 0 else os.geteuid()
    python = a_python_for(user)
    if python is None:
        pytest.skip("root's is the only Python here that can make virtual environments")
    if user == NOBODY:
        home.parent.chmod(0o711)
        for path in [home, *home.rglob("*")]:
            os.chown(path, user, user)
    home.chmod(0o700)

    result = set_up(clone, f"PYTHON={python}", user=user if user == NOBODY else None)

    assert result.returncode == 0, result.stdout + result.stderr
    assert (clone / ".venv" / "payflow-ready").stat().st_uid == user


def a_python_for(user: int) -> str | None:
    """One that can make virtual environments, and that this user can reach."""
    code = "import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))"
    installed = Path(sys.base_prefix) / "bin" / "python3"
    for python in (str(installed), "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            command = [python, "-c", code]
            as_user = user if os.geteuid() == 0 else None
            if subprocess.run(command, user=as_user, capture_output=True).returncode == 0:
                return python
        except OSError:
            continue
    return None
