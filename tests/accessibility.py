"""What keeps somebody out of a page: what axe finds, and a page that must be scrolled sideways."""

from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page


def violations(page: Page, options: dict[str, Any] | None = None) -> list[str]:
    return [
        f"{fault['id']}: {node['html']}"
        for fault in Axe().run(page, options=options).response["violations"]
        for node in fault["nodes"]
    ]


def is_too_wide(page: Page) -> bool:
    too_wide: bool = page.evaluate(
        "document.documentElement.scrollWidth > document.documentElement.clientWidth"
    )
    return too_wide


# Of a window, in pixels, and how large its letters are.
WINDOWS = (
    (640, "200%"),
    (640, "100%"),
    (320, "100%"),
    (390, "100%"),
    (800, "100%"),
    (1280, "100%"),
)


def overflows(page: Page) -> list[str]:
    """Where the page must be scrolled sideways, or something sticks out of its column: with letters
    of twice the size, at 200 % zoom, in a window of 320 pixels, which the page then has, and in a
    phone's, a tablet's and a desktop's."""
    found = []
    for width, letters in WINDOWS:
        page.set_viewport_size({"width": width, "height": 640})
        page.evaluate("size => document.documentElement.style.fontSize = size", letters)
        if is_too_wide(page):
            found.append(f"too wide for {width} px, letters of {letters}")
        if page.evaluate(STICKS_OUT):
            found.append(f"sticks out of its column at {width} px, letters of {letters}")
    return found


STICKS_OUT = """() => {
    const main = document.querySelector("main");
    return main.scrollWidth > main.clientWidth;
}"""
