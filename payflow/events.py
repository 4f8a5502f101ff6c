"""Events: stored once, handled in one transaction. event_types.py says what each type tells.

An event is inserted as handled, and a repeat that finds it so ends there. If handling fails, all is
rolled back and the event is kept unhandled, in a transaction of its own, to be handled again by
Stripe's retry or by the periodic job. Events that tell nothing of ours are noted by id and type.
What cannot be read is kept, marked, and its object asked for by a job: Stripe's word is an answer.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation
from sqlalchemy import JSON, Interval, Text, bindparam, delete, func, literal, select, update
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from payflow import clock, event_types, gateway, outbox, queue
from payflow.config import current_settings
from payflow.db import AnyRow, db
from payflow.event_types import News
from payflow.facts.objects import CHARGE, Unreadable, id_of, is_word
from payflow.facts.tellings import object_in
from payflow.known import UnknownPayment
from payflow.letters import OWNER, Owed
from payflow.models import EVENTS
from payflow.payments import NAMED, params_of
from payflow.record import record

log = logging.getLogger(__name__)

# The job that asks Stripe about an event's object (reconcile.py).
ASK_TASK = "ask_about_event"
FIRST_RETRY, LAST_RETRY = timedelta(seconds=30), timedelta(hours=1)
# The event that names an unknown PaymentIntent's payment is mostly on its way.
FIRST_LOOK_UP = timedelta(minutes=1)
# No longer than Stripe lists them, and a day.
KEPT = gateway.EVENTS_LISTED + timedelta(days=1)

# Not one upsert: a repeat, which Stripe waits for, would then lock the row and write to the disk.
BODY = sql_cast(bindparam("body", type_=Text), JSON)
INSERT_HANDLED = (
    upsert(EVENTS)
    .values(tries=1, payload=BODY, payment_id=NAMED)
    .on_conflict_do_nothing()
    .returning(EVENTS.c.payment_id)
)
TAKE_OVER = (
    update(EVENTS)
    .where(EVENTS.c.id == bindparam("event_id"), EVENTS.c.handled_at.is_(None))
    .values(tries=EVENTS.c.tries + 1, payload=BODY, payment_id=NAMED, error=None, next_try_at=None)
    .returning(EVENTS.c.payment_id)
)
NOBODY = event_types.Named()


class NotHandled(Exception):
    """The event is kept, and its handling failed; it will be tried again."""


class WrongMode(Exception):
    """A test event at an installation with a live key, or the other way round."""


class NotReplayable(Exception):
    """An event that can't be handled again; the message says why."""


def receive(event: Mapping[str, Any], body: str) -> None:
    """Handle a verified event, `body` being its JSON text, and commit.

    Raises WrongMode with nothing stored, and NotHandled once the event is kept for another try.
    """
    if _is_of_other_mode(event):
        _alert_wrong_mode()
        raise WrongMode(f"event {event['id']} has livemode {event['livemode']}")
    try:
        handle(event, body)
        db.session.commit()
    except Unreadable as error:
        _keep_unreadable(event, body, str(error))
    # Whatever went wrong, the event must not be lost: kept here, logged, and answered 5xx.
    except Exception as error:
        if _contradicts(error):
            _keep_unreadable(event, body, "it gives one attempt's session or money to another")
            return
        db.session.rollback()
        log.exception("event %s (%s) could not be handled", event["id"], event.get("type"))
        _keep_unhandled(event, body, error)
        raise NotHandled(str(error)) from error


def handle(event: Mapping[str, Any], body: str) -> None:
    """Store the event as handled, and do what it calls for, in the caller's transaction."""
    news = event_types.read(event)
    if news is None or news.is_foreign:
        _insert(event, outcome="foreign" if news else "ignored")
        return
    inserted = _insert(event, outcome="recorded", body=body, news=news)
    if inserted is None:
        log.info("event %s came again: nothing changed", event["id"])
    elif inserted.payment_id is None:
        _mark_unmatched(news)
    else:
        _record(news, inserted.payment_id)


def _record(news: News, payment_id: UUID) -> None:
    if news.kind == news.carried == CHARGE:
        # A hint: what its refunds are, only their list says.
        _have_asked(news.event["id"])
        return
    try:
        record(payment_id, [news.telling()], source=f"event {news.event['id']}")
    except UnknownPayment:
        _mark_unmatched(news)


