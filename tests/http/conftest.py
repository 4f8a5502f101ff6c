"""What the tests over HTTP do again and again: fill in the form, sign and deliver an event."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from copy import deepcopy
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import stripe
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event
from werkzeug.test import TestResponse

from payflow import clock
from payflow.db import db
from sandbox.demo.postgres import Postgres
from tests.stack import WEBHOOK_SECRET, World

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


def words_of(markup: str) -> str:
    """What a person reads of a page or letter."""
    return " ".join(re.sub(r"<style.*?</style>|<[^>]+>", " ", markup, flags=re.DOTALL).split())


@pytest.fixture
def world(world: World) -> World:
    """The stand-in delivers nothing by itself: these tests say when an event arrives."""
    world.set(deliver=False)
    return world


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


@pytest.fixture
def send(client: FlaskClient) -> Callable[..., TestResponse]:
    """Send a form that is filled in already."""
    return lambda form, **changes: client.post("/checkout", data=form | changes)


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


@pytest.fixture
def completed(submit: Callable[..., TestResponse], world: World) -> Callable[..., dict[str, Any]]:
    """Pay at Stripe, and answer the event that says so; changes to the form by keyword."""

    def pay(**changes: str) -> dict[str, Any]:
        assert world.pay(submit(**changes).location).status_code == 303
        return world.events("checkout.session.completed", limit=1)[0]

    return pay


def retold(event: dict[str, Any], kind: str | None = None, **changes: Any) -> dict[str, Any]:
    """Another event about the same session, changed by keyword."""
    other = deepcopy(event)
    other["id"] = f"evt_{uuid4().hex[:24]}"
    other["type"] = kind or event["type"]
    other["data"]["object"] |= changes
    return other


@pytest.fixture
def at_stripe(world: World) -> Callable[..., dict[str, Any]]:
    """Ask the stand-in's API beside the application."""
    return world.ask


# A statement's further lines are indented.
LOGGED = re.compile(r"\[(\d+)\] LOG:  (?:statement|execute [^:]+): (.*(?:\n\t.*)*)")
AROUND = re.compile(r"(?:BEGIN|COMMIT|ROLLBACK)\b")


@pytest.fixture
def statements(
    app: Flask, postgres: Postgres
) -> Iterator[Callable[[], AbstractContextManager[list[str]]]]:
    """Count what the application asks of the database, by the server's own log: whatever way it
    takes there, nothing goes past that. BEGIN and COMMIT are left out."""
    processes = set()

    def note_process(connection: Any, *_: object) -> None:
        processes.add(str(connection.info.backend_pid))

    @contextmanager
    def counted() -> Iterator[list[str]]:
        found: list[str] = []
        with postgres.log.open() as log:
            log.seek(0, 2)
            yield found
            logged = LOGGED.findall(log.read())
        ours = [statement for process, statement in logged if process in processes]
        found += [statement for statement in ours if not AROUND.match(statement)]

    administer = psycopg.connect(postgres.url("payflow"), autocommit=True)
    administer.execute("ALTER DATABASE payflow SET log_statement TO 'all'")
    db.engine.dispose()  # the setting holds for new connections
    event.listen(db.engine, "checkout", note_process)
    yield counted
    event.remove(db.engine, "checkout", note_process)
    administer.execute("ALTER DATABASE payflow RESET log_statement")
    administer.close()
    db.engine.dispose()


# --- of the one payment that there is ---------------------------------------------------------


@pytest.fixture
def page_of(rows: Callable[..., list[Any]]) -> Callable[[], str]:
    """The address of the payment's page."""

    def address() -> str:
        ((payment_id,),) = rows("SELECT id FROM payments")
        return f"/payments/{payment_id}"

    return address


@pytest.fixture
def intent(rows: Callable[..., list[Any]]) -> Callable[[], str]:
    """Its PaymentIntent's id, as it is known here."""

    def read() -> str:
        ((found,),) = rows("SELECT payment_intent_id FROM attempts")
        return str(found)

    return read


@pytest.fixture
def charge(at_stripe: Callable[..., dict[str, Any]]) -> Callable[[], str]:
    """Its newest charge's id at Stripe."""
    return lambda: at_stripe("charges")["data"][0]["id"]


@pytest.fixture
def letters(rows: Callable[..., list[Any]]) -> Callable[[], list[str]]:
    """The kinds of the letters that are owed or were sent, by name."""
    return lambda: [kind for (kind,) in rows("SELECT kind FROM emails ORDER BY kind")]


@pytest.fixture
def receipt(rows: Callable[..., list[Any]]) -> Callable[[], str]:
    """Its receipt number."""

    def read() -> str:
        ((found,),) = rows("SELECT receipt_number FROM payments")
        return str(found)

    return read


@pytest.fixture
def paid(
    completed: Callable[..., dict[str, Any]], deliver: Callable[[Any], TestResponse]
) -> dict[str, Any]:
    """A payment that is paid, told by its session's event: that one."""
    event = completed()
    assert deliver(event).status_code == 200
    return event


# --- what is done by hand and by time --------------------------------------------------------


@pytest.fixture
def move_clocks(
    pass_time: Callable[[timedelta], None], world: World
) -> Callable[[timedelta], None]:
    """Move the application's clock on, and Stripe's as well."""

    def move(by: timedelta) -> None:
        pass_time(by)
        world.at_desk("clock", advance_s=by.total_seconds())

    return move


@pytest.fixture
def asked(world: World) -> Callable[..., list[str]]:
    """What the application has asked Stripe for: paths, oldest first, one method's."""

    def read(path: str = "", method: str = "GET") -> list[str]:
        return [
            call["path"]
            for call in world.api_calls(path)
            if call["method"] == method and call["stripe_version"]
        ]

    return read


@pytest.fixture
def list_was_just_read(rows: Callable[..., list[Any]]) -> None:
    """Payflow has been running here for a while: no walk is due, nor the list of events."""
    rows("INSERT INTO sweep_state (id, events_read_to) VALUES (1, now()) RETURNING 1")


def foreign_session(at_stripe: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """A Checkout Session of another program's on the same Stripe account."""
    product = "line_items[0][price_data]"
    return at_stripe(
        "checkout/sessions",
        "POST",
        **{
            "mode": "payment",
            "success_url": "https://other.example/done",
            "line_items[0][quantity]": 1,
            f"{product}[currency]": "eur",
            f"{product}[unit_amount]": 900,
            f"{product}[product_data][name]": "Something else",
        },
    )
