"""A payment's life while the customer pays: what each try makes of the PaymentIntent.

A PaymentIntent exists only once the customer has confirmed; each try makes a payment method and,
unless it ends at the 3-D Secure page, a charge. Callers hold a transaction. Private to a
PaymentIntent is its ``session``; private to a charge is the ``number`` of the test card or the test
IBAN, for what comes of it later.
"""

import sqlite3
import uuid
from collections.abc import Mapping
from typing import Any

from sandbox import clock, later, settings
from sandbox.objects import balance, disputes
from sandbox.objects import payment_shapes as shapes
from sandbox.objects.bank_debits import ACCOUNTS, BankAccount, Refusal
from sandbox.objects.cards import CARDS, Card, Decline
from sandbox.objects.payment_shapes import Payer as Payer
from sandbox.objects.payment_shapes import address as address
from sandbox.protocol.ids import new_id
from sandbox.store import (
    JsonDict,
    insert_object,
    private_part,
    stored,
    update_object,
)
from sandbox.webhooks import events
from sandbox.webhooks.events import Cause

DOC_URL = "https://stripe.com/docs/error-codes/"

NOT_AUTHENTICATED = (
    "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a"
    " new PaymentMethod to attempt to fulfill this PaymentIntent again."
)


def confirm(
    db: sqlite3.Connection,
    session: JsonDict,
    data: Mapping[str, Any],
    payer: Payer,
) -> JsonDict:
    """One try: makes or reuses the session's PaymentIntent, charges it, tells events.

    ``data`` is the session's ``payment_intent_data``. The answer's ``status`` is ``succeeded``,
    ``requires_action`` (3-D Secure), ``processing`` (a bank debit), or ``requires_payment_method``
    with the decline in ``last_payment_error``.
    """
    cause = _by_the_customer()
    intent = _intent_of(db, session, data, cause)
    method = shapes.payment_method(payer, session["customer"])
    insert_object(db, method, {})
    if isinstance(payer.means, Card) and payer.means.authentication == "required":
        _ask(db, intent, method, cause)
    else:
        _charge(db, intent, method, payer, cause)
    return intent


def authenticate(db: sqlite3.Connection, intent: JsonDict, payer: Payer, passed: bool) -> JsonDict:
    """The customer's answer on the 3-D Secure page, to a PaymentIntent that ``requires_action``."""
    cause = _by_the_customer()
    method = stored(db, intent["payment_method"])
    if passed:
        _charge(db, intent, method, payer, cause)
    else:
        error = _error("payment_intent_authentication_failure", NOT_AUTHENTICATED, method)
        _refuse(db, intent, error, cause)
    return intent


def _by_the_customer() -> dict[str, str | None]:
    """Stripe's page calls Stripe's API too: a request of its own, not the merchant's."""
    return {"id": new_id("req"), "idempotency_key": str(uuid.uuid4())}


def _intent_of(
    db: sqlite3.Connection, session: JsonDict, data: Mapping[str, Any], cause: Cause
) -> JsonDict:
    if session["payment_intent"]:
        return intent_of(db, session)
    intent = shapes.payment_intent(session, data)
    insert_object(db, intent, {"session": session["id"]})
    events.record(db, "payment_intent.created", intent, cause)
    return intent


def intent_of(db: sqlite3.Connection, session: JsonDict) -> JsonDict:
    return stored(db, session["payment_intent"])


def _ask(db: sqlite3.Connection, intent: JsonDict, method: JsonDict, cause: Cause) -> None:
    """No charge is made before the bank has heard from the customer."""
    intent |= {
        "last_payment_error": None,
        "latest_charge": None,
        "next_action": shapes.authentication(intent["id"]),
        "payment_method": method["id"],
        "status": "requires_action",
    }
    update_object(db, intent)
    events.record(db, "payment_intent.requires_action", intent, cause)


def _charge(
    db: sqlite3.Connection, intent: JsonDict, method: JsonDict, payer: Payer, cause: Cause
) -> None:
    charge = shapes.charge(intent, method, payer)
    means = payer.means
    number = means.iban if isinstance(means, BankAccount) else means.number
    insert_object(db, charge, {"number": number})
    intent |= {
        "last_payment_error": None,
        "latest_charge": charge["id"],
        "next_action": None,
        "payment_method": method["id"],
    }
    if isinstance(means, BankAccount):
        _wait(db, intent, charge, cause)
    elif means.decline:
        _decline(db, intent, charge, method, means.decline, cause)
    else:
        succeed(db, intent, charge, cause)