def _have_asked(event_id: str) -> None:
    """Have Stripe asked about an event's object: by a job at once, and again until it answers."""
    db.session.execute(
        update(EVENTS)
        .where(EVENTS.c.id == event_id)
        .values(next_try_at=clock.now() + FIRST_LOOK_UP)
    )
    queue.defer(queue.Deferred(ASK_TASK, {"event_id": event_id}))


def handle_again(limit: int = 100) -> int:
    """Try the unhandled events whose time has come, oldest first; answer how many were handled."""
    return sum(_handled_again(event_id) for event_id in _due(limit))


def replay(event_id: str) -> None:
    """Handle an event once more, for real, as if it had just been delivered; commits.

    Raises NotReplayable, WrongMode and NotHandled.
    """
    stored = db.session.execute(
        select(EVENTS.c.id, EVENTS.c.payload.is_not(None).label("has_payload")).where(
            EVENTS.c.id == event_id
        )
    ).one_or_none()
    if stored is None:
        raise NotReplayable(f"There is no event {event_id} here.")
    if not stored.has_payload:
        raise NotReplayable(
            f"The payload of event {event_id} was not kept: it was none of ours, or Stripe was "
            "asked instead. `flask payments sync` asks again."
        )
    # A process that dies here leaves it to the periodic job.
    db.session.execute(
        update(EVENTS)
        .where(EVENTS.c.id == event_id)
        .values(handled_at=None, outcome=None, error="to be handled again, by hand",
                next_try_at=clock.now())
    )  # fmt: skip
    db.session.commit()
    body = _body_of(event_id)
    receive(json.loads(body), body)


def failed_events() -> Sequence[str]:
    """The events whose handling failed, or that could not be read; oldest first."""
    return db.session.scalars(
        select(EVENTS.c.id).where(EVENTS.c.error.is_not(None)).order_by(EVENTS.c.received_at)
    ).all()


def note_found(news: News, outcome: str, payment_id: UUID | None) -> None:
    """Store an event that Stripe's list told and no delivery brought; what it tells has been asked
    for. One that is here already is left alone; one that stays unmatched is asked about again."""
    values = {"tries": 0, "outcome": outcome, "handled_at": clock.now(), "payment_id": payment_id}
    if outcome == "unmatched":
        values |= {"payload": news.event, **_waiting(news)}
        _alert_if_ours(news)
    db.session.execute(
        upsert(EVENTS).values(**_identity(news.event), **values).on_conflict_do_nothing()
    )


def forget() -> None:
    """Forget what can't matter any more: events of others once Stripe lists them no longer, and
    the payload of what stayed unmatched; commits."""
    long_ago = EVENTS.c.received_at < clock.now() - KEPT
    db.session.execute(delete(EVENTS).where(long_ago, EVENTS.c.outcome.in_(("ignored", "foreign"))))
    db.session.execute(
        update(EVENTS)
        .where(long_ago, EVENTS.c.outcome == "unmatched", EVENTS.c.payload.is_not(None))
        .values(payload=None)
    )
    db.session.commit()


def _handled_again(event_id: str) -> bool:
    body = _body_of(event_id)
    event = json.loads(body)
    if _is_of_other_mode(event):
        # Kept from before the key was changed: no news for the operator.
        _keep_unhandled(event, body, WrongMode("it is of the other mode"))
        return False
    try:
        receive(event, body)
    except NotHandled:
        return False
    log.info("event %s handled at a later try", event_id)
    return True


def _body_of(event_id: str) -> str:
    body: str = db.session.execute(
        select(sql_cast(EVENTS.c.payload, Text)).where(EVENTS.c.id == event_id)
    ).scalar_one()
    return body


def _due(limit: int) -> Sequence[str]:
    due = db.session.scalars(
        select(EVENTS.c.id)
        .where(EVENTS.c.next_try_at <= clock.now(), EVENTS.c.handled_at.is_(None))
        .order_by(EVENTS.c.next_try_at)
        .limit(limit)
    ).all()
    db.session.rollback()
    return due


def _is_of_other_mode(event: Mapping[str, Any]) -> bool:
    return event.get("livemode") is (not current_settings().livemode)


def _alert_wrong_mode() -> None:
    """The signature is right, so that the cause is known: tell the operator, once a day."""
    about = f"wrong mode, {clock.now():%Y-%m-%d}"
    outbox.queue_letters(None, [Owed("owner_webhooks", OWNER, about)])
    db.session.commit()


