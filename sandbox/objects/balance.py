"""Balance transactions: what each charge, refund and dispute moved, and what Stripe keeps of it.

The fee is the stand-in's own figure, 2.9 % and 0.30 of the currency (none where it has no cents);
a refund gives none of it back; a dispute costs 15.00 that a win does not bring back. Nothing is
converted: the account has a balance in each currency it was paid in.
"""

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from sandbox import clock, later
from sandbox.objects.lists import list_objects
from sandbox.protocol import money
from sandbox.protocol.checks import top_level
from sandbox.protocol.errors import ApiError, not_found
from sandbox.protocol.ids import new_id
from sandbox.store import JsonDict, find_object, insert_object, update_object
from sandbox.webhooks import events

KIND = "balance_transaction"
AVAILABLE_AFTER_S = 2 * 24 * 60 * 60
# A charge that is captured automatically and asynchronously, as Checkout's are, gets its balance
# transaction a moment after it succeeded: ``charge.updated`` tells it.
SETTLED_AFTER_S = 1.0


def fee_of(amount: int, currency: str) -> int:
    """In minor units, never more than the amount."""
    step = money.granularity(currency)
    fixed = 3 * units(currency) // 10
    exact = (amount * 29 + 500) // 1000 + fixed
    return min(amount, exact // step * step)


def dispute_fee(currency: str) -> int:
    return 15 * units(currency)


def units(currency: str) -> int:
    """Minor units in one major unit."""
    return int(10 ** money.decimals(currency))


def add(
    db: sqlite3.Connection,
    source: JsonDict,
    amount: int,
    *,
    kind: str,
    category: str,
    description: str | None,
    fee: int = 0,
    fee_name: str = "Stripe processing fees",
) -> JsonDict:
    """Keeps and returns the transaction; ``amount`` is negative where money leaves."""
    now = int(clock.now())
    currency = source["currency"]
    transaction = {
        "id": new_id("txn"),
        "object": KIND,
        "amount": amount,
        "available_on": now + AVAILABLE_AFTER_S if amount > 0 else now,
        "balance_type": "payments",
        "created": now,
        "currency": currency,
        "description": description,
        "exchange_rate": None,
        "fee": fee,
        "fee_details": _fee_details(fee, currency, fee_name),
        "net": amount - fee,
        "reporting_category": category,
        "source": source["id"],
        "status": "pending" if amount > 0 else "available",
        "type": kind,
    }
    insert_object(db, transaction, {})
    if amount > 0:
        later.at(db, transaction["available_on"], "balance.available", transaction["id"])
    return transaction


def _fee_details(fee: int, currency: str, name: str) -> list[JsonDict]:
    if not fee:
        return []
    return [
        {
            "amount": fee,
            "application": None,
            "currency": currency,
            "description": name,
            "type": "stripe_fee",
        }
    ]


@later.action("balance.available")
def _become_available(db: sqlite3.Connection, transaction_id: str) -> None:
    transaction = find_object(db, transaction_id, KIND)
    if transaction is not None:
        update_object(db, transaction | {"status": "available"})


@later.action("charge.settle")
def settle_charge(db: sqlite3.Connection, charge_id: str) -> None:
    """Gives a charge that succeeded its balance transaction, once."""
    charge = find_object(db, charge_id, "charge")
    if charge is None or not charge["paid"] or charge["balance_transaction"]:
        return
    later.forget(db, charge_id, "charge.settle")
    transaction = add(
        db,
        charge,
        charge["amount"],
        kind="charge" if charge["payment_method_details"]["type"] == "card" else "payment",
        category="charge",
        description=charge["description"],
        fee=fee_of(charge["amount"], charge["currency"]),
    )
    charge["balance_transaction"] = transaction["id"]
    update_object(db, charge)
    events.record(db, "charge.updated", charge, previous={"balance_transaction": None})


def load(db: sqlite3.Connection, transaction_id: str) -> JsonDict:
    transaction = find_object(db, transaction_id, KIND)
    if transaction is None:
        raise not_found("balance transaction", transaction_id)
    return transaction


def list_transactions(db: sqlite3.Connection, values: Mapping[str, Any]) -> JsonDict:
    if "payout" in values:
        raise ApiError(400, "The sandbox pays nothing out (yet); Stripe may.", param="payout")
    fields = ("currency", "source", "type")
    return list_objects(db, KIND, "/v1/balance_transactions", values, fields)


def balance(db: sqlite3.Connection, values: Mapping[str, Any]) -> JsonDict:
    """``GET /v1/balance``: what is there and what is still on its way, by currency."""
    top_level(values, {"expand": lambda value, name: value})
    rows = db.execute("SELECT body FROM objects WHERE object = ?", (KIND,)).fetchall()
    sums: dict[str, dict[str, int]] = {"available": {}, "pending": {}}
    for transaction in (json.loads(row["body"]) for row in rows):
        side, currency = sums[transaction["status"]], transaction["currency"]
        side[currency] = side.get(currency, 0) + transaction["net"]
    return {
        "object": "balance",
        "available": _amounts(sums["available"]),
        "livemode": False,
        "pending": _amounts(sums["pending"]),
    }


def _amounts(by_currency: Mapping[str, int]) -> list[JsonDict]:
    return [
        {"amount": amount, "currency": currency, "source_types": {"card": amount}}
        for currency, amount in sorted((by_currency or {"usd": 0}).items())
    ]
