"""Refunds: their shape, what is refused, and what becomes of one.

succeeded at once; or pending, then succeeded; or succeeded, then failed; or requires_action, then
succeeded, canceled or failed. Which, the test card says, or the switch ``refund_outcome``. A refund
that failed or was canceled counts no longer: the charge's ``amount_refunded`` goes back.
"""

import secrets
import sqlite3
from collections.abc import Mapping
from typing import Any

from sandbox import clock, later, settings
from sandbox.objects import balance, cards
from sandbox.protocol import money
from sandbox.protocol.checks import (
    Checker,
    changed_metadata,
    email,
    integer,
    list_of,
    metadata,
    metadata_change,
    one_of,
    string,
    top_level,
    unplayed,
)
from sandbox.protocol.errors import ApiError, not_found
from sandbox.protocol.ids import new_id
from sandbox.store import (
    JsonDict,
    find_object,
    insert_object,
    objects_of,
    private_part,
    stored,
    update_object,
)
from sandbox.webhooks import events
from sandbox.webhooks.events import Cause

KIND = "refund"

# As long as a customer has to answer the mail that asks where the money is to go.
ACTION_WITHIN_S = 45 * 24 * 60 * 60


CREATE: Mapping[str, Checker] = {
    **dict.fromkeys(
        ("currency", "customer", "origin", "refund_application_fee", "reverse_transfer"), unplayed
    ),
    "amount": integer(1),
    "charge": string(),
    "expand": list_of(string()),
    "instructions_email": email,
    "metadata": metadata,
    "payment_intent": string(),
    "reason": one_of("duplicate", "fraudulent", "requested_by_customer"),
}

UPDATE: Mapping[str, Checker] = {"expand": list_of(string()), "metadata": metadata_change}


def create(
    db: sqlite3.Connection, values: Mapping[str, Any], cause: Cause = events.NO_REQUEST
) -> JsonDict:
    """All that is left of the charge, or ``amount`` of it. Raises :class:`ApiError`."""
    params = top_level(values, CREATE)
    charge = charge_of(db, params)
    balance.settle_charge(db, charge["id"])
    charge = find_object(db, charge["id"]) or charge
    amount = _judged(db, charge, params.get("amount"))
    outcome = _outcome(db, charge)
    refund = _shape(charge, amount, params, "succeeded" if outcome == "fails" else outcome)
    transaction = balance.add(
        db, refund, -amount, kind="refund", category="refund", description=charge["description"]
    )
    refund["balance_transaction"] = transaction["id"]
    insert_object(db, refund, {})
    _plan(db, refund, outcome)
    before = {name: charge[name] for name in ("amount_refunded", "refunded")}
    _count(db, charge, amount)
    events.record(db, "refund.created", refund, cause)
    events.record(db, "charge.refunded", charge, cause, previous=before)
    _satisfy(db, charge)
    return refund


def _satisfy(db: sqlite3.Connection, charge: JsonDict) -> None:
    """Who has all of the money back has nothing left to inquire about."""
    if not charge["refunded"]:
        return
    for dispute in objects_of(db, "dispute", "charge", charge["id"]):
        if dispute["status"].startswith("warning_"):
            delay_s = settings.current(db)["dispute_delay_s"]
            later.at(db, clock.now() + delay_s, "dispute.win", dispute["id"])


def charge_of(db: sqlite3.Connection, params: Mapping[str, Any]) -> JsonDict:
    """The charge meant by ``charge`` or ``payment_intent``."""
    if "charge" in params:
        charge = find_object(db, params["charge"], "charge")
        if charge is None:
            raise not_found("charge", params["charge"], "charge")
        return charge
    if "payment_intent" not in params:
        raise ApiError(
            400,
            "One of the following params should be provided for this request: payment_intent or"
            " charge.",
        )
    intent = find_object(db, params["payment_intent"], "payment_intent")
    if intent is None:
        raise not_found("payment_intent", params["payment_intent"], "payment_intent")
    charge = find_object(db, intent["latest_charge"] or "", "charge")
    if charge is None or not charge["paid"]:
        raise ApiError(
            400,
            f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
            param="payment_intent",
        )
    return charge


