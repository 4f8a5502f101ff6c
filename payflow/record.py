"""The one way by which what Stripe says reaches a payment: lock → merge → derive the status →
timeline → letters → jobs. Webhook, checkout, sweep and operator all come through here.

Nothing here commits. Core statements instead of objects, and made once: this is the webhook's way,
and the ORM's unit of work, or building a statement anew, costs it half of its speed (`make bench`).
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ARRAY, Text, bindparam, func, insert, or_, select, update

from payflow import clock, formats, letters, outbox, queue, timeline
from payflow.db import AnyRow, db
from payflow.facts import attempts, disputes, refunds
from payflow.facts.attempts import UNKNOWN, Asked, AttemptFacts
from payflow.facts.disputes import DisputeFacts
from payflow.facts.objects import DISPUTE, INTENT, REFUND, SESSION, Unreadable, id_of
from payflow.facts.refunds import UNDER_WAY, RefundFacts
from payflow.facts.tellings import OwnFact, Telling, kind_of, told_by
from payflow.models import ATTEMPTS, DISPUTES, EVENTS, PAYMENTS, REFUNDS
from payflow.status import UNSETTLED, Standing, is_overpaid, standing_of

log = logging.getLogger(__name__)

# The job that asks Stripe about a payment (reconcile.py).
CHECK_TASK = "check_payment"
# Who can tell a payment's news: what a sweep brings, a webhook should have brought.
SWEEP, PAGE, OPERATOR = "sweep", "customer's page", "operator"

FIRST_CHECK = timedelta(minutes=5)


class UnknownPayment(LookupError):
    """Facts name a payment, an attempt, or a PaymentIntent that we don't have."""


@dataclass(frozen=True)
class Known:
    """All that is known of a payment. A refund that Stripe has said nothing of yet is None."""

    attempts: Mapping[UUID, AttemptFacts]
    refunds: Mapping[UUID, RefundFacts | None]
    disputes: Mapping[str, DisputeFacts]

    def told_refunds(self) -> list[RefundFacts]:
        return [refund for refund in self.refunds.values() if refund]

    def standing(self, amount: int) -> Standing:
        """What it comes to, for a payment of so much (minor units)."""
        return standing_of(
            amount, self.attempts.values(), self.told_refunds(), self.disputes.values()
        )

    def owed(self, amount: int, standing: Standing) -> frozenset[letters.Owed]:
        return letters.owed(
            amount,
            standing,
            self.attempts,
            self.told_refunds(),
            self.disputes.values(),
        )

    def attempt_of(self, stripes: RefundFacts | DisputeFacts) -> UUID:
        """The attempt whose money a refund or dispute is about. Raises UnknownPayment."""
        for attempt_id, attempt in self.attempts.items():
            intents = {attempt.payment_intent_id, *attempt.other_intents}
            if stripes.payment_intent_id in intents - {None} or (
                stripes.charge_id and stripes.charge_id == attempt.charge_id
            ):
                return attempt_id
        raise UnknownPayment(f"PaymentIntent {stripes.payment_intent_id}, {stripes.charge_id}")


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
    payment = _lock_row(payment_id)
    known, unmatched = _read_known(payment, tellings)
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
    _store(payment, known, told)
    return _conclude(payment, known, told, tellings, source)


def facts_of(payment_id: UUID) -> Known:
    """What is known of a payment, without a lock: to look at. Raises UnknownPayment."""
    payment = db.session.execute(READ, {"payment_id": payment_id}).one_or_none()
    if payment is None:
        raise UnknownPayment(f"payment {payment_id}")
    return _read_known(payment, [])[0]


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
    if facts.currency != payment.currency:
        raise Unreadable(f"refund {facts.refund_id} in {facts.currency}, not {payment.currency}")
    known.attempt_of(facts)
    row_id = next(
        (row for row, one in known.refunds.items() if one and one.refund_id == facts.refund_id),
        None,
    )
    # Of ours, told before Stripe's answer to our asking was stored.
    if row_id is None and facts.request_id in known.refunds:
        row_id = facts.request_id
    before = known.refunds.get(row_id) if row_id else None
    merged = refunds.merge(before, facts)
    return replace(known, refunds={**known.refunds, row_id or uuid4(): merged})


