"""Makes the pictures of the customer's pages anew, under docs/images/states.

    python -m scripts.state_pictures [FOLDER [STATE …]]

Runs payflow on a database and a stand-in of its own, brings a payment into each state, and walks a
browser through all pages, at phone and desktop width, light and dark. The browser is the
tests'; the environment's CHROMIUM names another.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page

from scripts.pictures import IMAGES, chromium, keep, payflow, shot, window
from tests import states

SIZES = {"phone": (390, 760), "desktop": (1100, 760)}
LOOKS = {
    "BUSINESS_TAX_ID": "VAT IE1234567X",
    "TERMS_URL": "https://northlight.example/terms",
    "PRIVACY_URL": "https://northlight.example/privacy",
    "STATEMENT_DESCRIPTOR": "NORTHLIGHT",
}


def main(folder: Path, wanted: list[str]) -> None:
    with payflow(LOOKS) as (site, world, variables), chromium() as browser:
        payments = states.addresses(site, world, variables)
        world.set(api_faults=states.OUT_OF_ORDER)
        for name in wanted or [*states.OTHERS, *payments]:
            for look, page in looks(browser):
                if name in payments:
                    page.goto(payments[name])
                else:
                    states.OTHERS[name](page, site)
                keep(folder / f"{name}-{look}.png", shot(page))


def looks(browser: Browser) -> Iterator[tuple[str, Page]]:
    for size, (width, height) in SIZES.items():
        for scheme in ("light", "dark"):
            with window(browser, width, height, scheme) as context:
                yield f"{size}-{scheme}", context.new_page()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES / "states", sys.argv[2:])
