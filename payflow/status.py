"""Facts → status: the one place where a payment's status is decided. Pure."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from payflow.facts.attempts import AttemptFacts
from payflow.facts.disputes import GRAVITY, DisputeFacts
from payflow.facts.refunds import COUNTING, RefundFacts

# With nothing captured, the best attempt speaks for the payment: first in this row wins.
PRECEDENCE = ("review", "processing", "open", "created", "canceled", "failed", "expired")

# The statuses from which a customer may go (back) to Stripe's page.
PAYABLE = frozenset({"created", "open", "failed", "expired", "canceled"})
# Something was captured.
CAPTURED = frozenset({"paid", "partially_refunded", "refunded"})
# Stripe will have more to say, with or without our asking.
UNSETTLED = frozenset({"created", "open", "processing", "review"})


@dataclass(frozen=True)
class Standing:
    """What a payment's facts come to. Amounts in minor units of its currency; `dispute` is the
    gravest dispute's status, `last_decline` the code of the latest."""

    status: str
    captured: int = 0
    refunded: int = 0
    paid_at: datetime | None = None
    dispute: str | None = None
    last_decline: str | None = None

    @property
    def kept(self) -> int:
        return self.captured - self.refunded


def standing_of(
    amount: int,
    attempts: Collection[AttemptFacts],
    refunds: Iterable[RefundFacts],
    disputes: Iterable[DisputeFacts],
) -> Standing:
    """Where a payment of so much stands; `attempts` without a word from Stripe are UNKNOWN."""
    refunded = sum(refund.amount for refund in refunds if refund.status in COUNTING)
    paid = [attempt for attempt in attempts if attempt_status(attempt) == "paid"]
    captured = sum(attempt.received or 0 for attempt in paid)
    statuses = {attempt_status(attempt) for attempt in attempts}
    declined = max(
        (attempt for attempt in attempts if attempt.declined_at),
        key=lambda attempt: (attempt.declined_at, attempt.decline),
        default=None,
    )
    return Standing(
        status=_captured_status(due_of(amount, attempts), captured, refunded)
        if paid
        else min(statuses, key=PRECEDENCE.index, default="created"),
        captured=captured,
        refunded=refunded,
        paid_at=min((a.paid_at for a in attempts if a.paid_at), default=None),
        dispute=min((d.status for d in disputes), key=GRAVITY.index, default=None),
        last_decline=declined.decline if declined else None,
    )


def attempt_status(attempt: AttemptFacts) -> str:
    """What one attempt comes to."""
    if attempt.disagreements:
        return "review"
    if attempt.received is not None:
        return "paid"
    if attempt.status == "complete" and not attempt.delayed_failure:
        return "processing"
    return _without_money(attempt)


def _without_money(attempt: AttemptFacts) -> str:
    if attempt.status == "open":
        return "open"
    if attempt.canceled_at:
        return "canceled"
    if attempt.status == "complete":
        return "failed"
    if attempt.status == "expired" or attempt.abandoned_at:
        return "expired"
    return "created"


def _captured_status(due: int, captured: int, refunded: int) -> str:
    """Of what was captured, how much is kept. More than is due is paid as well: overpaid."""
    if not refunded:
        return "paid"
    if captured - refunded <= 0:
        return "refunded"
    return "partially_refunded" if captured - refunded < due else "paid"


def due_of(amount: int, attempts: Iterable[AttemptFacts]) -> int:
    """What is to be kept of a payment, in minor units: what was asked for, or where no attempt has
    brought just that, the most that one has. More counts only where the operator accepted it."""
    received = [one.received or 0 for one in attempts if attempt_status(one) == "paid"]
    return amount if amount in received else max([amount, *received])


def amount_paid(due: int, captured: int) -> int:
    """What a customer has paid, in minor units, as a receipt says it: who paid twice has paid what
    is due twice; less is what the operator accepted."""
    return min(due, captured)


def is_overpaid(due: int, standing: Standing) -> bool:
    """More is kept than is due: two sessions of one payment were both paid."""
    return standing.kept > due
