"""Makes the virtual environment and installs the pinned packages, once.

    python setup.py VENV [--exactly-this-python]

A stamp in the environment tells what it was made from. While it is right there is nothing to do,
and no network is needed. Standard library only: it runs before anything is installed.
"""

# ruff: noqa: S603, T201 - it starts programs and talks to the terminal

import fcntl
import hashlib
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".make"
REQUIREMENTS = ROOT / "requirements-dev.txt"  # all of requirements.txt, and more
WITHOUT_THEIR_OWN = ROOT / "requirements-nodeps.txt"
MADE_FROM = [ROOT / "requirements.txt", REQUIREMENTS, WITHOUT_THEIR_OWN]


def main(folder: Path, exactly_this_python: bool) -> int:
    WORK.mkdir(exist_ok=True)
    with (WORK / "setup.lock").open("w") as lock:  # make demo beside make test
        fcntl.flock(lock, fcntl.LOCK_EX)
        version = environment_version(folder)
        if exactly_this_python and version != sys.version:
            version = None
        if version is not None and is_ready(folder, version):
            return 0
        if folder.is_symlink():
            say(
                f"{folder.name} is a link, and remaking it would empty what it leads to: remove it."
            )
            return 1
        return make(folder, keep=version is not None and is_sound(folder))


def make(folder: Path, keep: bool) -> int:
    began = time.monotonic()
    half_made(folder).touch()  # pip takes a package it was killed in the midst of for installed
    if not keep:
        say(f"Making a virtual environment in {folder.name}, with {sys.executable} …")
        venv.create(folder, clear=True, with_pip=True, symlinks=True)
    say("Installing the pinned packages; the first time this takes a minute or two …")
    result = install(folder)
    if result.returncode != 0:
        say(f"{result.stdout}\nInstalling failed; what pip said stands above.")
        return 1
    half_made(folder).unlink()
    stamp(folder).write_text(fingerprint(folder, environment_version(folder) or ""))
    say(f"Ready, after {time.monotonic() - began:.0f} s.")
    return 0


def is_ready(folder: Path, version: str) -> bool:
    made_from = stamp(folder).read_text() if stamp(folder).exists() else None
    return made_from == fingerprint(folder, version) and not half_made(folder).exists()


def is_sound(folder: Path) -> bool:
    """Not in an environment that was moved: its programs lead nowhere."""
    made_here = str(folder) in (folder / "pyvenv.cfg").read_text()
    return made_here and not half_made(folder).exists()


def install(folder: Path) -> "subprocess.CompletedProcess[str]":
    pip = [str(python_in(folder)), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    for arguments in ([str(REQUIREMENTS)], [str(WITHOUT_THEIR_OWN), "--no-deps", "--no-compile"]):
        result = subprocess.run(
            [*pip, "install", "--quiet", "--requirement", *arguments],
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if result.returncode != 0:
            break
    return result


def fingerprint(folder: Path, version: str) -> str:
    digest = hashlib.sha256(f"{folder}\0{version}\0".encode())
    for path in MADE_FROM:
        digest.update(path.read_bytes())
    return digest.hexdigest() + "\n"


def environment_version(folder: Path) -> "str | None":
    """None if there is no Python there, or one that no longer runs or is too old."""
    code = "import sys; sys.version_info < (3, 11) and sys.exit(1); print(sys.version, end='')"
    try:
        result = subprocess.run(
            [str(python_in(folder)), "-c", code], check=False, capture_output=True, text=True
        )
    except OSError:
        return None
    return result.stdout if result.returncode == 0 else None


def python_in(folder: Path) -> Path:
    return folder / "bin" / "python"


def stamp(folder: Path) -> Path:
    return folder / "payflow-ready"


def half_made(folder: Path) -> Path:
    """Outside of the environment, since making one begins with emptying the folder."""
    return WORK / f"half-made{folder.name}"


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), "--exactly-this-python" in sys.argv[2:]))
