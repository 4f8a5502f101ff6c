"""What the merchant can write on a charge afterwards."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from sandbox.protocol.checks import (
    Checker,
    changed_metadata,
    email,
    hash_of,
    list_of,
    metadata_change,
    one_of,
    or_empty,
    string,
    top_level,
    unplayed,
)
from sandbox.protocol.errors import not_found
from sandbox.store import JsonDict, find_object, update_object
from sandbox.webhooks import events

UPDATE: Mapping[str, Checker] = {
    **dict.fromkeys(("customer", "shipping", "transfer_group"), unplayed),
    "description": or_empty(string(40000)),
    "expand": list_of(string()),
    "fraud_details": hash_of({"user_report": one_of("", "fraudulent", "safe")}),
    "metadata": metadata_change,
    "receipt_email": or_empty(email),
}


def update(
    db: sqlite3.Connection,
    charge_id: str,
    values: Mapping[str, Any],
    cause: Mapping[str, str | None],
) -> JsonDict:
    """Raises :class:`ApiError`. ``charge.updated`` tells what changed."""
    params = top_level(values, UPDATE)
    charge = find_object(db, charge_id, "charge")
    if charge is None:
        raise not_found("charge", charge_id)
    texts = [name for name in ("description", "receipt_email") if name in params]
    wanted: JsonDict = {}
    for name in texts:
        wanted[name] = params[name] or None
    if "metadata" in params:
        wanted["metadata"] = changed_metadata(charge["metadata"], params["metadata"])
    if "fraud_details" in params:
        report = params["fraud_details"].get("user_report")
        wanted["fraud_details"] = {"user_report": report} if report else {}
    before = {name: charge[name] for name, value in wanted.items() if charge[name] != value}
    if before:
        charge |= wanted
        update_object(db, charge)
        events.record(db, "charge.updated", charge, cause, previous=before)
    return charge