def _judged(db: sqlite3.Connection, charge: JsonDict, wanted: int | None) -> int:
    """The amount to refund in minor units."""
    if not charge["paid"]:
        raise ApiError(
            400, f"Charge {charge['id']} is not refundable: it did not succeed.", param="charge"
        )
    if charge["refunded"]:
        raise ApiError(
            400, f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded"
        )
    disputes = objects_of(db, "dispute", "charge", charge["id"])
    if not all(dispute["is_charge_refundable"] for dispute in disputes):
        raise ApiError(
            400,
            f"Charge {charge['id']} has been charged back; cannot issue a refund.",
            code="charge_disputed",
        )
    left = charge["amount"] - charge["amount_refunded"]
    if wanted is not None and wanted > left:
        raise _too_much(charge, wanted, left)
    if wanted is not None and wanted % money.granularity(charge["currency"]):
        raise _between_steps(charge, wanted)
    return left if wanted is None else wanted


def _too_much(charge: JsonDict, wanted: int, left: int) -> ApiError:
    asked, possible = (money.format_amount(n, charge["currency"]) for n in (wanted, left))
    of = "unrefunded amount on charge" if charge["amount_refunded"] else "charge amount"
    return ApiError(
        400,
        f"Refund amount ({asked}) is greater than {of} ({possible})",
        code="amount_too_large",
        param="amount",
    )


def _between_steps(charge: JsonDict, wanted: int) -> ApiError:
    code, step = charge["currency"], money.granularity(charge["currency"])
    sentence = f"Invalid amount: {wanted} {code} must be a multiple of {step}, as the charge was."
    return ApiError(400, sentence, param="amount")


def _outcome(db: sqlite3.Connection, charge: JsonDict) -> str:
    """The switch's word if it has one, else the test card's."""
    wanted = settings.current(db)["refund_outcome"]
    card = cards.CARDS.get(private_part(db, charge["id"]).get("number", ""))
    return wanted or (card.refund if card else None) or "succeeded"


def _shape(charge: JsonDict, amount: int, params: Mapping[str, Any], status: str) -> JsonDict:
    refund: JsonDict = {
        "id": new_id("re"),
        "object": KIND,
        "amount": amount,
        "balance_transaction": None,
        "charge": charge["id"],
        "created": int(clock.now()),
        "currency": charge["currency"],
        "destination_details": _destination(charge, status),
        "metadata": params.get("metadata", {}),
        "payment_intent": charge["payment_intent"],
        "reason": params.get("reason"),
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": status,
        "transfer_reversal": None,
    }
    if status == "pending":
        refund["pending_reason"] = "processing"
    if status == "requires_action":
        refund |= _action(charge, params.get("instructions_email"))
    return refund


def _destination(charge: JsonDict, status: str) -> JsonDict:
    kind = charge["payment_method_details"]["type"]
    if kind != "card":
        return {"type": kind}
    card = {"reference_type": "acquirer_reference_number", "type": "refund"}
    if status == "succeeded":
        number = f"{secrets.randbelow(10**12):012}"
        card |= {"reference": number, "reference_status": "available"}
    else:
        card["reference_status"] = "pending"
    return {"card": card, "type": "card"}


def _action(charge: JsonDict, to: str | None) -> JsonDict:
    """The customer is asked by mail where the money is to go."""
    now = int(clock.now())
    to = to or charge["billing_details"]["email"]
    return {
        "instructions_email": to,
        "next_action": {
            "display_details": {
                "email_sent": {"email_sent_at": now, "email_sent_to": to},
                "expires_at": now + ACTION_WITHIN_S,
            },
            "type": "display_details",
        },
    }


def _plan(db: sqlite3.Connection, refund: JsonDict, outcome: str) -> None:
    """The switch ``refund_delay_s`` says how long a refund is pending, or seems to have worked."""
    delay_s = settings.current(db)["refund_delay_s"]
    to_come = {
        "pending": ("refund.succeed", delay_s),
        "fails": ("refund.fail", delay_s),
        "requires_action": ("refund.expire", ACTION_WITHIN_S),
    }
    if outcome in to_come:
        name, wait_s = to_come[outcome]
        later.at(db, clock.now() + wait_s, name, refund["id"])


def _count(db: sqlite3.Connection, charge: JsonDict, amount: int) -> None:
    """``amount`` is negative for a refund that came to nothing."""
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    update_object(db, charge)


