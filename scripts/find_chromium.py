"""Finds a Chromium for the browser's checks, else gets one; writes its path to a file.

    python find_chromium.py FILE

The environment's CHROMIUM comes first, then what is installed, then what Playwright downloaded
before. If there is none: the system's package where we may install it, else Playwright's own
download.
"""

# ruff: noqa: S603, T201 - it starts programs and talks to the terminal

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MAC_APPS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
NONE_TO_BE_HAD = """\
No Chromium is here, and none could be installed. Any of these mends it:
  - install one (Debian: apt-get install chromium; macOS: brew install --cask google-chrome)
  - CHROMIUM=/path/to/chromium make test
  - .venv/bin/python -m playwright install --with-deps chromium"""


def main(file: Path) -> int:
    known = file.read_text().strip() if file.exists() else ""
    if known and Path(known).exists() and os.environ.get("CHROMIUM") in (None, "", known):
        return 0
    found = named() or installed() or fetched()
    if found is None:
        print(NONE_TO_BE_HAD, file=sys.stderr)
        return 1
    file.write_text(f"{found}\n")
    print(f"Browser for the checks: {found}")
    return 0


def named() -> "str | None":
    path = os.environ.get("CHROMIUM")
    if path and not runs(path):
        sys.exit(f"CHROMIUM={path} does not run")
    return path


def installed() -> "str | None":
    return next((path for path in candidates() if runs(path)), None)


def candidates() -> Iterator[str]:
    yield from filter(None, map(shutil.which, NAMES))
    yield from (path for path in MAC_APPS if Path(path).exists())
    if Path(downloaded()).exists():
        yield downloaded()


def downloaded() -> str:
    """Where Playwright keeps its own, there or not."""
    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def runs(path: str) -> bool:
    """Ubuntu's chromium-browser is a stub where snap is missing; a download may lack libraries."""
    try:
        result = subprocess.run([path, "--version"], check=False, capture_output=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0


def fetched() -> "str | None":
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing the system's Chromium …", flush=True)
        wait_for_others = "DPkg::Lock::Timeout=300"
        attempt("apt-get", "-o", wait_for_others, "-q", "update")
        attempt("apt-get", "-o", wait_for_others, "-q", "-y", "install", "chromium")
        if path := installed():
            return path
    print("Downloading a Chromium with Playwright …", flush=True)
    attempt(sys.executable, "-m", "playwright", "install", "chromium")
    return installed()


def attempt(*command: str) -> None:
    """Whether it helped is seen by looking for a Chromium again; what went wrong is shown."""
    result = subprocess.run(
        command,
        check=False,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
    )
    if result.returncode != 0:
        print(result.stdout, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
