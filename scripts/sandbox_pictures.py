"""Makes the pictures of the sandbox's pages anew, under docs/images/sandbox.

    python -m scripts.sandbox_pictures [FOLDER]

Starts a sandbox of its own, walks a browser through the hosted page's states and the desk's pages,
at phone and desktop width, light and dark, and keeps each as a small PNG. The browser is the
tests'; the environment's CHROMIUM names another.
"""

# ruff: noqa: S310 - it asks its own sandbox

import json
import re
import smtplib
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from playwright.sync_api import Browser, Page

from scripts.pictures import IMAGES, chromium, keep, shot, window

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"phone": (390, 844), "desktop": (1200, 860)}
PAY = re.compile("^Pay ")

SESSION = {
    "mode": "payment",
    "line_items[0][price_data][currency]": "eur",
    "line_items[0][price_data][unit_amount]": "12500",
    "line_items[0][price_data][product_data][name]": "Invoice 2026-118",
    "line_items[0][quantity]": "1",
    "success_url": "http://127.0.0.1:9/paid",
    "cancel_url": "http://127.0.0.1:9/back",
    "branding_settings[display_name]": "Harbour Studio",
}


def main(folder: Path) -> None:
    with sandbox() as started, chromium() as browser:
        for size in SIZES:
            for scheme in ("light", "dark"):
                for state, picture in pictures(browser, *started, size, scheme):
                    keep(folder / f"{state}-{size}-{scheme}.png", picture)


@contextmanager
def sandbox() -> Iterator[tuple[str, int]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "--port", "0"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        started = re.search(r"(http://127\.0\.0\.1:\d+) .* SMTP 127\.0\.0\.1:(\d+)", line)
        assert started, "the sandbox did not start"
        yield started[1], int(started[2])
    finally:
        process.terminate()
        process.wait()


def pictures(
    browser: Browser, origin: str, smtp_port: int, size: str, scheme: str
) -> Iterator[tuple[str, bytes]]:
    width, height = SIZES[size]
    with window(browser, width, height, scheme) as context:
        page = context.new_page()
        send(f"{origin}/_sandbox/reset", {})
        yield from of_the_hosted_page(page, origin)
        yield from of_the_desk(page, origin, smtp_port)


def of_the_hosted_page(page: Page, origin: str) -> Iterator[tuple[str, bytes]]:
    """Its states, in the order in which a customer might meet them."""
    page.goto(session_url(origin))
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


def of_the_desk(page: Page, origin: str, smtp_port: int) -> Iterator[tuple[str, bytes]]:
    """What happened there, and the switches."""
    with endpoint() as url:
        send(
            f"{origin}/_sandbox/settings", {"webhook_url": url, "webhook_secret": "whsec_pictures"}
        )
        for number in ("4242 4242 4242 4242", "4000 0000 0000 0259", "4000 0000 0000 9995"):
            page.goto(session_url(origin, success_url=f"{origin}/"))
            fill_card(page, number)
        send(f"{origin}/_sandbox/clock", {"advance_s": 10})
        page.goto(f"{origin}/")
        yield "payments", shot(page)
        page.get_by_role("row", name="disputed").get_by_role("link").first.click()
        yield "payment", shot(page)
        page.goto(f"{origin}/events?type=checkout.session.completed")
        page.get_by_role("cell").get_by_role("link").first.click()
        page.locator("details.attempt summary").first.click()
        yield "event", shot(page)
        page.goto(f"{origin}/deliveries")
        yield "deliveries", shot(page)
        page.goto(f"{origin}/controls")
        yield "controls", shot(page)
        write(smtp_port)
        page.goto(f"{origin}/inbox")
        page.get_by_role("link", name="Your receipt").first.click()
        page.wait_for_load_state("networkidle")
        yield "letter", shot(page)


class Answers(BaseHTTPRequestHandler):
    """Says 200 to all that is told."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/webhooks/stripe"
    server.shutdown()
    server.server_close()


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


def send(url: str, wanted: dict[str, object]) -> None:
    """A call of the desk's."""
    request = Request(url, json.dumps(wanted).encode(), {"Content-Type": "application/json"})
    with urlopen(request) as answer:
        answer.read()


def session_url(origin: str, **changes: str) -> str:
    headers = {"Authorization": "Bearer sk_test_payflow_pictures"}
    request = Request(
        f"{origin}/v1/checkout/sessions", urlencode(SESSION | changes).encode(), headers
    )
    with urlopen(request) as answer:
        return str(json.load(answer)["url"])


def fill_card(page: Page, number: str) -> None:
    page.get_by_label("Email").fill("ada@example.com")
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expiration").fill("12 / 34")
    page.get_by_label("CVC").fill("123")
    page.get_by_label("Cardholder name").fill("Ada Example")
    page.get_by_role("button", name=PAY).click()
    page.wait_for_load_state()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES / "sandbox")
