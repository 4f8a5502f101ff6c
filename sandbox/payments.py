"""PaymentIntents, charges and payment methods: their shapes, and what a confirmation makes of them.

A PaymentIntent exists only once the customer has confirmed; each try makes a charge and a payment
method of its own. Callers hold a transaction.
"""

import secrets
import sqlite3
import time
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

from sandbox import events
from sandbox.cards import Card, Decline
from sandbox.ids import new_client_secret, new_id
from sandbox.store import JsonDict, find_object, insert_object, update_object

DESCRIPTOR = "TEST BUSINESS"
DECLINE_DOC_URL = "https://stripe.com/docs/error-codes/"


class Payer(NamedTuple):
    """What the customer typed into the hosted page."""

    email: str
    name: str
    card: Card
    exp_month: int
    exp_year: int


def address(country: str) -> JsonDict:
    """The page asks for no address; the country is the card's."""
    return {
        "city": None,
        "country": country,
        "line1": None,
        "line2": None,
        "postal_code": None,
        "state": None,
    }


def confirm(
    db: sqlite3.Connection, session: JsonDict, data: Mapping[str, Any], payer: Payer
) -> JsonDict:
    """One try with one card: makes or reuses the session's PaymentIntent, charges it, tells events.

    ``data`` is the session's ``payment_intent_data``. The answer's ``status`` is ``succeeded``, or
    ``requires_payment_method`` with the decline in ``last_payment_error``.
    """
    request = {"id": new_id("req"), "idempotency_key": str(uuid.uuid4())}
    intent = _intent_of(db, session, data, request)
    method = _method(payer)
    insert_object(db, method, {})
    charge = _charge(intent, method, payer)
    insert_object(db, charge, {})
    intent["latest_charge"] = charge["id"]
    if payer.card.decline:
        _fail(db, intent, charge, method, payer.card.decline, request)
    else:
        _succeed(db, intent, charge, method, request)
    return intent


def _intent_of(
    db: sqlite3.Connection,
    session: JsonDict,
    data: Mapping[str, Any],
    request: Mapping[str, str | None],
) -> JsonDict:
    if session["payment_intent"]:
        intent = find_object(db, session["payment_intent"])
        assert intent is not None, "a session never names a PaymentIntent that was not stored"
        return intent
    intent = _intent(session, data)
    insert_object(db, intent, {})
    events.record(db, "payment_intent.created", intent, request)
    return intent


def _intent(session: JsonDict, data: Mapping[str, Any]) -> JsonDict:
    intent_id = new_id("pi")
    return {
        "id": intent_id,
        "object": "payment_intent",
        "amount": session["amount_total"],
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": data.get("capture_method", "automatic_async"),
        "client_secret": new_client_secret(intent_id),
        "confirmation_method": "automatic",
        "created": int(time.time()),
        "currency": session["currency"],
        "customer": None,
        "customer_account": None,
        "description": data.get("description"),
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "managed_payments": None,
        "metadata": data.get("metadata", {}),
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {
            "card": {
                "installments": None,
                "mandate_options": None,
                "network": None,
                "request_three_d_secure": "automatic",
            }
        },
        "payment_method_types": session["payment_method_types"],
        "processing": None,
        "receipt_email": data.get("receipt_email"),
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "statement_descriptor": data.get("statement_descriptor"),
        "statement_descriptor_suffix": data.get("statement_descriptor_suffix"),
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }


def _checks(card: Card) -> JsonDict:
    wrong_cvc = card.decline is not None and card.decline.code == "incorrect_cvc"
    return {
        "address_line1_check": None,
        "address_postal_code_check": None,
        "cvc_check": "fail" if wrong_cvc else "pass",
    }


def _billing(payer: Payer) -> JsonDict:
    return {
        "address": address(payer.card.country),
        "email": payer.email,
        "name": payer.name,
        "phone": None,
        "tax_id": None,
    }


