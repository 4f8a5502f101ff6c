"""What the tests over HTTP do again and again: fill in the form, sign and deliver an event."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import stripe
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from payflow import clock
from tests.stack import WEBHOOK_SECRET

FORM = {
    "amount": "12.50",
    "currency": "EUR",
    "description": "Invoice 2026-118",
    "reference": "",
    "name": "A. Customer",
    "email": "customer@example.com",
}


def hidden_fields(page: str) -> dict[str, str]:
    """The hidden fields of a page's form: its CSRF token and nonce."""
    inputs = re.findall(r'<input[^>]*type="hidden"[^>]*>', page)
    pairs = (re.search(r'name="([^"]+)".*value="([^"]*)"', field) for field in inputs)
    return {pair[1]: pair[2] for pair in pairs if pair}


@pytest.fixture
def fill_in(client: FlaskClient, world: Any) -> Callable[..., dict[str, str]]:
    """A form as the browser has it, filled in; changes by keyword."""

    def fill(**changes: str) -> dict[str, str]:
        return FORM | hidden_fields(client.get("/").text) | changes

    return fill


@pytest.fixture
def submit(
    client: FlaskClient, fill_in: Callable[..., dict[str, str]]
) -> Callable[..., TestResponse]:
    """Open the form, fill it in and send it."""
    return lambda **changes: client.post("/checkout", data=fill_in(**changes))


def sign(
    body: bytes | str, secret: str = WEBHOOK_SECRET, at: float | None = None
) -> dict[str, str]:
    """The headers of a delivery, signed as Stripe signs."""
    text = body.decode() if isinstance(body, bytes) else body
    timestamp = int(clock.now().timestamp() if at is None else at)
    header = stripe.WebhookSignature.generate_signature_header(text, secret, timestamp)
    return {"Stripe-Signature": header, "Content-Type": "application/json; charset=utf-8"}


@pytest.fixture
def deliver(client: FlaskClient) -> Callable[[Any], TestResponse]:
    """Deliver an event to the webhook as Stripe does."""

    def post(event: Any) -> TestResponse:
        body = json.dumps(event)
        return client.post("/webhooks/stripe", data=body, headers=sign(body))

    return post
