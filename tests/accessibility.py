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


def overflows(page: Page) -> list[str]:
    """Where the page must be scrolled sideways: with letters of twice the size, at 200 % zoom, and
    in a window of 320 pixels, which the page then has."""
    found = []
    for width, letters in ((640, "200%"), (640, "100%"), (320, "100%")):
        page.set_viewport_size({"width": width, "height": 640})
        page.evaluate("size => document.documentElement.style.fontSize = size", letters)
        if is_too_wide(page):
            found.append(f"too wide for {width} px, letters of {letters}")
    return found
