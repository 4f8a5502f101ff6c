"""Checkout Sessions: their shape and their life, open → complete or expired.

Callers hold a transaction; the events recorded here are delivered once it is committed.
"""

import sqlite3
from collections.abc import Mapping
from typing import Any

from sandbox import clock, later, settings
from sandbox.objects import line_items, lists, payments, session_parameters
from sandbox.protocol import versions
from sandbox.protocol.checks import changed_metadata, hash_of, one_of, string, top_level
from sandbox.protocol.errors import ApiError, not_found
from sandbox.protocol.ids import new_id
from sandbox.store import JsonDict, find_object, insert_object, update_object
from sandbox.webhooks import events

KIND = "checkout.session"

# Stripe leaves these keys in every session; the sandbox plays no part of theirs.
UNPLAYED: Mapping[str, Any] = {
    "after_expiration": None,
    "allow_promotion_codes": None,
    "billing_address_collection": None,
    "client_secret": None,
    "collected_information": None,
    "consent": None,
    "consent_collection": None,
    "currency_conversion": None,
    "customer": None,
    "customer_account": None,
    "discounts": [],
    "integration_identifier": None,
    "invoice": None,
    "managed_payments": {"enabled": False},
    "optional_items": None,
    "payment_link": None,
    "payment_method_configuration_details": None,
    "permissions": None,
    "recovered_from": None,
    "saved_payment_method_options": None,
    "setup_intent": None,
    "shipping_address_collection": None,
    "shipping_cost": None,
    "shipping_options": [],
    "subscription": None,
    "wallet_options": None,
}


def create(
    db: sqlite3.Connection,
    values: Mapping[str, Any],
    origin: str,
    version: str = versions.API_VERSION,
) -> JsonDict:
    """A new open session whose ``url`` is a page under ``origin``. Raises :class:`ApiError`."""
    now = int(clock.now())
    params = session_parameters.check(values, now, version)
    session_id = new_id("cs_test_a1")
    session = _shape(db, session_id, params, now) | {"url": f"{origin}/c/pay/{session_id}"}
    private = {
        "line_items": [line_items.line_item(item, now) for item in params["line_items"]],
        "descriptions": [_described(item) for item in params["line_items"]],
        "payment_intent_data": params.get("payment_intent_data", {}),
    }
    insert_object(db, session, private)
    later.at(db, session["expires_at"], "session.expire", session_id)
    return session


def _shape(
    db: sqlite3.Connection, session_id: str, params: Mapping[str, Any], now: int
) -> JsonDict:
    amount = session_parameters.total(params["line_items"])
    email = params.get("customer_email")
    return {
        "id": session_id,
        "object": KIND,
        **UNPLAYED,
        "adaptive_pricing": {"enabled": False},
        "amount_subtotal": amount,
        "amount_total": amount,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "branding_settings": _branding(db, params.get("branding_settings", {})),
        "cancel_url": params.get("cancel_url"),
        "client_reference_id": params.get("client_reference_id"),
        "created": now,
        "currency": params["line_items"][0]["price_data"]["currency"],
        "custom_fields": [],
        "custom_text": dict.fromkeys(
            ("after_submit", "shipping_address", "submit", "terms_of_service_acceptance")
        ),
        "customer_creation": "if_required",
        "customer_details": _customer(email, None, None) if email else None,
        "customer_email": email,
        "expires_at": params.get("expires_at", now + session_parameters.LONGEST_LIFE_S),
        "invoice_creation": _no_invoice(),
        "livemode": False,
        "locale": params.get("locale"),
        "metadata": params.get("metadata", {}),
        "mode": "payment",
        "origin_context": params.get("origin_context"),
        "payment_intent": None,
        "payment_method_collection": "if_required",
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": params["payment_method_types"],
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "status": "open",
        "submit_type": params.get("submit_type"),
        "success_url": params["success_url"],
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
        "ui_mode": params.get("ui_mode", "hosted_page"),
        "url": None,
    }


def _described(item: Mapping[str, Any]) -> str | None:
    """The product's description: the customer's page shows it, and no object holds it here."""
    text: str | None = item["price_data"]["product_data"].get("description")
    return text


def _branding(db: sqlite3.Connection, wanted: Mapping[str, str]) -> JsonDict:
    return {
        "background_color": "#ffffff",
        "border_style": "rounded",
        "button_color": "#0074d4",
        "display_name": settings.current(db)["business_name"],
        "font_family": "default",
        "icon": None,
        "logo": None,
        **wanted,
    }