def _wait(db: sqlite3.Connection, intent: JsonDict, charge: JsonDict, cause: Cause) -> None:
    intent["status"] = "processing"
    update_object(db, intent)
    events.record(db, "charge.pending", charge, cause)
    events.record(db, "payment_intent.processing", intent, cause)


def succeed(db: sqlite3.Connection, intent: JsonDict, charge: JsonDict, cause: Cause) -> None:
    """The money is there, at once or, for a debit, after days."""
    charge |= {"paid": True, "status": "succeeded"}
    update_object(db, charge)
    intent |= {"amount_received": intent["amount"], "status": "succeeded"}
    update_object(db, intent)
    events.record(db, "charge.succeeded", charge, cause)
    events.record(db, "payment_intent.succeeded", intent, cause)
    later.at(db, clock.now() + balance.SETTLED_AFTER_S, "charge.settle", charge["id"])
    if _story(db, charge) is not None:
        delay_s = settings.current(db)["dispute_delay_s"]
        later.at(db, clock.now() + delay_s, "charge.dispute", charge["id"])


def _story(db: sqlite3.Connection, charge: JsonDict) -> str | None:
    """What the test card, or the test account, has in store for a payment that succeeded."""
    number = private_part(db, charge["id"])["number"]
    return (CARDS.get(number) or ACCOUNTS[number]).dispute


@later.action("charge.dispute")
def _dispute(db: sqlite3.Connection, charge_id: str) -> None:
    charge = stored(db, charge_id)
    story = _story(db, charge)
    if disputes.of_charge(db, charge_id):
        return  # a person at the desk was quicker
    if story == "warning":
        disputes.warn(db, charge)
    elif story is not None:
        inquiry = story == "inquiry"
        reason = "general" if inquiry else story
        disputes.open_dispute(db, charge, reason, inquiry=inquiry)


def _decline(
    db: sqlite3.Connection,
    intent: JsonDict,
    charge: JsonDict,
    method: JsonDict,
    decline: Decline,
    cause: Cause,
) -> None:
    error = _error(decline.code, decline.message, method) | {
        "advice_code": decline.advice,
        "charge": charge["id"],
        "decline_code": decline.decline_code,
        "param": "cvc" if decline.code == "incorrect_cvc" else None,
        "type": "card_error",
    }
    events.record(db, "charge.failed", charge, cause)
    _refuse(db, intent, error, cause)


def fail_debit(
    db: sqlite3.Connection,
    intent: JsonDict,
    charge: JsonDict,
    refusal: Refusal,
    cause: Cause = events.NO_REQUEST,
) -> None:
    """The bank says no, days after the session was complete."""
    charge |= {
        "failure_code": refusal.code,
        "failure_message": refusal.message,
        "outcome": shapes.outcome(Decline(refusal.code, None, refusal.message)),
        "paid": False,
        "status": "failed",
    }
    update_object(db, charge)
    method = stored(db, charge["payment_method"])
    error = _error("payment_intent_payment_attempt_failed", refusal.message, method)
    events.record(db, "charge.failed", charge, cause)
    _refuse(db, intent, error | {"charge": charge["id"]}, cause)


def _error(code: str, message: str, method: JsonDict) -> JsonDict:
    return {
        "code": code,
        "doc_url": DOC_URL + code.replace("_", "-"),
        "message": message,
        "payment_method": method,
        "type": "invalid_request_error",
    }


def _refuse(db: sqlite3.Connection, intent: JsonDict, error: JsonDict, cause: Cause) -> None:
    """Not final: the same PaymentIntent can be tried with something else."""
    intent |= {
        "last_payment_error": {key: error[key] for key in sorted(error) if error[key] is not None},
        "next_action": None,
        "payment_method": None,
        "status": "requires_payment_method",
    }
    update_object(db, intent)
    events.record(db, "payment_intent.payment_failed", intent, cause)


def cancel(db: sqlite3.Connection, intent_id: str) -> None:
    """The PaymentIntent of a session that expired unpaid."""
    intent = stored(db, intent_id)
    intent |= {
        "canceled_at": int(clock.now()),
        "cancellation_reason": "expired",
        "next_action": None,
        "status": "canceled",
    }
    update_object(db, intent)
    events.record(db, "payment_intent.canceled", intent)
