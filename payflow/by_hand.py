"""What the operator decides of a payment by hand: give it up, or accept what Stripe said.

Commits by itself, since no transaction may be open while Stripe is asked.
"""

from collections.abc import Collection
from dataclasses import replace
from uuid import UUID

from payflow import clock, payments, reconcile
from payflow.db import db
from payflow.facts.attempts import UNKNOWN
from payflow.facts.tellings import OwnFact, Telling
from payflow.known import facts_of
from payflow.models import Attempt
from payflow.record import OPERATOR, Change, record
from payflow.status import PAYABLE


class NotPossible(Exception):
    """The payment is not in a state for it; the message says why."""


def cancel(payment_id: UUID) -> Change | None:
    """Give up a payment that is not paid: its page at Stripe is closed first, so that nobody can
    pay it any more. Raises NotPossible and GatewayError."""
    before = payments.get(payment_id).status
    attempt = payments.current_attempt(payment_id)
    db.session.commit()
    if attempt.session_status == "open":
        reconcile.close(attempt)
    payment = payments.lock(payment_id)
    current = payments.current_attempt(payment_id)
    if payment.status not in PAYABLE:
        db.session.rollback()
        raise NotPossible("Only a payment that nobody has paid can be canceled.")
    if current.session_status == "open" or _is_being_opened(current):
        db.session.rollback()
        raise NotPossible("Its page at Stripe is being opened just now: try again in a minute.")
    canceled = OwnFact(current.id, replace(UNKNOWN, canceled_at=clock.now()))
    change = record(payment_id, [canceled], OPERATOR)
    db.session.commit()
    # Closing its page has made it expired on the way, which is of no interest.
    return change and replace(change, before=replace(change.before, status=before))


def _is_being_opened(attempt: Attempt) -> bool:
    if attempt.session_id or attempt.claimed_at is None:
        return False
    return clock.now() - attempt.claimed_at < reconcile.LONGEST_REQUEST


def accept(payment_id: UUID) -> Change | None:
    """Accept what Stripe says of a payment in review; it counts by Stripe's own word, which is
    asked for anew. Raises NotPossible and GatewayError."""
    known = facts_of(payment_id)
    db.session.commit()
    told = list(reconcile.ask_about(payment_id, known, thorough=True))
    change = record(payment_id, told, OPERATOR)
    in_review = {
        attempt_id: attempt
        for attempt_id, attempt in facts_of(payment_id).attempts.items()
        if attempt.disagreements
    }
    _refuse_what_cannot_count(payment_id, in_review, told)
    accepted = [
        OwnFact(attempt_id, replace(UNKNOWN, accepted=frozenset(attempt.disagreements)))
        for attempt_id, attempt in in_review.items()
    ]
    if accepted:
        change = record(payment_id, [*accepted, *told], OPERATOR)
    db.session.commit()
    if not accepted and change is None:
        raise NotPossible("Nothing that Stripe says of it disagrees with what was asked for.")
    return change


def _refuse_what_cannot_count(
    payment_id: UUID, in_review: Collection[UUID], told: Collection[Telling | OwnFact]
) -> None:
    """Raise NotPossible where Stripe says nothing of an attempt, or names another currency."""
    answers = [one for one in told if isinstance(one, Telling) and one.attempt_id in in_review]
    currency = payments.get(payment_id).currency
    if {one.attempt_id for one in answers} != set(in_review):
        db.session.rollback()
        raise NotPossible("Stripe knows nothing of it under this key: there is nothing to accept.")
    if {one.object.get("currency") for one in answers} - {currency}:
        db.session.rollback()
        raise NotPossible(
            f"It was not paid in {currency.upper()}: another currency can't be counted here. "
            "Refund it in Stripe's Dashboard, and have it paid anew."
        )