def _method(payer: Payer) -> JsonDict:
    card = payer.card
    return {
        "id": new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "limited",
        "billing_details": _billing(payer),
        "card": {
            "brand": card.brand,
            "checks": _checks(card),
            "country": card.country,
            "display_brand": card.brand,
            "exp_month": payer.exp_month,
            "exp_year": payer.exp_year,
            "fingerprint": f"test{card.last4}fingerprint",
            "funding": card.funding,
            "generated_from": None,
            "last4": card.last4,
            "networks": {"available": [card.brand], "preferred": None},
            "regulated_status": "unregulated",
            "three_d_secure_usage": {"supported": True},
            "wallet": None,
        },
        "created": int(time.time()),
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def _charge(intent: JsonDict, method: JsonDict, payer: Payer) -> JsonDict:
    decline = payer.card.decline
    descriptor = intent["statement_descriptor"] or DESCRIPTOR
    return {
        "id": new_id("ch"),
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0 if decline else intent["amount"],
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": None if decline else new_id("txn"),
        "billing_details": method["billing_details"],
        "calculated_statement_descriptor": descriptor.upper(),
        "captured": decline is None,
        "created": int(time.time()),
        "currency": intent["currency"],
        "customer": None,
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline.code if decline else None,
        "failure_message": decline.message if decline else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": intent["metadata"],
        "on_behalf_of": None,
        "outcome": _outcome(decline),
        "paid": decline is None,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": _method_details(intent, method, payer.card),
        "radar_options": {},
        "receipt_email": intent["receipt_email"],
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source_transfer": None,
        "statement_descriptor": intent["statement_descriptor"],
        "statement_descriptor_suffix": intent["statement_descriptor_suffix"],
        "status": "failed" if decline else "succeeded",
        "transfer_data": None,
        "transfer_group": None,
    }


def _outcome(decline: Decline | None) -> JsonDict:
    if decline is None:
        kind, network, reason = "authorized", "approved_by_network", None
        words = "Payment complete."
    elif decline.blocked:
        kind, network, reason = "blocked", "not_sent_to_network", "highest_risk_level"
        words = "Stripe blocked this payment as too risky."
    else:
        kind, network = "issuer_declined", "declined_by_network"
        reason = decline.decline_code or decline.code
        words = "The bank did not return any further details with this decline."
    return {
        "advice_code": decline.advice if decline else None,
        "network_advice_code": None,
        "network_decline_code": None if decline is None or decline.blocked else "01",
        "network_status": network,
        "reason": reason,
        "risk_level": "highest" if decline and decline.blocked else "normal",
        "risk_score": 90 if decline and decline.blocked else 12,
        "seller_message": words,
        "type": kind,
    }


def _method_details(intent: JsonDict, method: JsonDict, card: Card) -> JsonDict:
    shared = ("brand", "checks", "country", "exp_month", "exp_year", "fingerprint", "funding",
              "last4", "regulated_status", "wallet")  # fmt: skip
    paid = card.decline is None
    return {
        "card": {key: method["card"][key] for key in shared}
        | {
            "amount_authorized": intent["amount"] if paid else None,
            "authorization_code": f"{secrets.randbelow(1_000_000):06}" if paid else None,
            "extended_authorization": {"status": "disabled"},
            "incremental_authorization": {"status": "unavailable"},
            "installments": None,
            "mandate": None,
            "multicapture": {"status": "unavailable"},
            "network": card.brand,
            "network_token": {"used": False},
            "network_transaction_id": str(secrets.randbelow(10**15)),
            "overcapture": {"maximum_amount_capturable": intent["amount"], "status": "unavailable"},
            "three_d_secure": None,
        },
        "type": "card",
    }


def _succeed(
    db: sqlite3.Connection,
    intent: JsonDict,
    charge: JsonDict,
    method: JsonDict,
    request: Mapping[str, str | None],
) -> None:
    intent |= {
        "amount_received": intent["amount"],
        "last_payment_error": None,
        "payment_method": method["id"],
        "status": "succeeded",
    }
    update_object(db, intent)
    events.record(db, "charge.succeeded", charge, request)
    events.record(db, "payment_intent.succeeded", intent, request)


def _fail(
    db: sqlite3.Connection,
    intent: JsonDict,
    charge: JsonDict,
    method: JsonDict,
    decline: Decline,
    request: Mapping[str, str | None],
) -> None:
    error = {
        "advice_code": decline.advice,
        "charge": charge["id"],
        "code": decline.code,
        "decline_code": decline.decline_code,
        "doc_url": DECLINE_DOC_URL + decline.code.replace("_", "-"),
        "message": decline.message,
        "param": "cvc" if decline.code == "incorrect_cvc" else None,
        "payment_method": method,
        "type": "card_error",
    }
    known = {key: value for key, value in error.items() if value is not None}
    intent |= {"last_payment_error": known, "status": "requires_payment_method"}
    update_object(db, intent)
    events.record(db, "charge.failed", charge, request)
    events.record(db, "payment_intent.payment_failed", intent, request)


def cancel(db: sqlite3.Connection, intent_id: str) -> None:
    """The PaymentIntent of a session that expired unpaid."""
    intent = find_object(db, intent_id)
    assert intent is not None, "a session never names a PaymentIntent that was not stored"
    intent |= {
        "canceled_at": int(time.time()),
        "cancellation_reason": "expired",
        "status": "canceled",
    }
    update_object(db, intent)
    events.record(db, "payment_intent.canceled", intent)