def _no_invoice() -> JsonDict:
    return {
        "enabled": False,
        "invoice_data": {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": None,
            "footer": None,
            "issuer": None,
            "metadata": {},
            "rendering_options": None,
        },
    }


def _customer(email: str, name: str | None, country: str | None) -> JsonDict:
    address = payments.address(country) if country else None
    return {
        "address": address,
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": name,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": [] if country else None,
    }


FILTERS = ("customer", "customer_account", "payment_intent", "payment_link", "subscription")
STATUS = one_of("complete", "expired", "open")
DETAILS = hash_of({"email": string()}, required=("email",))


def page(db: sqlite3.Connection, values: Mapping[str, Any]) -> JsonDict:
    """A page of the list. What no session has here, such as a subscription, finds none."""
    others = dict(values)
    wanted = {}
    if "status" in others:
        wanted["status"] = STATUS(others.pop("status"), "status")
    if "customer_details" in others:
        details = DETAILS(others.pop("customer_details"), "customer_details")
        wanted["customer_details.email"] = details["email"]
    return lists.list_objects(db, KIND, "/v1/checkout/sessions", others, FILTERS, wanted)


def load(db: sqlite3.Connection, session_id: str) -> JsonDict:
    """Raises the 404 :class:`ApiError` for an id that is no session's."""
    session = find_object(db, session_id, KIND)
    if session is None:
        raise not_found(KIND, session_id, param="session")
    return session


def update(db: sqlite3.Connection, session_id: str, values: Mapping[str, Any]) -> JsonDict:
    """The metadata; no event tells of it."""
    params = top_level(values, session_parameters.UPDATE)
    session = load(db, session_id)
    if "metadata" in params:
        session["metadata"] = changed_metadata(session["metadata"], params["metadata"])
        update_object(db, session)
    return session


def expire_on_request(
    db: sqlite3.Connection, session_id: str, request: Mapping[str, str | None]
) -> JsonDict:
    session = load(db, session_id)
    if session["status"] != "open":
        raise ApiError(
            400,
            'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session'
            f" has a status of `{session['status']}`.",
            param="session",
        )
    expire(db, session, request)
    return session


def expire(
    db: sqlite3.Connection,
    session: JsonDict,
    request: Mapping[str, str | None] = events.NO_REQUEST,
) -> None:
    """Ends an open session. A PaymentIntent that a declined card left behind ends with it."""
    session |= {"status": "expired", "url": None}
    update_object(db, session)
    later.forget(db, session["id"], "session.expire")
    if session["payment_intent"]:
        payments.cancel(db, session["payment_intent"])
    events.record(db, "checkout.session.expired", session, request)


def expire_if_due(db: sqlite3.Connection, session: JsonDict) -> None:
    if session["status"] == "open" and session["expires_at"] <= clock.now():
        expire(db, session)


@later.action("session.expire")
def _expire_in_time(db: sqlite3.Connection, session_id: str) -> None:
    session = find_object(db, session_id, KIND)
    if session is not None:
        expire_if_due(db, session)


def keep_payment_intent(db: sqlite3.Connection, session: JsonDict, intent_id: str) -> None:
    session["payment_intent"] = intent_id
    update_object(db, session)


def complete(
    db: sqlite3.Connection, session: JsonDict, intent: JsonDict, payer: payments.Payer
) -> str:
    """Paid, or still unpaid by a bank debit; returns the id of the event that says so."""
    session |= {
        "collected_information": {
            "business_name": None,
            "individual_name": None,
            "shipping_details": None,
        },
        "customer_details": _customer(payer.email, payer.name, payer.country),
        "payment_intent": intent["id"],
        "payment_status": "paid" if intent["status"] == "succeeded" else "unpaid",
        "status": "complete",
        "url": None,
    }
    update_object(db, session)
    later.forget(db, session["id"], "session.expire")
    return events.record(db, "checkout.session.completed", session)


def settle(db: sqlite3.Connection, session: JsonDict, *, paid: bool) -> None:
    """The bank has answered about a complete session's debit; a failed one leaves it unpaid."""
    if paid:
        session["payment_status"] = "paid"
        update_object(db, session)
    outcome = "succeeded" if paid else "failed"
    events.record(db, f"checkout.session.async_payment_{outcome}", session)
