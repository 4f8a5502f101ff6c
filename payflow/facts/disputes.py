"""Facts of a dispute. An inquiry escalates, and a lost dispute can be reversed: the latest word
counts, by Stripe's time, and within one second the later stage. What the bank has withdrawn and
given back is a list that only grows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from payflow.facts.objects import LARGEST, Unreadable, id_of, is_word, moment, money, one_of, word

DISPUTE_RANK = {
    "warning_needs_response": 0,
    "warning_under_review": 1,
    "warning_closed": 2,
    "prevented": 3,
    "needs_response": 4,
    "under_review": 5,
    "lost": 6,
    "won": 7,
}
INQUIRY = frozenset({"warning_needs_response", "warning_under_review", "warning_closed"})
# Which of several disputes is shown beside the payment's status: the first in this row.
GRAVITY = (
    "lost",
    "needs_response",
    "under_review",
    "warning_needs_response",
    "warning_under_review",
    "won",
    "prevented",
    "warning_closed",
)


@dataclass(frozen=True)
class DisputeFacts:
    """What is known of one dispute; amounts in minor units, `told_at` Stripe's time. `withdrawn` is
    what the bank has taken and not given back, told by `balance_count` balance transactions."""

    dispute_id: str
    amount: int
    currency: str
    reason: str
    status: str
    told_at: datetime
    due_by: datetime | None = None
    balance_count: int = 0
    withdrawn: int = 0
    payment_intent_id: str | None = None
    charge_id: str | None = None


def read_dispute(dispute: Mapping[str, Any], told_at: datetime) -> DisputeFacts:
    """A dispute of Stripe's → facts. Raises Unreadable."""
    amount, currency = money(dispute, "amount")
    if amount <= 0:
        raise Unreadable(f"dispute of {amount}")
    reason = dispute.get("reason")
    count, withdrawn = _balance(dispute, currency)
    return DisputeFacts(
        dispute_id=word(dispute, "id"),
        amount=amount,
        currency=currency,
        reason=str(reason) if is_word(reason) else "general",
        status=one_of(dispute, "status", DISPUTE_RANK),
        told_at=told_at,
        due_by=_deadline(dispute),
        balance_count=count,
        withdrawn=withdrawn,
        payment_intent_id=id_of(dispute.get("payment_intent")),
        charge_id=id_of(dispute.get("charge")),
    )


def merge(known: DisputeFacts | None, told: DisputeFacts) -> DisputeFacts:
    """The later word of the two, with the longer list of balance transactions."""
    if known is None:
        return told
    later = max(known, told, key=_order)
    balance = max(known, told, key=lambda one: (one.balance_count, one.withdrawn))
    return replace(later, balance_count=balance.balance_count, withdrawn=balance.withdrawn)


def _order(dispute: DisputeFacts) -> tuple[object, ...]:
    """By all that is told: else what comes first would win, where all else is the same."""
    return (
        dispute.told_at,
        DISPUTE_RANK[dispute.status],
        dispute.due_by or dispute.told_at,
        dispute.amount,
        dispute.currency,
        dispute.reason,
    )


def _balance(dispute: Mapping[str, Any], currency: str) -> tuple[int, int]:
    """How many balance transactions there are, and what they have withdrawn on the whole.

    They are in the currency that the account settles in: of another one, nothing is taken.
    """
    listed = dispute.get("balance_transactions")
    if not isinstance(listed, list) or not all(isinstance(one, Mapping) for one in listed):
        return 0, 0
    if any(str(one.get("currency", currency)).lower() != currency for one in listed):
        return 0, 0
    amounts = [one.get("amount") for one in listed]
    if not all(type(amount) is int and abs(amount) < LARGEST / 1000 for amount in amounts):
        return 0, 0
    return len(amounts), -sum(amount for amount in amounts if amount is not None)


def _deadline(dispute: Mapping[str, Any]) -> datetime | None:
    details = dispute.get("evidence_details")
    try:
        return moment(details, "due_by") if isinstance(details, Mapping) else None
    except Unreadable:
        return None
