"""Disputes: how one is opened, what the merchant can do about it, and how it ends.

needs_response → under_review → won or lost; an inquiry is warning_needs_response →
warning_under_review → warning_closed, or becomes a chargeback. What is submitted decides, as in
Stripe's test mode (https://docs.stripe.com/testing#evidence): ``winning_evidence``,
``losing_evidence`` or ``escalate_inquiry_evidence`` as ``evidence[uncategorized_text]``; anything
else stays under review until a person at the stand-in's desk decides. Unanswered ones are lost, and
inquiries closed, when ``due_by`` has passed.
"""

import sqlite3
from collections.abc import Mapping
from typing import Any

from sandbox import clock, later, settings
from sandbox.objects import balance, dispute_shapes
from sandbox.protocol.checks import changed_metadata, top_level
from sandbox.protocol.errors import ApiError, not_found
from sandbox.store import JsonDict, find_object, insert_object, objects_of, update_object
from sandbox.webhooks import events
from sandbox.webhooks.events import Cause

KIND = dispute_shapes.KIND

# status now → status once evidence is submitted
ANSWERABLE = {
    "needs_response": "under_review",
    "warning_needs_response": "warning_under_review",
}
OPEN = (*ANSWERABLE, *ANSWERABLE.values())

VERDICTS = {
    "winning_evidence": "dispute.win",
    "losing_evidence": "dispute.lose",
    "escalate_inquiry_evidence": "dispute.escalate",
}


def open_dispute(
    db: sqlite3.Connection,
    charge: JsonDict,
    reason: str,
    *,
    inquiry: bool = False,
    amount: int | None = None,
) -> JsonDict:
    """The customer's bank asks for the money back, or only asks; ``amount`` in minor units.

    Raises :class:`ApiError` for what no bank does.
    """
    _refuse_what_no_bank_does(db, charge, inquiry=inquiry)
    balance.settle_charge(db, charge["id"])
    charge = find_object(db, charge["id"]) or charge
    # What was refunded in full can still be disputed in full: banks don't ask.
    left = charge["amount"] - charge["amount_refunded"]
    amount = (left or charge["amount"]) if amount is None else amount
    dispute = dispute_shapes.dispute(charge, reason, amount, inquiry=inquiry)
    insert_object(db, dispute, {})
    update_object(db, charge | {"disputed": True})
    if not inquiry:
        _withdraw(db, dispute)
    events.record(db, "charge.dispute.created", dispute)
    if not inquiry:
        events.record(db, "charge.dispute.funds_withdrawn", dispute)
    if charge["payment_method_details"]["type"] == "card":
        later.at(db, dispute["evidence_details"]["due_by"], "dispute.deadline", dispute["id"])
    else:
        # A bank debit's customer is always right: nothing can be submitted against it.
        _close(db, dispute, "lost")
    return dispute


def _refuse_what_no_bank_does(db: sqlite3.Connection, charge: JsonDict, *, inquiry: bool) -> None:
    if inquiry and charge["payment_method_details"]["type"] != "card":
        raise ApiError(400, "A bank debit is disputed at once: its bank asks no questions first.")
    for earlier in of_charge(db, charge["id"]):
        if earlier["status"] in ("won", "lost"):
            raise ApiError(
                400,
                f"Charge {charge['id']} was disputed already: that was {earlier['status']}, and a"
                " charge is disputed once.",
            )


def warn(db: sqlite3.Connection, charge: JsonDict) -> JsonDict:
    """An early fraud warning: no dispute yet, and no money moved."""
    warning = dispute_shapes.early_fraud_warning(charge)
    insert_object(db, warning, {})
    events.record(db, "radar.early_fraud_warning.created", warning)
    return warning


def of_charge(db: sqlite3.Connection, charge_id: str) -> list[JsonDict]:
    """Newest first."""
    return objects_of(db, KIND, "charge", charge_id)


def load(db: sqlite3.Connection, dispute_id: str) -> JsonDict:
    dispute = find_object(db, dispute_id, KIND)
    if dispute is None:
        raise not_found("dispute", dispute_id)
    return dispute


def update(
    db: sqlite3.Connection, dispute_id: str, values: Mapping[str, Any], cause: Cause
) -> JsonDict:
    """Evidence is submitted unless ``submit`` is false; then it is kept for later."""
    params = top_level(values, dispute_shapes.UPDATE)
    dispute = load(db, dispute_id)
    before = {name: dispute[name] for name in ("evidence", "metadata", "status")}
    if "metadata" in params:
        dispute["metadata"] = changed_metadata(dispute["metadata"], params["metadata"])
    if "evidence" in params or params.get("submit"):
        _take_evidence(db, dispute, params.get("evidence", {}), params.get("submit", True))
    update_object(db, dispute)
    changed = {name: old for name, old in before.items() if dispute[name] != old}
    if changed:
        events.record(db, "charge.dispute.updated", dispute, cause, previous=changed)
    return dispute


def _take_evidence(
    db: sqlite3.Connection, dispute: JsonDict, evidence: Mapping[str, str], submit: bool
) -> None:
    if dispute["status"] not in ANSWERABLE:
        raise ApiError(
            400,
            f"This dispute has a status of {dispute['status']}: evidence can no longer be"
            " submitted.",
            param="dispute",
        )
    given = {field: text or None for field, text in evidence.items()}
    dispute["evidence"] = dispute["evidence"] | given
    details = dispute["evidence_details"]
    details["has_evidence"] = any(
        text for field, text in dispute["evidence"].items() if field != "enhanced_evidence"
    )
    if submit:
        details["submission_count"] += 1
        dispute["status"] = ANSWERABLE[dispute["status"]]
        _await_verdict(db, dispute)


