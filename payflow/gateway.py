"""Stripe: the only `import stripe`. Calls and verification; plain dicts out.

A call raises GatewayError, and no transaction or lock may be open across one.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import stripe
from flask import Flask, current_app

from payflow import clock
from payflow.config import current_settings
from payflow.db import db
from payflow.facts.objects import CHARGE, DISPUTE, INTENT, REFUND, SESSION, is_word, moment

# The version of the newest published schema that the checks can hold us against.
API_VERSION = "2026-05-27.dahlia"
# Seconds, for the connection and again for the answer of each try.
TIMEOUT = 8
NETWORK_RETRIES = 2
# Seconds: about the longest that a call takes, retries and their pauses included; less than
# gunicorn's time-out (60 s).
LONGEST_CALL = 55
# Objects on a page of a list: the most that Stripe gives.
PAGE = 100
TOLERANCE = timedelta(seconds=300)
# Stripe keeps an idempotency key for 24 h at least, and lists events for 30 days.
KEY_LIFETIME, EVENTS_LISTED = timedelta(hours=23), timedelta(days=30)
# Codes of what the customer can change.
CUSTOMERS_MATTER = ("amount_too_small", "amount_too_large", "email_invalid")


class GatewayError(Exception):
    """Stripe did not do what it was asked.

    `permanent`: the same request would be answered so again, a stored 500 included. Otherwise
    (no answer, a conflict, too many requests) nothing is known: it may have had its effect.
    `ours`: Stripe refused what we sent, or our key; otherwise the fault is Stripe's, or the
    network's. `too_many`: Stripe wants to be asked less. `forbidden`: our key may not ask that.
    `for_all`: no other question would be answered either.
    `reason`: Stripe's words where the customer can do something about it; others name our keys.
    `unknown`: Stripe has no such object, or none for this key. `about_object`: it refused this very
    question; others may be answered. `retry_after`: seconds that Stripe asks us to wait, None where
    it does not.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        reason: str = "",
        code: str | None = None,
        retry_after: float | None = None,
    ):
        super().__init__(message)
        self.permanent = status is not None and status not in (409, 429)
        self.ours = self.permanent and status is not None and status < 500
        self.reason = reason
        self.unknown = status == 404 or code == "resource_missing"
        self.forbidden = status == 403
        self.too_many = status == 429
        # No answer, too many questions, a wrong key: the next question would fare no better.
        self.for_all = status is None or status in (401, 429)
        self.about_object = self.ours and status not in (401, 403)
        self.retry_after = retry_after


class BadSignature(Exception):
    """The body is not known to be Stripe's; the message says which check it failed."""


class NotAnEvent(Exception):
    """A body with a good signature that is no event."""


@dataclass(frozen=True)
class Answer:
    """An object of Stripe's, and Stripe's time when it was asked: what has become of the object
    while the answer was on its way is newer than the answer."""

    object: Mapping[str, Any]
    at: datetime


def init_app(app: Flask) -> None:
    settings = app.config["PAYFLOW"]
    addresses: Any = {"api": settings.stripe_api_base} if settings.stripe_api_base else {}
    app.extensions["stripe"] = stripe.StripeClient(
        settings.stripe_secret_key,
        stripe_version=API_VERSION,
        base_addresses=addresses,
        max_network_retries=NETWORK_RETRIES,
        http_client=stripe.RequestsClient(timeout=TIMEOUT),
    )


# What an answer brings along, so that one question tells all.
EXPAND: Mapping[str, list[str]] = {
    SESSION: ["payment_intent.latest_charge"],
    INTENT: ["latest_charge"],
}


def create_session(parameters: Mapping[str, Any], idempotency_key: str) -> Answer:
    """Ask for a Checkout Session; the same key with the same parameters asks for the same one."""
    return _call(_v1().checkout.sessions.create, parameters, {"idempotency_key": idempotency_key})


def expire_session(session_id: str) -> Answer:
    """Close an open session, so that nobody can pay it; refused where it is no longer open."""
    return _call(_v1().checkout.sessions.expire, session_id)


def create_refund(parameters: Mapping[str, Any], idempotency_key: str) -> Answer:
    """Ask for a refund; the same key with the same parameters asks for the same one."""
    return _call(_v1().refunds.create, parameters, {"idempotency_key": idempotency_key})


def retrieve(kind: str, object_id: str) -> Answer:
    """An object of Stripe's by its id, a session with its PaymentIntent and charge expanded."""
    api = _v1()
    services: Mapping[str, Any] = {
        SESSION: api.checkout.sessions,
        INTENT: api.payment_intents,
        CHARGE: api.charges,
        REFUND: api.refunds,
        DISPUTE: api.disputes,
    }
    return _call(services[kind].retrieve, object_id, {"expand": EXPAND.get(kind, [])})


