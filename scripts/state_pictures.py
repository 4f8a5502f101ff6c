"""Makes the pictures of the customer's pages anew, under docs/images/states.

    python -m scripts.state_pictures [FOLDER [STATE …]]

Runs payflow on a database and a stand-in of its own, brings a payment into each state, and walks a
browser through all pages, at phone and desktop width, light and dark. The browser is the
environment's CHROMIUM, else the system's.
"""

# ruff: noqa: T201 - it talks to the terminal

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests
from playwright.sync_api import Browser, Page, sync_playwright

from sandbox.demo.postgres import Postgres
from scripts.png import smaller
from scripts.sandbox_pictures import BROWSER_ARGS
from tests import states
from tests.stack import Program, World, environment, free_port, until

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images" / "states"
SIZES = {"phone": (390, 760), "desktop": (1100, 760)}
LOOKS = {
    "BUSINESS_TAX_ID": "VAT IE1234567X",
    "TERMS_URL": "https://northlight.example/terms",
    "PRIVACY_URL": "https://northlight.example/privacy",
    "STATEMENT_DESCRIPTOR": "NORTHLIGHT",
}


def main(folder: Path, wanted: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with payflow() as (site, world, variables), sync_playwright() as playwright:
        chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_ARGS)
        payments = states.addresses(site, world, variables)
        world.set(api_faults=states.OUT_OF_ORDER)
        for name in wanted or [*states.OTHERS, *payments]:
            for look, page in looks(browser):
                if name in payments:
                    page.goto(payments[name])
                else:
                    states.OTHERS[name](page, site)
                file = folder / f"{name}-{look}.png"
                file.write_bytes(smaller(shot(page)))
                print(f"{file.name}: {file.stat().st_size // 1024} KiB")


@contextmanager
def payflow() -> Iterator[tuple[str, World, dict[str, str]]]:
    """The web server, without the worker: its address, the world around it, its settings."""
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        postgres = running.enter_context(Postgres(folder / "postgres", durable=False))
        postgres.create_database("payflow")
        site = f"http://127.0.0.1:{free_port()}"
        world = World(folder / "sandbox", f"{site}/webhooks/stripe")
        running.callback(world.stop)
        variables = environment(postgres.url("payflow"), world, site) | LOOKS
        migration = Program("flask", "--app", "wsgi", "db", "upgrade", environment=variables)
        assert migration.process.wait(60) == 0, migration.output()
        address = site.removeprefix("http://")
        web = Program(
            "gunicorn", "-c", "gunicorn.conf.py", "-b", address, "wsgi:app", environment=variables
        )
        running.callback(web.stop)
        until(lambda: answers(site), seconds=60)
        yield site, world, variables


def answers(site: str) -> bool:
    try:
        return requests.get(f"{site}/readyz", timeout=2).ok
    except requests.RequestException:
        return False


def looks(browser: Browser) -> Iterator[tuple[str, Page]]:
    for size, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            with browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
                reduced_motion="reduce",
            ) as context:
                yield f"{size}-{scheme}", context.new_page()


def shot(page: Page) -> bytes:
    page.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")
    return page.screenshot(full_page=True, animations="disabled")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER, sys.argv[2:])