def _await_verdict(db: sqlite3.Connection, dispute: JsonDict) -> None:
    later.forget(db, dispute["id"], "dispute.deadline")
    verdict = VERDICTS.get((dispute["evidence"]["uncategorized_text"] or "").strip())
    if verdict is not None:
        delay_s = settings.current(db)["dispute_delay_s"]
        later.at(db, clock.now() + delay_s, verdict, dispute["id"])


def accept(db: sqlite3.Connection, dispute_id: str, cause: Cause) -> JsonDict:
    """``/close``: the merchant gives in."""
    dispute = load(db, dispute_id)
    if dispute["status"] not in ANSWERABLE:
        raise ApiError(
            400,
            f"This dispute has a status of {dispute['status']}: it can no longer be closed.",
            param="dispute",
        )
    inquiry = dispute_shapes.is_inquiry(dispute)
    _close(db, dispute, "warning_closed" if inquiry else "lost", cause)
    return dispute


@later.action("dispute.deadline")
def _deadline(db: sqlite3.Connection, dispute_id: str) -> None:
    dispute = find_object(db, dispute_id, KIND)
    if dispute is not None and dispute["status"] in ANSWERABLE:
        dispute["evidence_details"]["past_due"] = True
        lose(db, dispute)


@later.action("dispute.win")
def _win_later(db: sqlite3.Connection, dispute_id: str) -> None:
    dispute = find_object(db, dispute_id, KIND)
    if dispute is not None and dispute["status"] in OPEN:
        win(db, dispute)


@later.action("dispute.lose")
def _lose_later(db: sqlite3.Connection, dispute_id: str) -> None:
    dispute = find_object(db, dispute_id, KIND)
    if dispute is not None and dispute["status"] in OPEN:
        lose(db, dispute)


@later.action("dispute.escalate")
def _escalate_later(db: sqlite3.Connection, dispute_id: str) -> None:
    dispute = find_object(db, dispute_id, KIND)
    if dispute is not None and dispute["status"] in OPEN and dispute_shapes.is_inquiry(dispute):
        escalate(db, dispute)


def win(db: sqlite3.Connection, dispute: JsonDict) -> None:
    if dispute_shapes.is_inquiry(dispute):
        _close(db, dispute, "warning_closed")
        return
    _reinstate(db, dispute)
    dispute["is_charge_refundable"] = True
    _close(db, dispute, "won")
    events.record(db, "charge.dispute.funds_reinstated", dispute)


def lose(db: sqlite3.Connection, dispute: JsonDict) -> None:
    _close(db, dispute, "warning_closed" if dispute_shapes.is_inquiry(dispute) else "lost")


def escalate(db: sqlite3.Connection, dispute: JsonDict) -> None:
    """An inquiry becomes a chargeback: now the money is gone, and a new answer is wanted."""
    before = {"status": dispute["status"]}
    dispute_shapes.become_chargeback(dispute)
    _withdraw(db, dispute)
    later.forget(db, dispute["id"])
    later.at(db, dispute["evidence_details"]["due_by"], "dispute.deadline", dispute["id"])
    events.record(db, "charge.dispute.updated", dispute, previous=before)
    events.record(db, "charge.dispute.funds_withdrawn", dispute)


def reverse(db: sqlite3.Connection, dispute: JsonDict) -> None:
    """Weeks after it was lost the bank thinks again: won after all."""
    before = {"status": dispute["status"]}
    _reinstate(db, dispute)
    dispute |= {"is_charge_refundable": True, "status": "won"}
    update_object(db, dispute)
    events.record(db, "charge.dispute.updated", dispute, previous=before)
    events.record(db, "charge.dispute.funds_reinstated", dispute)


def _close(
    db: sqlite3.Connection, dispute: JsonDict, status: str, cause: Cause = events.NO_REQUEST
) -> None:
    later.forget(db, dispute["id"])
    before = {"status": dispute["status"]}
    dispute["status"] = status
    update_object(db, dispute)
    events.record(db, "charge.dispute.closed", dispute, cause, previous=before)


def _withdraw(db: sqlite3.Connection, dispute: JsonDict) -> None:
    _move(
        db,
        dispute,
        -dispute["amount"],
        "dispute",
        f"Chargeback withdrawal for {dispute['charge']}",
        fee=balance.dispute_fee(dispute["currency"]),
    )


def _reinstate(db: sqlite3.Connection, dispute: JsonDict) -> None:
    words = f"Chargeback reversal for {dispute['charge']}"
    _move(db, dispute, dispute["amount"], "dispute_reversal", words)


def _move(
    db: sqlite3.Connection, dispute: JsonDict, amount: int, category: str, words: str, fee: int = 0
) -> None:
    transaction = balance.add(
        db,
        dispute,
        amount,
        kind="adjustment",
        category=category,
        description=words,
        fee=fee,
        fee_name="Dispute fee",
    )
    dispute["balance_transactions"] = [*dispute["balance_transactions"], transaction]
    update_object(db, dispute)
