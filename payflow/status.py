"""Facts → status: the one place where a payment's status is decided. Pure."""

from collections.abc import Sequence

from payflow.facts import SessionFacts

# With nothing captured, the best attempt speaks for the payment: first in this row wins.
PRECEDENCE = ("review", "processing", "open", "created", "failed", "expired")

# The statuses from which a customer may go (back) to Stripe's page.
PAYABLE = frozenset({"created", "open", "failed", "expired", "canceled"})


def payment_status(sessions: Sequence[SessionFacts | None]) -> str:
    """The status of a payment from its attempts' sessions; None is an attempt without one."""
    statuses = {attempt_status(session) for session in sessions}
    if "paid" in statuses:
        return "paid"
    return min(statuses, key=PRECEDENCE.index, default="created")


def attempt_status(session: SessionFacts | None) -> str:
    """What one attempt comes to."""
    if session is None:
        return "created"
    if session.payment_status == "unpaid" and session.status != "complete":
        return session.status
    if session.disagreements:
        return "review"
    if session.payment_status == "paid":
        return "paid"
    return "failed" if session.delayed_failure else "processing"