@later.action("refund.succeed")
def _succeed_later(db: sqlite3.Connection, refund_id: str) -> None:
    refund = find_object(db, refund_id, KIND)
    if refund is not None and refund["status"] in ("pending", "requires_action"):
        succeed(db, refund)


@later.action("refund.fail")
def _fail_later(db: sqlite3.Connection, refund_id: str) -> None:
    refund = find_object(db, refund_id, KIND)
    if refund is not None and refund["status"] in ("pending", "succeeded"):
        fail(db, refund)


@later.action("refund.expire")
def _expire_later(db: sqlite3.Connection, refund_id: str) -> None:
    refund = find_object(db, refund_id, KIND)
    if refund is not None and refund["status"] == "requires_action":
        fail(db, refund, "expired_or_canceled_card")


def succeed(db: sqlite3.Connection, refund: JsonDict, cause: Cause = events.NO_REQUEST) -> None:
    before = _changed(db, refund, "succeeded")
    charge = stored(db, refund["charge"])
    refund["destination_details"] = _destination(charge, "succeeded")
    update_object(db, refund)
    _tell(db, refund, before, cause)


def fail(
    db: sqlite3.Connection,
    refund: JsonDict,
    reason: str = "expired_or_canceled_card",
    cause: Cause = events.NO_REQUEST,
) -> None:
    """The bank sent the money back: it is ours again, and the charge's to be refunded."""
    before = _changed(db, refund, "failed")
    refund["failure_reason"] = reason
    _take_back(db, refund)
    _tell(db, refund, before, cause)
    events.record(db, "refund.failed", refund, cause)


def cancel(db: sqlite3.Connection, refund_id: str, cause: Cause = events.NO_REQUEST) -> JsonDict:
    refund = load(db, refund_id)
    if refund["status"] != "requires_action":
        raise ApiError(
            400,
            f"You cannot cancel this Refund because it has a status of {refund['status']}. Only a"
            " Refund with the status requires_action may be canceled.",
            param="refund",
        )
    before = _changed(db, refund, "canceled")
    _take_back(db, refund)
    _tell(db, refund, before, cause)
    return refund


def expire(db: sqlite3.Connection, refund_id: str, cause: Cause) -> JsonDict:
    """Stripe's test helper: the customer never answered."""
    refund = load(db, refund_id)
    if refund["status"] != "requires_action":
        raise ApiError(
            400, "Only a Refund with the status requires_action can be expired.", param="refund"
        )
    fail(db, refund, cause=cause)
    return refund


def _changed(db: sqlite3.Connection, refund: JsonDict, status: str) -> JsonDict:
    """The new status; returns the former for the event."""
    later.forget(db, refund["id"])
    before = {"status": refund["status"]}
    refund["status"] = status
    refund.pop("pending_reason", None)
    refund.pop("next_action", None)
    return before


def _take_back(db: sqlite3.Connection, refund: JsonDict) -> None:
    transaction = balance.add(
        db,
        refund,
        refund["amount"],
        kind="refund_failure",
        category="refund_failure",
        description=f"Refund failure for {refund['id']}",
    )
    refund["failure_balance_transaction"] = transaction["id"]
    update_object(db, refund)
    charge = stored(db, refund["charge"])
    _count(db, charge, -refund["amount"])


def _tell(
    db: sqlite3.Connection, refund: JsonDict, before: Mapping[str, Any], cause: Cause
) -> None:
    """Twins: the same change under the name of old and of now."""
    events.record(db, "charge.refund.updated", refund, cause, previous=before)
    events.record(db, "refund.updated", refund, cause, previous=before)


def load(db: sqlite3.Connection, refund_id: str) -> JsonDict:
    refund = find_object(db, refund_id, KIND)
    if refund is None:
        raise not_found("refund", refund_id)
    return refund


def update(
    db: sqlite3.Connection, refund_id: str, values: Mapping[str, Any], cause: Cause
) -> JsonDict:
    params = top_level(values, UPDATE)
    refund = load(db, refund_id)
    if "metadata" in params:
        before = {"metadata": refund["metadata"]}
        refund["metadata"] = changed_metadata(refund["metadata"], params["metadata"])
        update_object(db, refund)
        _tell(db, refund, before, cause)
    return refund