def list_of(kind: str, **filters: Any) -> Iterator[Answer]:
    """Refunds or disputes, newest first, page by page: each answer's object is a list of them.

    `filters` are Stripe's, such as `payment_intent` or `charge`.
    """
    api = _v1()
    services: Mapping[str, Any] = {REFUND: api.refunds, DISPUTE: api.disputes}
    return _pages(services[kind].list, filters)


def list_events(since: datetime, until: datetime | None = None) -> Iterator[Answer]:
    """The events that Stripe has made since then, newest first, page by page; 30 days at most."""
    created = {"gte": int(since.timestamp())}
    if until:
        created["lte"] = int(until.timestamp())
    return _pages(_v1().events.list, {"created": created})


def _pages(method: Callable[..., Any], filters: Mapping[str, Any]) -> Iterator[Answer]:
    cursor: dict[str, str] = {}
    while True:
        page = _call(method, {"limit": PAGE, **filters, **cursor})
        yield page
        listed = page.object["data"]
        if not page.object["has_more"] or not listed:
            return
        cursor = {"starting_after": listed[-1]["id"]}


def _v1() -> Any:
    client: stripe.StripeClient = current_app.extensions["stripe"]
    return client.v1


# Called before each question to Stripe, where somebody counts them.
_meter: ContextVar[Callable[[], None] | None] = ContextVar("meter", default=None)


@contextmanager
def metered(before_each: Callable[[], None]) -> Iterator[None]:
    """Have `before_each` called before each question that is asked within; what it raises stops
    the question."""
    token = _meter.set(before_each)
    try:
        yield
    finally:
        _meter.reset(token)


def _call(method: Callable[..., Any], *arguments: Any) -> Answer:
    # Before the meter, which commits.
    if db.session().in_transaction():
        raise RuntimeError("a transaction is open while Stripe is asked")
    if before_each := _meter.get():
        before_each()
    began = time.monotonic()
    try:
        answered = method(*arguments)
    except stripe.StripeError as error:
        message = error.user_message or str(error)
        raise GatewayError(
            message,
            status=error.http_status,
            reason=message if error.code in CUSTOMERS_MATTER else "",
            code=error.code,
            retry_after=_seconds((error.headers or {}).get("Retry-After")),
        ) from error
    response, told = answered.last_response, answered.to_dict()
    took = timedelta(seconds=int(time.monotonic() - began))
    return Answer(told, _time_of(response.headers if response else {}, told) - took)


def _seconds(header: str | None) -> float | None:
    return float(header) if header and header.strip().isdigit() else None


def _time_of(headers: Mapping[str, str], told: Mapping[str, Any]) -> datetime:
    """When Stripe answered. What it says again under an idempotency key, it said when it made the
    object: by the Date, old words would count for more than all that has been told since."""
    if headers.get("Idempotent-Replayed") == "true" and told.get("created"):
        return moment(told, "created")
    date = headers.get("Date")
    return parsedate_to_datetime(date).astimezone(UTC) if date else clock.now()


def verify_event(body: bytes, header: str | None) -> dict[str, Any]:
    """A webhook's raw body, checked against its Stripe-Signature header → the event.

    Raises BadSignature, or NotAnEvent where Stripe signed something else.
    """
    verify_signature(body, header or "", current_settings().stripe_webhook_secret)
    try:
        event = json.loads(body.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise NotAnEvent(f"the body is not JSON: {error}") from None
    if not isinstance(event, dict) or not is_word(event.get("id")):
        raise NotAnEvent("the body has no event id")
    return event


def _refuse_constant(name: str) -> None:
    """NaN and the infinities are Python's, not JSON's; Postgres could not keep them."""
    raise ValueError(f"{name} is not JSON")


def verify_signature(
    body: bytes, header: str, secrets: tuple[str, ...], tolerance: timedelta | None = TOLERANCE
) -> None:
    """Raise BadSignature unless the header holds a signature of the body by one of the secrets."""
    # stripe-python raises a TypeError on a signature with other characters.
    if not header.isascii():
        raise BadSignature("the header has characters that are not ASCII")
    reason = "no secret is configured"
    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(body, header, secret)
        except UnicodeDecodeError:
            raise BadSignature("the body is not UTF-8") from None
        except stripe.SignatureVerificationError as error:
            reason = str(error)
        else:
            return _verify_age(header, tolerance)
    raise BadSignature(reason)


def _verify_age(header: str, tolerance: timedelta | None) -> None:
    """Our own check of the signed time, so that it goes by our clock; the future is accepted."""
    parts = (part.split("=") for part in header.split(","))
    signed_at = datetime.fromtimestamp(int(next(part[1] for part in parts if part[0] == "t")), UTC)
    if tolerance is not None and clock.now() - signed_at > tolerance:
        raise BadSignature(f"the signature is older than {tolerance.total_seconds():.0f} s")
