"""Asking Stripe what nobody told us, and recording it the same way as a webhook.

Commits, since no transaction may be open while Stripe is asked.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import case, or_, select, update
from sqlalchemy.exc import IntegrityError

from payflow import clock, event_types, events, gateway, payments, queue, record, refunds
from payflow.db import db
from payflow.event_types import Named, News, named_in
from payflow.facts.attempts import AttemptFacts
from payflow.facts.objects import (
    CHARGE,
    DISPUTE,
    INTENT,
    REFUND,
    SESSION,
    Unreadable,
    id_of,
)
from payflow.facts.refunds import COUNTING, UNDER_WAY
from payflow.facts.tellings import OwnFact, Telling
from payflow.known import Known, UnknownPayment, facts_of
from payflow.models import Attempt, Payment, StripeEvent
from payflow.record import CHECK_TASK, Change

log = logging.getLogger(__name__)

# An attempt that has no session by then never gets one from the request that made it.
LONGEST_REQUEST = timedelta(seconds=gateway.LONGEST_CALL)
# The customer's page may have Stripe asked so often with such pauses: for 5 minutes. After that
# with longer ones, for as long as it waits: else who knows its address could use them all up before
# the customer has paid.
PAGE_CHECKS, PAGE_CHECK_EVERY = 30, timedelta(seconds=10)
LATER_PAGE_CHECK_EVERY = timedelta(minutes=5)
# Stripe is asked about an event's object with pauses that grow up to a day, for as long as events
# can be read back.
LAST_LOOK_UP, ASKED_FOR = timedelta(days=1), gateway.EVENTS_LISTED

KINDS = frozenset({SESSION, INTENT, CHARGE, REFUND, DISPUTE})


@dataclass(frozen=True)
class Found:
    """What a look-up came to: an outcome as of an event, whose it is, and what it changed."""

    outcome: str
    payment_id: UUID | None = None
    change: Change | None = None


FOREIGN, UNMATCHED = Found("foreign"), Found("unmatched")


def close(attempt: Attempt) -> None:
    """See to it that an attempt can't be paid any more, or learn that it was.

    Stripe refuses to expire a session that is no longer open: then it is asked what became of it.
    Raises GatewayError, also where the session is found to be open still.
    """
    assert attempt.session_id
    try:
        answer = gateway.expire_session(attempt.session_id)
    except gateway.GatewayError as error:
        if not error.ours:
            raise
        log.info("session %s not expired: %s", attempt.session_id, error)
        answer = gateway.retrieve(SESSION, attempt.session_id)
        if answer.object["status"] == "open":
            raise
    record_answer(attempt, answer, "expiry")


def record_answer(attempt: Attempt, answer: gateway.Answer, source: str) -> None:
    """Record what Stripe answered about an attempt's session; commits."""
    record.record(attempt.payment_id, [_told(answer, attempt.id)], source)
    db.session.commit()


def _told(answer: gateway.Answer, attempt_id: UUID | None = None) -> Telling:
    return Telling(answer.object, answer.at, attempt_id=attempt_id, by_retrieval=True)


# --- a payment -------------------------------------------------------------------------------


def check_payment(
    payment_id: UUID, source: str, *, thorough: bool = False, dry_run: bool = False
) -> Change | None:
    """Ask Stripe about a payment, record what it says, and answer what that changed.

    Asks about what is not over; `thorough` about all there is. `dry_run` stores nothing. Raises
    GatewayError, and Unreadable where Stripe's answer makes no sense.
    """
    known = facts_of(payment_id)
    db.session.commit()
    if not dry_run:
        refunds.settle(payment_id, known)
    tellings = [*ask_about(payment_id, known, thorough)]
    change = record.record(payment_id, tellings, source) if tellings else None
    _end(dry_run)
    return change


def _end(dry_run: bool) -> None:
    if dry_run:
        db.session.rollback()
    else:
        db.session.commit()


def ask_about(payment_id: UUID, known: Known, thorough: bool) -> Iterator[Telling | OwnFact]:
    """What Stripe says of a payment's sessions, refunds and disputes. Raises GatewayError."""
    attempts = _attempts_of(payment_id)
    for attempt_id, attempt in known.attempts.items():
        if attempt.session_id is None:
            if _is_abandoned(attempts[attempt_id], attempt):
                yield OwnFact(attempt_id, AttemptFacts(abandoned_at=clock.now()))
        elif thorough or not _is_over(attempt):
            yield from _ask_about_session(attempt_id, attempt.session_id, known, thorough)
    for refund in known.told_refunds():
        if refund.status in UNDER_WAY:
            yield from _answers(REFUND, refund.refund_id)
    if thorough:
        for dispute_id in known.disputes:
            yield from _answers(DISPUTE, dispute_id)


