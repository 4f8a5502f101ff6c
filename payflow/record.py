"""The one way by which what Stripe says reaches a payment: lock → merge → derive the status →
timeline → letters → jobs. Webhook, checkout, sweep and operator all come through here.

Nothing here commits.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import func, select, update

from payflow import clock, formats, outbox, queue, timeline
from payflow.db import AnyRow, db
from payflow.facts import attempts, disputes, refunds
from payflow.facts.attempts import UNKNOWN, Asked, AttemptFacts
from payflow.facts.disputes import DisputeFacts
from payflow.facts.objects import DISPUTE, INTENT, REFUND, SESSION, Unreadable, id_of
from payflow.facts.refunds import UNDER_WAY, RefundFacts
from payflow.facts.tellings import OwnFact, Telling, kind_of, told_by
from payflow.known import (
    STORE_PAYMENT,
    Known,
    UnknownPayment,
    lock_row,
    read_known,
    store,
    stored_standing,
)
from payflow.models import EVENTS, PAYMENTS
from payflow.status import UNSETTLED, Standing, is_overpaid

log = logging.getLogger(__name__)

# The job that asks Stripe about a payment (reconcile.py).
CHECK_TASK = "check_payment"
# Who can tell a payment's news: what a sweep brings, a webhook should have brought.
SWEEP, PAGE, OPERATOR = "sweep", "customer's page", "operator"

FIRST_CHECK = timedelta(minutes=5)


@dataclass(frozen=True)
class Change:
    """What a telling made of a payment: where it stood, where it stands, and what happened."""

    receipt_number: str
    before: Standing
    after: Standing
    happened: tuple[str, ...]


def record(payment_id: UUID, tellings: Sequence[Telling | OwnFact], source: str) -> Change | None:
    """Merge what was told, and all that follows from it; None where nothing has changed.

    `source` is who brought it. Locks the payment before it reads. Raises UnknownPayment, and
    Unreadable where a telling can't be read.
    """
    payment = lock_row(payment_id)
    known, unmatched = read_known(payment, tellings)
    told = known
    for telling in tellings:
        told = _merged(told, telling, payment)
    told = _with_unmatched(told, unmatched, payment)
    declines = list(_declines(tellings))
    if told == known:
        # One that is older than the latest changes no fact, and happened all the same.
        timeline.note(payment.id, declines, source)
        log.info("payment %s: nothing changed by %s", payment.receipt_number, source)
        return None
    store(payment, known, told)
    return _conclude(payment, known, told, tellings, source)


def found_by_sweep() -> int:
    """How many payments were brought to where they stand by a sweep, and by no webhook."""
    found = PAYMENTS.c.found_by_sweep_at.is_not(None)
    return db.session.scalar(select(func.count()).select_from(PAYMENTS).where(found)) or 0


# --- merging ---------------------------------------------------------------------------------


def _merged(known: Known, telling: Telling | OwnFact, payment: AnyRow) -> Known:
    """What is known once a telling is merged. Raises Unreadable and UnknownPayment."""
    if isinstance(telling, OwnFact):
        return _with_attempt(known, telling.attempt_id, telling.facts)
    kind = kind_of(telling.object)
    if kind in (SESSION, INTENT) and telling.attempt_id is not None:
        before = known.attempts.get(telling.attempt_id, UNKNOWN)
        asked = Asked(payment.amount, payment.currency, payment.livemode, before.accepted)
        return _with_attempt(known, telling.attempt_id, _read_attempt(telling, kind, asked))
    if kind == REFUND:
        return _with_refund(known, refunds.read_refund(telling.object, telling.at), payment)
    if kind == DISPUTE:
        return _with_dispute(known, disputes.read_dispute(telling.object, telling.at))
    raise Unreadable(f"{kind} {id_of(telling.object)} tells nothing of a payment")


def _read_attempt(telling: Telling, kind: str, asked: Asked) -> AttemptFacts:
    if kind == INTENT:
        return attempts.read_intent(telling.object, asked, telling.at)
    return attempts.read_session(
        telling.object,
        asked,
        telling.at,
        by_retrieval=telling.by_retrieval,
        delayed_failure=telling.delayed_failure,
    )


def _with_attempt(known: Known, attempt_id: UUID, facts: AttemptFacts) -> Known:
    if attempt_id not in known.attempts:
        raise UnknownPayment(f"attempt {attempt_id}")
    merged = attempts.merge(known.attempts[attempt_id], facts)
    return replace(known, attempts={**known.attempts, attempt_id: merged})


def _with_refund(known: Known, facts: RefundFacts, payment: AnyRow) -> Known:
    attempt = _whose(known, facts)
    # What was taken in review may be more than was asked for, or of another currency.
    if not attempt.disagreements:
        _refuse_what_cannot_be(facts, attempt, payment)
    row_id = next(
        (row for row, one in known.refunds.items() if one and one.refund_id == facts.refund_id),
        None,
    )
    # Of ours, told before Stripe's answer to our asking was stored.
    # Another refund may carry a copy of its metadata.
    asked_for = facts.request_id
    if row_id is None and asked_for and known.refunds.get(asked_for, facts) is None:
        row_id = asked_for
    before = known.refunds.get(row_id) if row_id else None
    merged = refunds.merge(before, facts)
    return replace(known, refunds={**known.refunds, row_id or uuid4(): merged})


def _whose(known: Known, facts: RefundFacts | DisputeFacts) -> AttemptFacts:
    """The attempt that is told of. Raises UnknownPayment, also for another's PaymentIntent, unless
    that was recorded before."""
    attempt = known.attempts[known.attempt_of(facts)]
    if isinstance(facts, RefundFacts):
        is_new = all(one.refund_id != facts.refund_id for one in known.told_refunds())
    else:
        is_new = facts.dispute_id not in known.disputes
    if is_new and attempt.is_anothers(facts.payment_intent_id):
        raise UnknownPayment(f"{facts.payment_intent_id} is not the PaymentIntent of the session")
    return attempt


def _refuse_what_cannot_be(facts: RefundFacts, attempt: AttemptFacts, payment: AnyRow) -> None:
    if facts.currency != payment.currency:
        raise Unreadable(f"refund {facts.refund_id} in {facts.currency}, not {payment.currency}")
    if facts.amount > max(payment.amount, attempt.received or 0):
        raise Unreadable(f"refund {facts.refund_id} of {facts.amount}, more than was paid")


def _with_dispute(known: Known, facts: DisputeFacts) -> Known:
    _whose(known, facts)
    merged = disputes.merge(known.disputes.get(facts.dispute_id), facts)
    return replace(known, disputes={**known.disputes, facts.dispute_id: merged})


def _with_unmatched(known: Known, event_ids: Sequence[str], payment: AnyRow) -> Known:
    """Merge what had come of a PaymentIntent before anybody knew whose it is."""
    if not event_ids:
        return known
    # Whoever has locked one is handling it, and will find the payment or try again.
    found = db.session.execute(
        select(EVENTS.c.id, EVENTS.c.payload)
        .where(
            EVENTS.c.id.in_(event_ids),
            EVENTS.c.outcome == "unmatched",
            # Of what is forgotten, only Stripe can tell.
            EVENTS.c.payload.is_not(None),
        )
        .order_by(EVENTS.c.id)
        .with_for_update(skip_locked=True)
    ).all()
    matched = []
    for event in found:
        try:
            known = _merged(known, told_by(event.payload), payment)
        except (Unreadable, UnknownPayment) as error:
            log.warning("event %s stays unmatched: %s", event.id, error)
        else:
            matched.append(event.id)
    if matched:
        db.session.execute(
            update(EVENTS)
            .where(EVENTS.c.id.in_(matched))
            .values(outcome="recorded", payment_id=payment.id, next_try_at=None)
        )
    return known


# --- what follows ----------------------------------------------------------------------------


def _conclude(
    payment: AnyRow,
    known: Known,
    told: Known,
    tellings: Sequence[Telling | OwnFact],
    source: str,
) -> Change | None:
    """Derive where the payment stands now; store it, and see to all that it calls for."""
    before, after = stored_standing(payment), told.standing(payment.amount)
    # What we know by ourselves, no webhook could have told.
    found = source == SWEEP and any(isinstance(telling, Telling) for telling in tellings)
    _store_standing(payment, before, after, told, found_by_sweep=found)
    happened, declines = [*_news(payment, known, told)], [*_declines(tellings)]
    if any(
        attempt.declined_at != known.attempts[a].declined_at for a, attempt in told.attempts.items()
    ):
        happened += declines
        declines = []
    if after.status != before.status:
        happened.append(("payment", after.status))
        log.info("payment %s: %s → %s by %s", payment.receipt_number, before.status, after.status,
                 source)  # fmt: skip
    was_due, due = known.due(payment.amount), told.due(payment.amount)
    if is_overpaid(due, after) and not is_overpaid(was_due, before):
        happened.append(("payment", "overpaid"))
        log.error("payment %s is overpaid", payment.receipt_number)
    timeline.note(payment.id, [*happened, *declines], source)
    new = told.owed(payment.amount, after) - known.owed(payment.amount, before)
    outbox.queue_letters(payment.id, new, payment.email)
    _ask_about_disagreements(payment, known, told)
    # That Stripe has said the same again, later, is kept and no change.
    if before == after and not happened:
        return None
    return Change(payment.receipt_number, before, after, tuple(what for _, what in happened))


def _store_standing(
    payment: AnyRow, before: Standing, after: Standing, told: Known, *, found_by_sweep: bool
) -> None:
    next_check_at, found_at = payment.next_check_at, payment.found_by_sweep_at
    if not _has_more_to_come(told, after):
        next_check_at = None
    elif next_check_at is None:
        next_check_at = clock.now() + FIRST_CHECK
    if found_by_sweep and after.status != before.status and after.status != "created":
        found_at = found_at or clock.now()
    stored = (before, payment.next_check_at, payment.found_by_sweep_at)
    if stored != (after, next_check_at, found_at):
        db.session.execute(
            STORE_PAYMENT,
            {
                "payment_id": payment.id,
                "next_check_at": next_check_at,
                "found_by_sweep_at": found_at,
                **vars(after),
            },
        )


def _has_more_to_come(told: Known, standing: Standing) -> bool:
    return (
        standing.status in UNSETTLED
        or any(attempt.disagreements for attempt in told.attempts.values())
        or any(refund is None or refund.status in UNDER_WAY for refund in told.refunds.values())
    )


def _ask_about_disagreements(payment: AnyRow, known: Known, told: Known) -> None:
    """Only Stripe's answer to our asking, or the operator, can settle what disagrees."""
    for attempt_id, attempt in told.attempts.items():
        new = set(attempt.disagreements) - set(known.attempts[attempt_id].disagreements)
        if new:
            log.error("payment %s is in review: %s", payment.receipt_number, sorted(new))
            queue.defer(queue.Deferred(CHECK_TASK, {"payment_id": str(payment.id)}))