def _with_dispute(known: Known, facts: DisputeFacts) -> Known:
    known.attempt_of(facts)
    merged = disputes.merge(known.disputes.get(facts.dispute_id), facts)
    return replace(known, disputes={**known.disputes, facts.dispute_id: merged})


def _with_unmatched(known: Known, event_ids: Sequence[str], payment: AnyRow) -> Known:
    """Merge what had come of a PaymentIntent before anybody knew whose it is."""
    if not event_ids:
        return known
    # Whoever has locked one is handling it, and will find the payment or try again.
    found = db.session.execute(
        select(EVENTS.c.id, EVENTS.c.payload)
        .where(EVENTS.c.id.in_(event_ids), EVENTS.c.outcome == "unmatched")
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


# --- reading ---------------------------------------------------------------------------------

READ = select(
    PAYMENTS.c.id,
    PAYMENTS.c.receipt_number,
    PAYMENTS.c.created_at,
    PAYMENTS.c.amount,
    PAYMENTS.c.currency,
    PAYMENTS.c.livemode,
    PAYMENTS.c.email,
    PAYMENTS.c.status,
    PAYMENTS.c.captured,
    PAYMENTS.c.refunded,
    PAYMENTS.c.paid_at,
    PAYMENTS.c.dispute,
    PAYMENTS.c.last_decline,
    PAYMENTS.c.found_by_sweep_at,
    PAYMENTS.c.next_check_at,
).where(PAYMENTS.c.id == bindparam("payment_id"))
# NO KEY UPDATE: a plain FOR UPDATE deadlocks with the foreign key of another event's insert.
LOCK = READ.with_for_update(key_share=True)

ATTEMPT_COLUMNS = (
    ATTEMPTS.c.session_id,
    ATTEMPTS.c.other_sessions,
    ATTEMPTS.c.session_url,
    ATTEMPTS.c.session_status,
    ATTEMPTS.c.session_payment_status,
    ATTEMPTS.c.payment_intent_id,
    ATTEMPTS.c.intent_confirmed,
    ATTEMPTS.c.other_intents,
    ATTEMPTS.c.charge_id,
    ATTEMPTS.c.received,
    ATTEMPTS.c.paid_at,
    ATTEMPTS.c.delayed_failure,
    ATTEMPTS.c.declined_at,
    ATTEMPTS.c.decline,
    ATTEMPTS.c.claims,
    ATTEMPTS.c.confirmed_at,
    ATTEMPTS.c.accepted,
    ATTEMPTS.c.canceled_at,
    ATTEMPTS.c.abandoned_at,
)


def _any_of(table: Any) -> Any:
    return select(table.c.payment_id).where(table.c.payment_id == bindparam("payment_id")).exists()


# One statement for all that most payments have: their attempts; whether there is more to read; and
# events that wait for a PaymentIntent or charge named in the tellings.
KNOWN = (
    select(
        ATTEMPTS.c.id,
        *ATTEMPT_COLUMNS,
        _any_of(REFUNDS).label("has_refunds"),
        _any_of(DISPUTES).label("has_disputes"),
        func.array(
            select(EVENTS.c.id)
            .where(
                EVENTS.c.outcome == "unmatched",
                or_(
                    EVENTS.c.payment_intent_id == func.any(bindparam("named", type_=ARRAY(Text))),
                    EVENTS.c.charge_id == func.any(bindparam("named", type_=ARRAY(Text))),
                ),
            )
            .scalar_subquery(),
            type_=ARRAY(Text),
        ).label("unmatched"),
    )
    .where(ATTEMPTS.c.payment_id == bindparam("payment_id"))
    .order_by(ATTEMPTS.c.number)
)
REFUNDS_OF = select(REFUNDS).where(
    REFUNDS.c.payment_id == bindparam("payment_id"), REFUNDS.c.refusal.is_(None)
)
DISPUTES_OF = select(DISPUTES).where(DISPUTES.c.payment_id == bindparam("payment_id"))


def _lock_row(payment_id: UUID) -> AnyRow:
    row = db.session.execute(LOCK, {"payment_id": payment_id}).one_or_none()
    if row is None:
        raise UnknownPayment(f"payment {payment_id}")
    return row


def _read_known(
    payment: AnyRow, tellings: Iterable[Telling | OwnFact]
) -> tuple[Known, Sequence[str]]:
    """What is known, and the events that wait for what the tellings name."""
    identity = {"payment_id": payment.id}
    named = sorted(name for telling in tellings for name in _names(telling))
    rows = db.session.execute(KNOWN, identity | {"named": named}).all()
    first = rows[0] if rows else None
    known = Known(
        attempts={row.id: _attempt_of(row) for row in rows},
        refunds={row.id: _refund_of(row) for row in db.session.execute(REFUNDS_OF, identity)}
        if first and first.has_refunds
        else {},
        disputes={
            row.dispute_id: _dispute_of(row) for row in db.session.execute(DISPUTES_OF, identity)
        }
        if first and first.has_disputes
        else {},
    )
    return known, first.unmatched if first else ()


def _names(telling: Telling | OwnFact) -> Iterable[str]:
    """The PaymentIntent and charge that a session's or PaymentIntent's telling names."""
    if isinstance(telling, OwnFact) or telling.attempt_id is None:
        return ()
    intent = telling.object.get("payment_intent")
    if kind_of(telling.object) == INTENT:
        intent = telling.object
    charge = intent.get("latest_charge") if isinstance(intent, Mapping) else None
    return filter(None, (id_of(intent), id_of(charge)))


def _attempt_of(row: AnyRow) -> AttemptFacts:
    return AttemptFacts(
        session_id=row.session_id,
        other_sessions=frozenset(row.other_sessions),
        url=row.session_url,
        status=row.session_status,
        payment_status=row.session_payment_status,
        payment_intent_id=row.payment_intent_id,
        intent_confirmed=row.intent_confirmed,
        other_intents=frozenset(row.other_intents),
        charge_id=row.charge_id,
        received=row.received,
        paid_at=row.paid_at,
        delayed_failure=row.delayed_failure,
        declined_at=row.declined_at,
        decline=row.decline,
        claims={c: datetime.fromtimestamp(at, UTC) for c, at in row.claims.items()},
        confirmed_at=row.confirmed_at,
        accepted=frozenset(row.accepted),
        canceled_at=row.canceled_at,
        abandoned_at=row.abandoned_at,
    )


def _refund_of(row: AnyRow) -> RefundFacts | None:
    if row.refund_id is None:
        return None
    return RefundFacts(
        refund_id=row.refund_id,
        amount=row.amount,
        currency=row.currency,
        status=row.status,
        told_at=row.told_at,
        failure_reason=row.failure_reason,
    )


def _dispute_of(row: AnyRow) -> DisputeFacts:
    return DisputeFacts(
        dispute_id=row.dispute_id,
        amount=row.amount,
        currency=row.currency,
        reason=row.reason,
        status=row.status,
        told_at=row.told_at,
        due_by=row.due_by,
        balance_count=row.balance_count,
        withdrawn=row.withdrawn,
    )


def _stored_standing(payment: AnyRow) -> Standing:
    return Standing(
        status=payment.status,
        captured=payment.captured,
        refunded=payment.refunded,
        paid_at=payment.paid_at,
        dispute=payment.dispute,
        last_decline=payment.last_decline,
    )


# --- storing ---------------------------------------------------------------------------------

STORE_ATTEMPT = update(ATTEMPTS).where(ATTEMPTS.c.id == bindparam("attempt_id"))
STORE_PAYMENT = update(PAYMENTS).where(PAYMENTS.c.id == bindparam("payment_id"))


def _store(payment: AnyRow, known: Known, told: Known) -> None:
    for attempt_id, attempt in told.attempts.items():
        if attempt != known.attempts[attempt_id]:
            db.session.execute(STORE_ATTEMPT, _attempt_row(attempt_id, attempt))
    for row_id, refund in told.refunds.items():
        if refund and row_id not in known.refunds:
            new = {"id": row_id, "attempt_id": told.attempt_of(refund), "created_at": clock.now()}
            db.session.execute(insert(REFUNDS), _refund_row(payment, refund) | new)
        elif refund and refund != known.refunds[row_id]:
            same = REFUNDS.c.id == row_id
            db.session.execute(update(REFUNDS).where(same), _refund_row(payment, refund))
    for dispute_id, dispute in told.disputes.items():
        if dispute_id not in known.disputes:
            of = {"attempt_id": told.attempt_of(dispute)}
            db.session.execute(insert(DISPUTES), _dispute_row(payment, dispute) | of)
        elif dispute != known.disputes[dispute_id]:
            same = DISPUTES.c.dispute_id == dispute_id
            db.session.execute(update(DISPUTES).where(same), _dispute_row(payment, dispute))


def _attempt_row(attempt_id: UUID, facts: AttemptFacts) -> dict[str, Any]:
    return {
        "attempt_id": attempt_id,
        "session_id": facts.session_id,
        "other_sessions": sorted(facts.other_sessions),
        "session_url": facts.url,
        "session_status": facts.status,
        "session_payment_status": facts.payment_status,
        "payment_intent_id": facts.payment_intent_id,
        "intent_confirmed": facts.intent_confirmed,
        "other_intents": sorted(facts.other_intents),
        "charge_id": facts.charge_id,
        "received": facts.received,
        "paid_at": facts.paid_at,
        "delayed_failure": facts.delayed_failure,
        "declined_at": facts.declined_at,
        "decline": facts.decline,
        "claims": {claim: int(at.timestamp()) for claim, at in facts.claims.items()},
        "confirmed_at": facts.confirmed_at,
        "accepted": sorted(facts.accepted),
        "canceled_at": facts.canceled_at,
        "abandoned_at": facts.abandoned_at,
        "disagreements": list(facts.disagreements),
    }


def _refund_row(payment: AnyRow, facts: RefundFacts) -> dict[str, Any]:
    return {
        "payment_id": payment.id,
        "refund_id": facts.refund_id,
        "amount": facts.amount,
        "currency": facts.currency,
        "status": facts.status,
        "told_at": facts.told_at,
        "failure_reason": facts.failure_reason,
    }


def _dispute_row(payment: AnyRow, facts: DisputeFacts) -> dict[str, Any]:
    return {
        "payment_id": payment.id,
        "dispute_id": facts.dispute_id,
        "amount": facts.amount,
        "currency": facts.currency,
        "reason": facts.reason,
        "status": facts.status,
        "told_at": facts.told_at,
        "due_by": facts.due_by,
        "balance_count": facts.balance_count,
        "withdrawn": facts.withdrawn,
    }


# --- what follows ----------------------------------------------------------------------------


def _conclude(
    payment: AnyRow,
    known: Known,
    told: Known,
    tellings: Sequence[Telling | OwnFact],
    source: str,
) -> Change | None:
    """Derive where the payment stands now; store it, and see to all that it calls for."""
    before, after = _stored_standing(payment), told.standing(payment.amount)
    # What we know by ourselves, no webhook could have told.
    found = source == SWEEP and any(isinstance(telling, Telling) for telling in tellings)
    _store_standing(payment, before, after, told, found_by_sweep=found)
    happened = [*_news(payment, known, told), *_declines(tellings)]
    if after.status != before.status:
        happened.append(("payment", after.status))
        log.info("payment %s: %s → %s by %s", payment.receipt_number, before.status, after.status,
                 source)  # fmt: skip
    if is_overpaid(payment.amount, after) and not is_overpaid(payment.amount, before):
        happened.append(("payment", "overpaid"))
        log.error("payment %s is overpaid", payment.receipt_number)
    timeline.note(payment.id, happened, source)
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
            if after.accepted == (before.accepted)
            else "the operator has accepted what Stripe said",
        )


def _of_dispute(before: DisputeFacts | None, after: DisputeFacts) -> Iterator[tuple[str, str]]:
    if before is None or after.status != before.status:
        amount = formats.amount(after.amount, after.currency)
        yield (
            after.dispute_id,
            f"dispute of {amount}, {_words(after.reason)}: " + (_words(after.status)),
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