def _attempts_of(payment_id: UUID) -> dict[UUID, Attempt]:
    found = db.session.scalars(select(Attempt).where(Attempt.payment_id == payment_id)).all()
    db.session.commit()
    return {attempt.id: attempt for attempt in found}


def _is_abandoned(attempt: Attempt, facts: AttemptFacts) -> bool:
    """Nobody got the address of its page, and no request is asking for it any more."""
    since = attempt.claimed_at or attempt.created_at
    return facts.abandoned_at is None and clock.now() - since > LONGEST_REQUEST


def _is_over(attempt: AttemptFacts) -> bool:
    """Stripe has nothing more to say of the session."""
    if attempt.disagreements:
        return False
    return attempt.received is not None or attempt.delayed_failure or attempt.status == "expired"


def _ask_about_session(
    attempt_id: UUID, session_id: str, known: Known, thorough: bool
) -> Iterator[Telling]:
    """A session, and the refunds and disputes that its charge says there are."""
    for answer in _answered(SESSION, session_id):
        yield _told(answer, attempt_id)
        intent = answer.object.get("payment_intent")
        charge = intent.get("latest_charge") if isinstance(intent, Mapping) else None
        if not isinstance(charge, Mapping):
            continue
        counted = sum(r.amount for r in known.told_refunds() if r.status in COUNTING)
        if charge.get("amount_refunded") != counted or thorough:
            yield from _listed(REFUND, payment_intent=id_of(intent))
        if charge.get("disputed"):
            yield from _listed(DISPUTE, payment_intent=id_of(intent))


def _answered(kind: str, object_id: str) -> Iterator[gateway.Answer]:
    """Stripe's answer; none where it has no such object, which changes nothing."""
    try:
        yield gateway.retrieve(kind, object_id)
    except gateway.GatewayError as error:
        if not error.unknown:
            raise
        log.warning("Stripe knows no %s %s", kind, object_id)


def _answers(kind: str, object_id: str) -> Iterator[Telling]:
    return (_told(answer) for answer in _answered(kind, object_id))


def _listed(kind: str, **filters: Any) -> Iterator[Telling]:
    try:
        for page in gateway.list_of(kind, **filters):
            for listed in page.object["data"]:
                yield Telling(listed, page.at, by_retrieval=True)
    except gateway.GatewayError as error:
        if not error.forbidden:
            raise
        # What else Stripe says of the payment is worth having.
        log.error("the key may not list each %s (README says what it needs): %s", kind, error)


def check_for_page(payment_id: UUID) -> None:
    """The customer waits: queue a question to Stripe, unless there was one just now, or lately
    where there were many already; commits."""
    now = clock.now()
    long_enough_ago = case(
        (Payment.page_checks < PAGE_CHECKS, now - PAGE_CHECK_EVERY),
        else_=now - LATER_PAGE_CHECK_EVERY,
    )
    queued = db.session.execute(
        update(Payment)
        .where(
            Payment.id == payment_id,
            or_(Payment.page_check_at.is_(None), Payment.page_check_at < long_enough_ago),
        )
        .values(page_check_at=now, page_checks=Payment.page_checks + 1)
        .returning(Payment.id)
    ).one_or_none()
    if queued:
        arguments = {"payment_id": str(payment_id), "source": record.PAGE}
        queue.defer(queue.Deferred(CHECK_TASK, arguments))
    db.session.commit()


# --- an object -------------------------------------------------------------------------------


def look_up(kind: str, object_id: str, source: str, *, dry_run: bool = False) -> Found:
    """Ask Stripe about one object, find whose it is, and record what it says; commits.

    Raises GatewayError. What makes no sense is logged, and left as it is.
    """
    try:
        found = _look_up(kind, object_id, source)
        _end(dry_run)
    except (Unreadable, UnknownPayment, IntegrityError) as error:
        db.session.rollback()
        log.error("%s %s is not recorded: %s", kind, object_id, error)
        return UNMATCHED
    return found


