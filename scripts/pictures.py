"""What scripts that make pictures share: a browser, the whole of payflow, and pictures as files."""

# ruff: noqa: T201 - it talks to the terminal

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page

from sandbox.demo.postgres import Postgres, free_port
from scripts import find_chromium
from scripts.png import smaller
from tests.chromium import FOUND, started
from tests.stack import Program, Web, Worker, World, environment

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"


@contextmanager
def chromium() -> Iterator[Browser]:
    """As the tests have it; found now, where it has not been."""
    if find_chromium.main(FOUND) != 0:
        sys.exit(1)
    with started() as browser:
        yield browser


def window(browser: Browser, width: int, height: int, scheme: str) -> BrowserContext:
    """Of a browser whose system is "light" or "dark"."""
    return browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )


def shot(page: Page) -> bytes:
    page.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")
    return page.screenshot(full_page=True, animations="disabled")


def keep(file: Path, picture: bytes) -> None:
    """As a small PNG."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(smaller(picture))
    print(f"{file.name}: {file.stat().st_size // 1024} KiB")


@contextmanager
def payflow(
    settings: Mapping[str, str], *, letters: bool = False
) -> Iterator[tuple[str, World, dict[str, str]]]:
    """A payflow on a database and a stand-in of its own: its address, the world around it, its
    settings. Unless `letters` are asked for it has no worker, and what waits goes on waiting."""
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        postgres = running.enter_context(Postgres(folder / "postgres", durable=False))
        postgres.create_database("payflow")
        site = f"http://127.0.0.1:{free_port()}"
        world = World(folder / "sandbox", f"{site}/webhooks/stripe")
        running.callback(world.stop)
        variables = environment(postgres.url("payflow"), world, site) | settings
        migration = Program("flask", "--app", "wsgi", "db", "upgrade", environment=variables)
        assert migration.process.wait(60) == 0, migration.output()
        running.callback(Web(site, variables).stop)
        if letters:
            running.callback(Worker(variables).stop)
        yield site, world, variables
