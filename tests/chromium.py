"""The Chromium of the tests and of the scripts that make pictures, and how it is started."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

# Written by scripts/find_chromium.py: `make chromium`, with which `make test` begins.
FOUND = Path(__file__).resolve().parents[1] / ".venv" / "chromium-path"
# Debian's Chromium as root refuses its sandbox; the rest keeps it from calling home.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def how_to_start() -> dict[str, Any]:
    """In Playwright's words."""
    return {"executable_path": FOUND.read_text().strip(), "args": ARGUMENTS}


@contextmanager
def started() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(**how_to_start())
