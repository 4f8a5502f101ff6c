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
# No balance transaction, and hence nothing withdrawn in no currency.
NOTHING = (0, 0, None)


@dataclass(frozen=True)
class DisputeFacts:
    """What is known of one dispute; amounts in minor units, `told_at` Stripe's time. `withdrawn` is
    what the bank has taken and not given back, told by `balance_count` balance transactions; it is
    in the currency of the account's balance, which need not be the one that was paid in."""

    dispute_id: str
    amount: int
    currency: str
    reason: str
    status: str
    told_at: datetime
    due_by: datetime | None = None
    balance_count: int = 0
    withdrawn: int = 0
    withdrawn_currency: str | None = None
    payment_intent_id: str | None = None
    charge_id: str | None = None


def read_dispute(dispute: Mapping[str, Any], told_at: datetime) -> DisputeFacts:
    """A dispute of Stripe's → facts. Raises Unreadable."""
    amount, currency = money(dispute, "amount")
    if amount <= 0:
        raise Unreadable(f"dispute of {amount}")
    reason = dispute.get("reason")
    count, withdrawn, withdrawn_currency = _balance(dispute)
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
        withdrawn_currency=withdrawn_currency,
        payment_intent_id=id_of(dispute.get("payment_intent")),
        charge_id=id_of(dispute.get("charge")),
    )


def merge(known: DisputeFacts | None, told: DisputeFacts) -> DisputeFacts:
    """The later word of the two, with the longer list of balance transactions."""
    if known is None:
        return told
    later = max(known, told, key=_order)
    balance = max(known, told, key=_balance_order)
    return replace(
        later,
        balance_count=balance.balance_count,
        withdrawn=balance.withdrawn,
        withdrawn_currency=balance.withdrawn_currency,
    )


def _order(dispute: DisputeFacts) -> tuple[datetime, int, datetime]:
    return dispute.told_at, DISPUTE_RANK[dispute.status], dispute.due_by or dispute.told_at


def _balance_order(dispute: DisputeFacts) -> tuple[int, int, str]:
    return dispute.balance_count, dispute.withdrawn, dispute.withdrawn_currency or ""


def _balance(dispute: Mapping[str, Any]) -> tuple[int, int, str | None]:
    """How many balance transactions there are, and what they have withdrawn on the whole, in their
    currency. Of what can't be added up, nothing is believed."""
    listed = dispute.get("balance_transactions")
    try:
        moved = [money(one, "amount") for one in listed or ()]
    except (TypeError, AttributeError, Unreadable):
        return NOTHING
    currencies = {currency for _, currency in moved}
    if len(currencies) != 1 or any(abs(amount) >= LARGEST / 1000 for amount, _ in moved):
        return NOTHING
    return len(moved), -sum(amount for amount, _ in moved), currencies.pop()


def _deadline(dispute: Mapping[str, Any]) -> datetime | None:
    details = dispute.get("evidence_details")
    try:
        return moment(details, "due_by") if isinstance(details, Mapping) else None
    except Unreadable:
        return None
