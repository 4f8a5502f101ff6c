"""The sandbox as a real process on free ports, and an endpoint that receives its webhooks."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from html import unescape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin

import pytest
import requests
import stripe
from playwright.sync_api import Page

from tests.contract.recordings import BOOKS

SECRET = "whsec_payflow_sandbox_tests"
VERSION = "2026-05-27.dahlia"
ROOT = Path(__file__).resolve().parents[2]
PAY = re.compile("^Pay ")

STARTED = re.compile(r"sandbox: Stripe (http://\S+) · mailbox \S+ · SMTP 127\.0\.0\.1:(\d+)")


class Sandbox(NamedTuple):
    process: subprocess.Popen[str]
    url: str
    smtp_port: int

    def get(self, path: str) -> requests.Response:
        return requests.get(self.url + path, timeout=15)

    def post(self, path: str, **options: Any) -> requests.Response:
        return requests.post(self.url + path, timeout=15, allow_redirects=False, **options)

    def set(self, **switches: Any) -> None:
        response = self.post("/_sandbox/settings", json=switches)
        assert response.status_code == 200, response.text

    def advance(self, seconds: float) -> None:
        """Moves the stand-in's clock; what is due by then is done when this returns."""
        response = self.post("/_sandbox/clock", json={"advance_s": seconds})
        assert response.status_code == 200, response.text

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(5)
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()


def start_sandbox(*arguments: str) -> Sandbox:
    record = ("--record", str(BOOKS.new_recording(sender="tests")))
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "sandbox", "--port", "0", *record, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    match = STARTED.match(line)
    assert match, f"the sandbox did not start: {line!r}"
    return Sandbox(process, match[1], int(match[2]))


class Delivery(NamedTuple):
    body: bytes
    headers: dict[str, str]
    at: float

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event


class Endpoint:
    """A merchant's webhook: notes what comes, answers ``status`` after ``slow_s`` seconds.

    While ``open`` is cleared, it answers nothing.
    """

    def __init__(self) -> None:
        self.begun = 0
        self.received: list[Delivery] = []
        self.status = 200
        self.slow_s = 0.0
        self.open = threading.Event()
        self.open.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks"
        threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True).start()

    def _handler(endpoint) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                with contextlib.suppress(ConnectionError):  # a test ended the sender meanwhile
                    self._answer()

            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                endpoint.begun += 1
                endpoint.open.wait(30)
                if endpoint.slow_s:
                    threading.Event().wait(endpoint.slow_s)
                endpoint.received.append(Delivery(body, dict(self.headers), time.time()))
                self.send_response(endpoint.status)
                self.send_header("Location", endpoint.url)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    @property
    def at_once(self) -> list[Delivery]:
        """Without ``charge.updated``, which comes by itself a second after a charge."""
        return [item for item in list(self.received) if item.event["type"] != "charge.updated"]

    def of_type(self, kind: str) -> list[Delivery]:
        return [item for item in list(self.received) if item.event["type"] == kind]

    def close(self) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="session")
def running() -> Iterator[Sandbox]:
    sandbox = start_sandbox()
    yield sandbox
    assert sandbox.stop() == 0


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.close()


@pytest.fixture
def sandbox(running: Sandbox, endpoint: Endpoint) -> Iterator[Sandbox]:
    """Forgotten before and after each test; events go to this test's own endpoint."""
    running.post("/_sandbox/reset")
    running.set(webhook_url=endpoint.url, webhook_secret=SECRET)
    yield running
    running.set(deliver=False)


@pytest.fixture
def client(sandbox: Sandbox) -> stripe.StripeClient:
    return client_of(sandbox)


def client_of(sandbox: Sandbox) -> stripe.StripeClient:
    return stripe.StripeClient(
        "sk_test_payflow_x",
        base_addresses={"api": sandbox.url},
        stripe_version=VERSION,
        max_network_retries=0,
    )


def session_params(**changes: Any) -> dict[str, Any]:
    return {
        "mode": "payment",
        "line_items": [
            {
                "price_data": {
                    "currency": "eur",
                    "unit_amount": 1250,
                    "product_data": {"name": "Invoice 2026-118"},
                },
                "quantity": 1,
            }
        ],
        "success_url": "http://127.0.0.1:9/paid?session={CHECKOUT_SESSION_ID}",
        "cancel_url": "http://127.0.0.1:9/back",
        **changes,
    }


def price(amount: int, currency: str) -> list[dict[str, Any]]:
    """Line items: one thing of ``amount`` minor units."""
    data = {"currency": currency, "unit_amount": amount, "product_data": {"name": "A thing"}}
    return [{"price_data": data, "quantity": 1}]


def card_form(number: str = "4242424242424242", **changes: str) -> dict[str, str]:
    return {
        "email": "customer@example.com",
        "number": number,
        "expiration": "12 / 34",
        "cvc": "123",
        "name": "Test Customer",
        **changes,
    }


def fill_card(page: Page, number: str) -> None:
    """The hosted page in a browser, filled in and sent."""
    page.get_by_label("Email").fill("ada@example.com")
    page.get_by_label("Card number").fill(number)
    page.get_by_label("Expiration").fill("12 / 34")
    page.get_by_label("CVC").fill("123")
    page.get_by_label("Cardholder name").fill("Ada Example")
    page.get_by_role("button", name=PAY).click()
    page.wait_for_load_state()


def page_after(answer: requests.Response) -> str:
    """Where the browser is led, as a person reads it."""
    assert answer.status_code == 303
    page = requests.get(urljoin(answer.url, answer.headers["Location"]), timeout=15)
    assert page.status_code == 200
    return unescape(page.text)


def pay(session: Any, number: str = "4242424242424242", **changes: str) -> requests.Response:
    """What the customer's browser sends when Pay is pressed."""
    return requests.post(
        session.url, data=card_form(number, **changes), allow_redirects=False, timeout=15
    )
