"""Makes the pictures of payflow's letters anew, under docs/images/letters.

    python -m scripts.letter_pictures [FOLDER]

Starts the whole of payflow, as `make demo` does, in a folder of its own; brings payments to where
each kind of letter is owed; reads the letters from the mailbox; and has a browser show each, light
and dark, as wide as a mail program's column. LOCALE chooses the language, BRAND_COLOR and LOGO_URL
the look. The browser is the environment's CHROMIUM, else the system's.
"""

# ruff: noqa: T201 - it asks its own stack, and talks to the terminal

import hashlib
import hmac
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
from playwright.sync_api import Browser, sync_playwright

from sandbox.demo import __main__ as demo
from sandbox.demo.place import Place
from sandbox.demo.postgres import free_port
from sandbox.demo.processes import stop_all
from scripts.png import smaller
from scripts.sandbox_pictures import BROWSER_ARGS

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "images" / "letters"
WIDTH = 600
LANGUAGE = os.environ.get("LOCALE", "en")
LOOK = ("LOCALE", "BRAND_COLOR", "LOGO_URL", "BUSINESS_TAX_ID", "STATEMENT_DESCRIPTOR")
FORM = {
    "amount": {"en": "1,250.00", "de": "1.250,00"}[LANGUAGE[:2]],
    "currency": "EUR",
    "description": "Invoice 2026-118, garden plans",
    "reference": "PO 7731",
    "name": "Ada Example",
    "email": "ada@example.com",
}
CARD = {
    "email": "ada@example.com",
    "number": "4242424242424242",
    "expiration": "12 / 40",
    "cvc": "123",
    "name": "Ada Example",
}
DEBIT = {"method": "sepa_debit", "email": "ada@example.com", "account_name": "Ada Example"}
PAID_LATE, REFUSED_LATE = "AT611904300234573201", "AT861904300235473202"
HIDDEN = re.compile(r'<input[^>]*name="([^"]+)"[^>]*type="hidden"[^>]*value="([^"]*)"|'
                    r'<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"')  # fmt: skip
Letter = dict[str, Any]


class Stack(demo.Demo):
    """The demo, with the look that is asked for."""

    def settings(self, smtp_port: int) -> dict[str, str]:
        wanted = {name: os.environ[name] for name in LOOK if name in os.environ}
        return super().settings(smtp_port) | wanted


class Customer:
    """Who pays, with a browser's cookies, and what then happens at Stripe and at the banks."""

    def __init__(self, place: Place, secret: str) -> None:
        self.site, self.desk, self.secret = place.url, place.sandbox_url, secret
        self.browser = requests.Session()

    def opens(self, **changes: str) -> str:
        """Fill in the form; answers the address of Stripe's page."""
        page = self.browser.get(f"{self.site}/?lang={LANGUAGE[:2]}").text
        return self._sends("/checkout", page, FORM | changes)

    def tries_again(self) -> str:
        return self._sends(f"{self.page}/retry", self.browser.get(self.site + self.page).text, {})

    def _sends(self, path: str, page: str, fields: dict[str, str]) -> str:
        hidden = {one[0] or one[2]: one[1] or one[3] for one in HIDDEN.findall(page)}
        answer = self.browser.post(self.site + path, hidden | fields, allow_redirects=False)
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    def pays(self, session_url: str, how: dict[str, str]) -> Letter:
        """Pay on Stripe's page; answers its session."""
        answer = requests.post(session_url, how, allow_redirects=False, timeout=30)
        assert answer.status_code == 303, answer.text
        self.page = re.search(r"/payments/[0-9a-f-]{36}", answer.headers["Location"])[0]
        session = self.newest("checkout.session.completed")["data"]["object"]
        return dict(session)

    def newest(self, kind: str) -> Letter:
        headers = {"Authorization": "Bearer sk_test_payflow_pictures"}
        url = f"{self.desk}/v1/events?limit=1&type={kind}"
        return dict(requests.get(url, headers=headers, timeout=10).json()["data"][0])

    def at_desk(self, path: str, **fields: Any) -> Letter:
        answer = requests.post(f"{self.desk}/_sandbox/{path}", json=fields, timeout=10)
        answer.raise_for_status()
        return dict(answer.json())

    def tells(self, event: Letter, kind: str = "", **changes: Any) -> None:
        """A delivery that Stripe would not make, signed as Stripe signs."""
        told = deepcopy(event) | {"id": f"evt_{os.urandom(9).hex()}"}
        told["type"] = kind or told["type"]
        told["livemode"] = changes.pop("livemode", told["livemode"])
        told["data"]["object"] |= changes
        body, now = json.dumps(told), int(time.time())
        signed = hmac.new(self.secret.encode(), f"{now}.{body}".encode(), hashlib.sha256)
        headers = {"Stripe-Signature": f"t={now},v1={signed.hexdigest()}"}
        requests.post(f"{self.site}/webhooks/stripe", body, headers=headers, timeout=10)


