"""Makes the pictures of the sandbox's pages anew, under docs/images/sandbox.

    python -m scripts.sandbox_pictures [FOLDER]

Starts a sandbox of its own, walks a browser through the hosted page's states and the desk's pages,
at phone and desktop width, light and dark, and keeps each as a small PNG. The browser is the
tests'; the environment's CHROMIUM names another.
"""

import smtplib
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from scripts.pictures import IMAGES, chromium, keep, shot, window
from tests.sandbox.conftest import (
    SECRET,
    Endpoint,
    Sandbox,
    client_of,
    fill_card,
    session_params,
    start_sandbox,
)

SIZES = {"phone": (390, 844), "desktop": (1200, 860)}
INVOICE = {
    "quantity": 1,
    "price_data": {
        "currency": "eur",
        "unit_amount": 12500,
        "product_data": {"name": "Invoice 2026-118"},
    },
}


def main(folder: Path) -> None:
    sandbox = start_sandbox()
    try:
        with chromium() as browser:
            for size in SIZES:
                for scheme in ("light", "dark"):
                    for state, picture in pictures(browser, sandbox, size, scheme):
                        keep(folder / f"{state}-{size}-{scheme}.png", picture)
    finally:
        sandbox.stop()


def pictures(
    browser: Browser, sandbox: Sandbox, size: str, scheme: str
) -> Iterator[tuple[str, bytes]]:
    width, height = SIZES[size]
    with window(browser, width, height, scheme) as context:
        page = context.new_page()
        sandbox.post("/_sandbox/reset")
        yield from of_the_hosted_page(page, sandbox)
        yield from of_the_desk(page, sandbox)


def of_the_hosted_page(page: Page, sandbox: Sandbox) -> Iterator[tuple[str, bytes]]:
    """Its states, in the order in which a customer might meet them."""
    page.goto(session_url(sandbox))
    yield "card", shot(page)
    fill_card(page, "4000 0000 0000 9995")
    yield "declined", shot(page)
    page.get_by_label("Bank debit (SEPA)").check()
    page.get_by_label("IBAN").fill("AT61 1904 3002 3457 3201")
    page.get_by_label("Name on the account").fill("Ada Example")
    page.evaluate("document.querySelector('.problem').remove()")
    yield "bank-debit", shot(page)
    page.get_by_label("Card", exact=True).check()
    fill_card(page, "4000 0027 6000 3184")
    page.get_by_role("button", name="Complete").wait_for()
    yield "3-d-secure", shot(page)


def of_the_desk(page: Page, sandbox: Sandbox) -> Iterator[tuple[str, bytes]]:
    """What happened there, and the switches."""
    endpoint = Endpoint()
    sandbox.set(webhook_url=endpoint.url, webhook_secret=SECRET)
    for number in ("4242 4242 4242 4242", "4000 0000 0000 0259", "4000 0000 0000 9995"):
        page.goto(session_url(sandbox, success_url=f"{sandbox.url}/"))
        fill_card(page, number)
    sandbox.advance(10)
    page.goto(f"{sandbox.url}/")
    yield "payments", shot(page)
    page.get_by_role("row", name="disputed").get_by_role("link").first.click()
    yield "payment", shot(page)
    page.goto(f"{sandbox.url}/events?type=checkout.session.completed")
    page.get_by_role("cell").get_by_role("link").first.click()
    page.locator("details.attempt summary").first.click()
    yield "event", shot(page)
    page.goto(f"{sandbox.url}/deliveries")
    yield "deliveries", shot(page)
    page.goto(f"{sandbox.url}/controls")
    yield "controls", shot(page)
    write(sandbox.smtp_port)
    page.goto(f"{sandbox.url}/inbox")
    page.get_by_role("link", name="Your receipt").first.click()
    page.wait_for_load_state("networkidle")
    yield "letter", shot(page)
    endpoint.close()


LETTER = """<!doctype html><html lang="en">
<head><meta name="color-scheme" content="light dark"></head>
<body style="font: 16px/1.5 sans-serif; margin: 24px">
<h1 style="font-size: 22px">Payment received</h1>
<p>Thank you. Harbour Studio received €125.00 for Invoice 2026-118.</p></body></html>"""


def write(smtp_port: int) -> None:
    letter = EmailMessage()
    letter["From"] = "Harbour Studio <billing@harbour.example>"
    letter["To"] = "ada@example.com"
    letter["Subject"] = "Your receipt for Invoice 2026-118"
    letter.set_content("Payment received: €125.00 for Invoice 2026-118.")
    letter.add_alternative(LETTER, subtype="html")
    with smtplib.SMTP("127.0.0.1", smtp_port) as smtp:
        smtp.send_message(letter)


def session_url(sandbox: Sandbox, **changes: Any) -> str:
    looks = {"branding_settings": {"display_name": "Harbour Studio"}, "line_items": [INVOICE]}
    made = client_of(sandbox).v1.checkout.sessions.create(session_params(**looks, **changes))
    return str(made.url)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES / "sandbox")
