"""Facts of a refund. It is not monotone: it can go back to requires_action, succeed, and then fail.
So the latest word counts, by Stripe's time; within one second the status that cannot come before
the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from payflow.facts.objects import (
    REFUND_KEY,
    Unreadable,
    id_of,
    is_word,
    money,
    one_of,
    uuid_in,
    word,
)

REFUND_RANK = {"pending": 0, "requires_action": 1, "succeeded": 2, "canceled": 3, "failed": 4}
# The money is on its way back, or there.
COUNTING = frozenset({"pending", "requires_action", "succeeded"})
UNDER_WAY = frozenset({"pending", "requires_action"})


@dataclass(frozen=True)
class RefundFacts:
    """What is known of one refund at Stripe; amount in minor units, `told_at` Stripe's time."""

    refund_id: str
    amount: int
    currency: str
    status: str
    told_at: datetime
    failure_reason: str | None = None
    payment_intent_id: str | None = None
    charge_id: str | None = None
    # Our own row's id, where payflow asked for the refund.
    request_id: UUID | None = None


def read_refund(refund: Mapping[str, Any], told_at: datetime) -> RefundFacts:
    """A refund of Stripe's → facts. Raises Unreadable."""
    amount, currency = money(refund, "amount")
    if amount <= 0:
        raise Unreadable(f"refund of {amount}")
    reason = refund.get("failure_reason")
    return RefundFacts(
        refund_id=word(refund, "id"),
        amount=amount,
        currency=currency,
        status=one_of(refund, "status", REFUND_RANK),
        told_at=told_at,
        failure_reason=str(reason) if is_word(reason) else None,
        payment_intent_id=id_of(refund.get("payment_intent")),
        charge_id=id_of(refund.get("charge")),
        request_id=uuid_in(refund, REFUND_KEY),
    )


def merge(known: RefundFacts | None, told: RefundFacts) -> RefundFacts:
    """The later word of the two."""
    return told if known is None else max(known, told, key=_order)


def _order(refund: RefundFacts) -> tuple[object, ...]:
    """By all that is told: else what comes first would win, where all else is the same."""
    return (
        refund.told_at,
        REFUND_RANK[refund.status],
        refund.failure_reason or "",
        refund.amount,
        refund.currency,
    )