def _news(payment: AnyRow, known: Known, told: Known) -> Iterator[tuple[str, str]]:
    """What is new in the facts, as entries of the timeline: what it happened to, and what."""
    for attempt_id, attempt in told.attempts.items():
        yield from _of_attempt(payment, known.attempts[attempt_id], attempt)
    for row_id, refund in told.refunds.items():
        before = known.refunds.get(row_id)
        if refund and (before is None or refund.status != before.status):
            why = f" ({refund.failure_reason})" if refund.failure_reason else ""
            amount = formats.amount(refund.amount, refund.currency)
            yield refund.refund_id, f"refund of {amount} {_words(refund.status)}{why}"
    for dispute_id, dispute in told.disputes.items():
        yield from _of_dispute(known.disputes.get(dispute_id), dispute)


def _of_attempt(
    payment: AnyRow, before: AttemptFacts, after: AttemptFacts
) -> Iterator[tuple[str, str]]:
    session = after.session_id or "payment"
    if (after.status, after.payment_status) != (before.status, before.payment_status):
        yield session, f"session {after.status}, {_words(after.payment_status or '')}"
    if after.received is not None and after.received != before.received:
        amount = formats.amount(after.received, payment.currency)
        yield after.payment_intent_id or session, f"{amount} received"
    if after.delayed_failure and not before.delayed_failure:
        yield session, "the delayed payment failed"
    if after.abandoned_at and not before.abandoned_at:
        yield "payment", "no Checkout Session came of the attempt"
    for disagreement in set(after.disagreements) - set(before.disagreements):
        yield session, f"Stripe said: {disagreement}"
    if before.disagreements and not after.disagreements:
        yield (
            session,
            "Stripe was asked again, and agrees"
            if after.accepted == before.accepted
            else "the operator has accepted what Stripe said",
        )


def _of_dispute(before: DisputeFacts | None, after: DisputeFacts) -> Iterator[tuple[str, str]]:
    if before is None or after.status != before.status:
        amount = formats.amount(after.amount, after.currency)
        yield (
            after.dispute_id,
            f"dispute of {amount}, {_words(after.reason)}: {_words(after.status)}",
        )
    moved = after.withdrawn - (before.withdrawn if before else 0)
    if moved:
        amount = formats.amount(abs(moved), after.currency)
        yield after.dispute_id, f"{amount} {'withdrawn' if moved > 0 else 'given back'} by the bank"


def _declines(tellings: Iterable[Telling | OwnFact]) -> Iterator[tuple[str, str]]:
    for telling in tellings:
        if isinstance(telling, OwnFact):
            continue
        told = telling.object
        intent = told if kind_of(told) == INTENT else told.get("payment_intent")
        decline = attempts.decline_of(intent, telling.at) if isinstance(intent, Mapping) else None
        if decline:
            yield (
                decline.subject,
                f"declined: {decline.message} ({decline.code})".replace("  ", " "),
            )


def _words(stripes: str) -> str:
    return stripes.replace("_", " ")
