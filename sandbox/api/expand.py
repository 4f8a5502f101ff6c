"""``expand[]=payment_intent.latest_charge``: ids replaced by the objects they name.

In a list every path starts at ``data``. https://docs.stripe.com/api/expanding_objects
"""

import sqlite3
from typing import Any

from sandbox.objects import line_items
from sandbox.protocol import versions
from sandbox.protocol.errors import ApiError
from sandbox.store import JsonDict, find_object

# By kind, what Stripe lets expand; most of it is null here for good, which is no error.
EXPANDABLE = {
    "balance_transaction": {"source"},
    "charge": {
        "application", "application_fee", "balance_transaction", "customer",
        "failure_balance_transaction", "on_behalf_of", "payment_intent", "review",
        "source_transfer", "transfer",
    },
    "checkout.session": {
        "customer", "invoice", "payment_intent", "payment_link", "setup_intent", "subscription",
    },
    "dispute": {"charge", "payment_intent"},
    "payment_intent": {
        "application", "customer", "latest_charge", "on_behalf_of", "payment_method", "review",
    },
    "payment_method": {"customer"},
    "radar.early_fraud_warning": {"charge", "payment_intent"},
    "refund": {
        "balance_transaction", "charge", "failure_balance_transaction", "payment_intent",
        "source_transfer_reversal", "transfer_reversal",
    },
}  # fmt: skip

DEEPEST = 4


def expand(db: sqlite3.Connection, body: JsonDict, paths: Any) -> JsonDict:
    """Changes and returns ``body``. An id of nothing we keep, and null, stay as they are."""
    if isinstance(paths, str):
        raise ApiError(400, "Invalid array", param="expand")
    for path in paths.values() if isinstance(paths, dict) else paths:
        parts = str(path).split(".")
        if len(parts) > DEEPEST:
            raise ApiError(
                400,
                f"You cannot expand more than {DEEPEST} levels of a property: {path}",
                param="expand",
            )
        _expand_path(db, body, parts, str(path))
    return body


def _expand_path(db: sqlite3.Connection, node: JsonDict, parts: list[str], path: str) -> None:
    head, *rest = parts
    if head == "data" and node.get("object") == "list":
        for item in node["data"]:
            if rest:
                _expand_path(db, item, rest, path)
        return
    if not _put(db, node, head):
        raise ApiError(400, f"This property cannot be expanded ({path}).", param="expand")
    if rest and isinstance(node[head], list):
        for item in node[head]:
            _expand_path(db, item, rest, path)
    elif rest and isinstance(node[head], dict):
        _expand_path(db, node[head], rest, path)


def _put(db: sqlite3.Connection, node: JsonDict, field: str) -> bool:
    """Whether ``field`` can be expanded, and now is."""
    kind = node.get("object", "")
    if (kind, field) == ("checkout.session", "line_items"):
        node.setdefault("line_items", line_items.of_session(db, node["id"]))
    elif (kind, field) == ("charge", "refunds"):
        node.setdefault("refunds", versions.sublist(db, "refund", "charge", node["id"]))
    elif (kind, field) == ("dispute", "balance_transactions"):
        return True  # whole as they are; what is in them can be expanded
    elif field in EXPANDABLE.get(kind, ()):
        if isinstance(node.get(field), str):
            node[field] = find_object(db, node[field]) or node[field]
    else:
        return False
    node.setdefault(field, None)
    return True
