"""What the merchant can do to a PaymentIntent that Checkout made: read, write on it, cancel."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from sandbox import clock
from sandbox.protocol.checks import (
    Checker,
    changed_metadata,
    email,
    list_of,
    metadata_change,
    one_of,
    or_empty,
    string,
    top_level,
    unplayed,
)
from sandbox.protocol.errors import ApiError, not_found
from sandbox.store import JsonDict, find_object, private_part, update_object
from sandbox.webhooks import events

KIND = "payment_intent"

UNPLAYED = """
    amount amount_details application_fee_amount capture_method currency customer customer_account
    excluded_payment_method_types hooks payment_details payment_method payment_method_configuration
    payment_method_data payment_method_options payment_method_types setup_future_usage shipping
    statement_descriptor statement_descriptor_suffix transfer_data transfer_group
""".split()


UPDATE: Mapping[str, Checker] = {
    **dict.fromkeys(UNPLAYED, unplayed),
    "description": or_empty(string(1000)),
    "expand": list_of(string()),
    "metadata": metadata_change,
    "receipt_email": or_empty(email),
}

CANCEL: Mapping[str, Checker] = {
    "cancellation_reason": one_of("abandoned", "duplicate", "fraudulent", "requested_by_customer"),
    "expand": list_of(string()),
}

CANCELABLE = (
    "requires_payment_method",
    "requires_capture",
    "requires_confirmation",
    "requires_action",
)


def load(db: sqlite3.Connection, intent_id: str) -> JsonDict:
    intent = find_object(db, intent_id, KIND)
    if intent is None:
        raise not_found(KIND, intent_id, param="intent")
    return intent


def update(db: sqlite3.Connection, intent_id: str, values: Mapping[str, Any]) -> JsonDict:
    """No event tells of it, and a charge made before keeps what it copied."""
    params = top_level(values, UPDATE)
    intent = load(db, intent_id)
    for name in ("description", "receipt_email"):
        if name in params:
            intent[name] = params[name] or None
    if "metadata" in params:
        intent["metadata"] = changed_metadata(intent["metadata"], params["metadata"])
    update_object(db, intent)
    return intent


def cancel(
    db: sqlite3.Connection,
    intent_id: str,
    values: Mapping[str, Any],
    cause: Mapping[str, str | None],
) -> JsonDict:
    """Not while its session is open: that is to be expired."""
    params = top_level(values, CANCEL)
    intent = load(db, intent_id)
    session = find_object(db, private_part(db, intent_id).get("session", ""))
    if session is not None and session["status"] == "open":
        raise ApiError(
            400,
            "You cannot cancel a PaymentIntent created by a Checkout Session. Expire the Checkout"
            " Session instead.",
            param="intent",
        )
    if intent["status"] not in CANCELABLE:
        raise ApiError(
            400,
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}."
            " Only a PaymentIntent with one of the following statuses may be canceled:"
            f" {', '.join(CANCELABLE)}.",
            code="payment_intent_unexpected_state",
        )
    intent |= {
        "canceled_at": int(clock.now()),
        "cancellation_reason": params.get("cancellation_reason"),
        "next_action": None,
        "status": "canceled",
    }
    update_object(db, intent)
    events.record(db, "payment_intent.canceled", intent, cause)
    return intent
