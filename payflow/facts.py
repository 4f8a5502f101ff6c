"""What Stripe says, read from its dicts into facts, and merged. Pure: no database, no clock.

Merging is the same in any order and any number of times, so that deliveries may come twice, late
or never without changing where a payment ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

T = TypeVar("T", str, datetime)

SESSION_RANK = {"open": 0, "expired": 1, "complete": 2}
PAYMENT_RANK = {"unpaid": 0, "no_payment_required": 1, "paid": 2}

# Under these keys our ids travel in the metadata of sessions and PaymentIntents.
PAYMENT_KEY = "payflow_payment_id"
ATTEMPT_KEY = "payflow_attempt_id"


class Unreadable(ValueError):
    """A dict of Stripe's lacks what a fact is made of; the message says what."""


@dataclass(frozen=True)
class SessionFacts:
    """What is known of one Checkout Session. `disagreements` are sentences, kept for ever."""

    session_id: str
    status: str
    payment_status: str
    url: str | None = None
    payment_intent_id: str | None = None
    paid_at: datetime | None = None
    delayed_failure: bool = False
    disagreements: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Asked:
    """What Stripe was asked for; amount in minor units."""

    amount: int
    currency: str
    livemode: bool


def read_session(
    session: Mapping[str, Any], asked: Asked, told_at: datetime, delayed_failure: bool = False
) -> SessionFacts:
    """A Checkout Session of Stripe's → facts, held against what was asked for.

    `told_at` is Stripe's time: of the event that carries the session, or of the answer.
    `delayed_failure`: it comes with the word that its delayed method (a bank debit) has failed.
    Raises Unreadable where status, payment status, amount or currency cannot be read.
    """
    status = _known(session, "status", SESSION_RANK)
    payment_status = _known(session, "payment_status", PAYMENT_RANK)
    return SessionFacts(
        session_id=_text(session, "id"),
        status=status,
        payment_status=payment_status,
        url=session.get("url"),
        payment_intent_id=_id_of(session.get("payment_intent")),
        paid_at=told_at if payment_status == "paid" else None,
        delayed_failure=delayed_failure,
        disagreements=frozenset(_disagreements(session, asked)),
    )


def merge(known: SessionFacts | None, told: SessionFacts) -> SessionFacts:
    """The join of two tellings of one attempt's session: the higher rank, the earlier time."""
    if known is None:
        return told
    disagreements = known.disagreements | told.disagreements
    for name, one, other in (
        ("Checkout Session", known.session_id, told.session_id),
        ("PaymentIntent", known.payment_intent_id, told.payment_intent_id),
    ):
        if one and other and one != other:
            disagreements |= {f"one of several: {name} {object_id}" for object_id in (one, other)}
    return SessionFacts(
        session_id=min(known.session_id, told.session_id),
        status=max(known.status, told.status, key=SESSION_RANK.__getitem__),
        payment_status=max(known.payment_status, told.payment_status, key=PAYMENT_RANK.__getitem__),
        url=_least(known.url, told.url),
        payment_intent_id=_least(known.payment_intent_id, told.payment_intent_id),
        paid_at=_least(known.paid_at, told.paid_at),
        delayed_failure=known.delayed_failure or told.delayed_failure,
        disagreements=disagreements,
    )


def metadata(payment_id: object, attempt_id: object) -> dict[str, str]:
    """Our mark: what sessions and PaymentIntents of ours carry."""
    return {PAYMENT_KEY: str(payment_id), ATTEMPT_KEY: str(attempt_id)}


def _least(one: T | None, other: T | None) -> T | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


def _known(session: Mapping[str, Any], key: str, ranks: Mapping[str, int]) -> str:
    value = session.get(key)
    if not isinstance(value, str) or value not in ranks:
        raise Unreadable(f"Checkout Session with {key} {value!r}")
    return value


def _text(session: Mapping[str, Any], key: str) -> str:
    value = session.get(key)
    if not isinstance(value, str) or not value:
        raise Unreadable(f"Checkout Session with {key} {value!r}")
    return value


def _id_of(reference: Any) -> str | None:
    """Stripe gives an object's id, or the object itself where it was expanded."""
    if isinstance(reference, Mapping):
        reference = reference.get("id")
    return reference if isinstance(reference, str) else None


def _disagreements(session: Mapping[str, Any], asked: Asked) -> list[str]:
    amount, currency = session.get("amount_total"), session.get("currency")
    if not isinstance(amount, int) or not isinstance(currency, str):
        raise Unreadable(f"Checkout Session with amount_total {amount!r} {currency!r}")
    said = []
    if (amount, currency) != (asked.amount, asked.currency):
        said.append(f"amount {amount} {currency} instead of {asked.amount} {asked.currency}")
    if session.get("livemode", asked.livemode) != asked.livemode:
        said.append(f"livemode {not asked.livemode} instead of {asked.livemode}")
    if session.get("payment_status") == "no_payment_required":
        said.append("no payment required")
    return said