# --- what calls for each kind ----------------------------------------------------------------


def stories(customer: Customer) -> Iterator[tuple[str, ...]]:
    """Brings payments to where letters are owed, one after the other; answers their kinds."""
    session = customer.pays(customer.opens(), CARD)
    yield "receipt", "owner_paid"
    refund = customer.at_desk("refunds", payment_intent=session["payment_intent"], amount=45000)
    yield ("refunded",)
    customer.at_desk(f"refunds/{refund['id']}", status="failed", failure_reason="declined")
    yield "refund_failed", "owner_refund_failed"
    session = customer.pays(customer.opens(), CARD)
    inquiry = customer.at_desk("disputes", payment_intent=session["payment_intent"], inquiry=True)
    yield ("owner_inquiry",)
    customer.at_desk(f"disputes/{inquiry['id']}", outcome="escalated")
    yield ("owner_dispute",)
    customer.at_desk(f"disputes/{inquiry['id']}", outcome="lost")
    yield ("owner_dispute_lost",)
    yield from of_debits(customer)
    yield from of_what_goes_wrong(customer)


def of_debits(customer: Customer) -> Iterator[tuple[str, ...]]:
    customer.at_desk("settings", debit_delay_s=3600)
    customer.pays(customer.opens(), DEBIT | {"iban": PAID_LATE})
    yield ("processing",)
    customer.at_desk("settings", debit_delay_s=1)
    customer.pays(customer.opens(), DEBIT | {"iban": REFUSED_LATE})
    yield ("payment_failed",)


def of_what_goes_wrong(customer: Customer) -> Iterator[tuple[str, ...]]:
    customer.at_desk("settings", deliver=False)
    customer.pays(customer.opens(), CARD)
    paid = customer.newest("checkout.session.completed")
    customer.tells(
        paid, "checkout.session.expired",
        status="expired", payment_status="unpaid", payment_intent=None,
    )  # fmt: skip
    customer.pays(customer.tries_again(), CARD)
    customer.at_desk("settings", deliver=True)
    yield ("owner_overpaid",)
    deaf = [{"on": "GET /v1/*", "fault": "402"}]
    customer.at_desk("settings", deliver=False)
    customer.pays(customer.opens(), CARD)
    event = customer.newest("checkout.session.completed")
    customer.at_desk("settings", api_faults=deaf)
    customer.tells(event, amount_total=119000)
    yield ("owner_review",)
    customer.tells(event, livemode=True)
    yield ("owner_webhooks",)


def letters() -> dict[str, Letter]:
    """Kind → the letter as it came."""
    with running() as (place, secret):
        customer, found = Customer(place, secret), {}
        for kinds in stories(customer):
            for kind in kinds:
                found[kind] = arrived(place, kind)
        return found


@contextmanager
def running() -> Iterator[tuple[Place, str]]:
    with TemporaryDirectory() as folder:
        place = Place(data=Path(folder), port=free_port(), sandbox_port=free_port())
        stack = Stack(place, os.getppid())
        try:
            place.logs.mkdir(parents=True, exist_ok=True)
            stack.start()
            yield place, demo.kept_secrets(place.settings_file)["STRIPE_WEBHOOK_SECRET"]
        finally:
            stop_all(stack.programs, demo.STOP_WITHIN)
            stack.postgres.stop()


def arrived(place: Place, kind: str, seconds: float = 60) -> Letter:
    """The newest letter of a kind, once it is in the mailbox."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        inbox = requests.get(f"{place.sandbox_url}/inbox/messages.json", timeout=10).json()
        for letter in reversed(inbox):
            if kind in dict(letter["headers"])["Message-ID"].split("@")[0].split("."):
                return dict(letter)
        time.sleep(0.1)
    raise SystemExit(f"no letter of the kind {kind} came within {seconds:.0f} s")


# --- pictures --------------------------------------------------------------------------------


def picture(browser: Browser, html: str, scheme: str, width: int = WIDTH) -> bytes:
    with browser.new_context(
        viewport={"width": width, "height": 100},
        color_scheme="dark" if scheme == "dark" else "light",
        java_script_enabled=False,
    ) as context:
        page = context.new_page()
        page.set_content(html)
        return page.screenshot(full_page=True, animations="disabled")


def main(folder: Path, read: Callable[[], dict[str, Letter]] = letters) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    found = read()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER_ARGS)
        for kind, letter in found.items():
            for scheme in ("light", "dark"):
                file = folder / f"{kind}-{scheme}.png"
                file.write_bytes(smaller(picture(browser, letter["html"], scheme)))
                print(f"{file.name}: {file.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