def _look_up(kind: str, object_id: str, source: str) -> Found:
    for answer in _answered(kind, object_id):
        if kind in (REFUND, DISPUTE):
            return _record_money(kind, answer, source)
        mark = named_in(answer.object, kind)
        if mark.payment_id is None or mark.attempt_id is None:
            return FOREIGN
        if kind == CHARGE:
            return _record_charge(mark, answer, source)
        told = _told(answer, mark.attempt_id)
        return Found("recorded", mark.payment_id, record.record(mark.payment_id, [told], source))
    return UNMATCHED


def _record_charge(mark: Named, charge: gateway.Answer, source: str) -> Found:
    """A charge tells of its PaymentIntent, its refunds, and its disputes."""
    assert mark.payment_id
    tellings = [
        *(
            _told(a, mark.attempt_id)
            for a in _answered(INTENT, str(id_of(charge.object["payment_intent"])))
        ),
        *_listed(REFUND, charge=charge.object["id"]),
        *(_listed(DISPUTE, charge=charge.object["id"]) if charge.object.get("disputed") else ()),
    ]
    return Found("recorded", mark.payment_id, record.record(mark.payment_id, tellings, source))


def _record_money(kind: str, answer: gateway.Answer, source: str) -> Found:
    """A refund or dispute is its PaymentIntent's payment's, which we may have to ask for too."""
    named = named_in(answer.object, kind)
    payment_id = payments.find(named)
    db.session.rollback()
    told = _told(answer)
    if payment_id:
        return Found("recorded", payment_id, record.record(payment_id, [told], source))
    for intent in _answered(INTENT, named.intent_id) if named.intent_id else ():
        mark = named_in(intent.object, INTENT)
        if mark.payment_id is None:
            return FOREIGN
        tellings = [_told(intent, mark.attempt_id), told]
        return Found("recorded", mark.payment_id, record.record(mark.payment_id, tellings, source))
    return FOREIGN if not named.intent_id else UNMATCHED


# --- what an event is about ------------------------------------------------------------------


def match_events(limit: int = 100) -> None:
    """Ask about the events whose time has come: whose the unmatched ones are, and what the others
    could not tell; commits. Raises GatewayError where Stripe can't be asked at all."""
    now = clock.now()
    due = db.session.scalars(
        select(StripeEvent.id)
        .where(
            StripeEvent.handled_at.is_not(None),
            StripeEvent.next_try_at <= now,
            StripeEvent.received_at > now - ASKED_FOR,
        )
        .order_by(StripeEvent.next_try_at)
        .limit(limit)
    ).all()
    db.session.rollback()
    for event_id in due:
        try:
            match(event_id)
        except events.NotHandled as error:
            log.warning("event %s is kept to be handled again: %s", event_id, error)


def match(event_id: str) -> None:
    """Find out what an event is about: by what is known now, else by asking Stripe; commits.

    Raises GatewayError where Stripe can't be asked, with the next try still at its time; where it
    refuses this very question, the next try is later. Raises events.NotHandled.
    """
    event = db.session.get_one(StripeEvent, event_id, populate_existing=True)
    waits = event.handled_at is not None and event.next_try_at is not None
    news = event_types.read(event.payload) if event.payload and waits else None
    unmatched = event.outcome == "unmatched"
    # One that names a payment of ours itself was told of it already, in vain.
    by_money = news is not None and news.named.payment_id is None
    here = payments.find(news.named) if news and unmatched and by_money else None
    db.session.rollback()
    if news is None or news.carried not in KINDS or news.object_id is None:
        _settle_event(event_id, UNMATCHED)
    elif here:
        # Its PaymentIntent was being learned as the event came.
        events.replay(event_id)
    else:
        _settle_event(event_id, _asked_about(news, event_id))


def _asked_about(news: News, event_id: str) -> Found:
    try:
        return look_up(str(news.carried), str(news.object_id), f"event {event_id}, asked again")
    except gateway.GatewayError as error:
        if not error.about_object:
            raise
        db.session.rollback()
        log.error("event %s: %s", event_id, error)
        return UNMATCHED


def _settle_event(event_id: str, found: Found) -> None:
    """Note what an event came to; one that came to nothing yet is asked about later, with pauses
    that grow."""
    event = db.session.get_one(StripeEvent, event_id, with_for_update=True, populate_existing=True)
    if found.outcome == "unmatched":
        event.tries += 1
        pause = timedelta(minutes=2 ** min(event.tries, 12))
        event.next_try_at = clock.now() + min(pause, LAST_LOOK_UP)
    else:
        event.next_try_at = None
        event.payment_id = found.payment_id
    if event.outcome == "unmatched":
        event.outcome = found.outcome
        if found.outcome == "foreign":
            event.payload = None
    db.session.commit()