def _insert(
    event: Mapping[str, Any], outcome: str, body: str | None = None, news: News | None = None
) -> AnyRow | None:
    """Store the event as handled, or take over one kept unhandled; None if it was handled before.

    The row answered holds the payment that the event is about, if that is here.
    """
    named = params_of(news.named if news else NOBODY)
    values = {"outcome": outcome, "handled_at": clock.now(), "body": body, **named}
    inserted = db.session.execute(INSERT_HANDLED, _identity(event) | values).one_or_none()
    if inserted is not None:
        return inserted
    return db.session.execute(TAKE_OVER, {"event_id": event["id"]} | values).one_or_none()


def _alert_if_ours(news: News) -> None:
    """A session that leads back here is of a payment that was made here and is gone, as after an
    older backup was brought back: money that nobody here asks about. Tell the operator, once.

    Our mark alone may be another installation's, on the same Stripe account.
    """
    session = object_in(news.event)
    leads_here = str(session.get("success_url")).startswith(f"{current_settings().public_url}/")
    intent_id = id_of(session.get("payment_intent"))
    if news.named.attempt_id and leads_here and intent_id:
        outbox.queue_letters(None, [Owed("owner_lost_payment", OWNER, intent_id)])


def _mark_unmatched(news: News) -> None:
    log.warning("event %s is about a payment that is not known here", news.event["id"])
    _alert_if_ours(news)
    db.session.execute(
        update(EVENTS)
        .where(EVENTS.c.id == news.event["id"])
        .values(
            outcome="unmatched",
            payment_id=None,
            **_waiting(news),
        )
    )


def _waiting(news: News) -> dict[str, Any]:
    """By what an unmatched event will be known, and when Stripe is asked about it."""
    return {
        "payment_intent_id": news.named.intent_id,
        "charge_id": news.named.charge_id,
        "next_try_at": clock.now() + FIRST_LOOK_UP,
    }


def _contradicts(error: Exception) -> bool:
    """Whether the database refused to give one attempt what is another's."""
    return (
        isinstance(error, IntegrityError)
        and isinstance(error.orig, UniqueViolation)
        and str(error.orig.diag.constraint_name).startswith(("uq_attempts_", "uq_refunds_", "pk_d"))
    )


def _keep_unreadable(event: Mapping[str, Any], body: str, error: str) -> None:
    """Keep the event, marked, and have Stripe asked for what it is about; commits."""
    db.session.rollback()
    log.error("event %s (%s) can't be read: %s", event["id"], event.get("type"), error)
    kept = {"handled_at": clock.now(), "outcome": "unreadable", "error": error, "next_try_at": None}
    statement = upsert(EVENTS).values(
        **_identity(event), **kept, tries=1, payload=sql_cast(literal(body, Text), JSON)
    )
    db.session.execute(
        statement.on_conflict_do_update(
            index_elements=[EVENTS.c.id],
            set_=kept | {"tries": EVENTS.c.tries + 1},
            where=EVENTS.c.handled_at.is_(None),
        )
    )
    _have_asked(event["id"])
    db.session.commit()


def _keep_unhandled(event: Mapping[str, Any], body: str, error: Exception) -> None:
    """Keep the event with its error and the time of its next try, which doubles up to an hour."""
    now = clock.now()
    failed = {"error": f"{type(error).__name__}: {error}", "next_try_at": now + FIRST_RETRY}
    statement = upsert(EVENTS).values(
        **_identity(event), tries=1, payload=sql_cast(literal(body, Text), JSON), **failed
    )
    seconds = FIRST_RETRY.total_seconds() * func.power(2, func.least(EVENTS.c.tries, 10))
    pause = func.make_interval(
        0, 0, 0, 0, 0, 0, func.least(seconds, LAST_RETRY.total_seconds()), type_=Interval
    )
    db.session.execute(
        statement.on_conflict_do_update(
            index_elements=[EVENTS.c.id],
            set_=failed | {"tries": EVENTS.c.tries + 1, "next_try_at": literal(now) + pause},
            where=EVENTS.c.handled_at.is_(None),
        )
    )
    db.session.commit()


def _identity(event: Mapping[str, Any]) -> dict[str, Any]:
    event_type = event.get("type")
    return {
        "id": event["id"],
        "type": event_type if is_word(event_type) else "",
        "received_at": clock.now(),
    }
