"""Line items: what is bought in a session, and at what price."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from sandbox.protocol.checks import Checker, integer, list_of, string, top_level
from sandbox.protocol.errors import not_found
from sandbox.protocol.ids import new_id
from sandbox.store import JsonDict, private_part

PAGE: Mapping[str, Checker] = {
    "ending_before": string(),
    "expand": list_of(string()),
    "limit": integer(1, 100),
    "starting_after": string(),
}


def line_item(item: Mapping[str, Any], now: int) -> JsonDict:
    price = item["price_data"]
    amount = price["unit_amount"] * item["quantity"]
    return {
        "id": new_id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": price["product_data"]["name"],
        "metadata": item.get("metadata", {}),
        "price": _price(price, now),
        "quantity": item["quantity"],
    }


def _price(price: Mapping[str, Any], now: int) -> JsonDict:
    return {
        "id": new_id("price"),
        "object": "price",
        "active": False,
        "billing_scheme": "per_unit",
        "created": now,
        "currency": price["currency"],
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": {},
        "nickname": None,
        "product": new_id("prod"),
        "recurring": None,
        "tax_behavior": "unspecified",
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "one_time",
        "unit_amount": price["unit_amount"],
        "unit_amount_decimal": str(price["unit_amount"]),
    }


def of_session(db: sqlite3.Connection, session_id: str) -> JsonDict:
    """The list object that ``expand[]=line_items`` puts into the session."""
    return page(db, session_id, {})


def page(db: sqlite3.Connection, session_id: str, values: Mapping[str, Any]) -> JsonDict:
    """Oldest first, unlike other lists; both cursors."""
    params = top_level(values, PAGE)
    items = private_part(db, session_id)["line_items"]
    ids = [item["id"] for item in items]
    if "starting_after" in params:
        items = items[_place(ids, params["starting_after"], "starting_after") + 1 :]
    if "ending_before" in params:
        items = items[: _place(ids, params["ending_before"], "ending_before")]
    limit = params.get("limit", 10)
    shown = items[-limit:] if "ending_before" in params else items[:limit]
    return {
        "object": "list",
        "data": shown,
        "has_more": len(items) > limit,
        "url": f"/v1/checkout/sessions/{session_id}/line_items",
    }


def _place(ids: list[str], item_id: str, param: str) -> int:
    if item_id not in ids:
        raise not_found("item", item_id, param, status=400)
    return ids.index(item_id)
