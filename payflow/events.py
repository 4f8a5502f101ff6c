"""Events: what each type of Stripe's events tells us; stored once, handled in one transaction.

An event is inserted as handled, and a repeat that finds it so ends there. If handling fails, all is
rolled back and the event is kept unhandled, in a transaction of its own, to be handled again by
Stripe's retry or by the periodic job. Events that tell nothing of ours are noted by id and type.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Interval, Text, bindparam, func, literal, select, update
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import insert as upsert

from payflow import clock, gateway, payments
from payflow.config import current_settings
from payflow.db import AnyRow, db
from payflow.facts import ATTEMPT_KEY, PAYMENT_KEY
from payflow.models import EVENTS, PAYMENTS

log = logging.getLogger(__name__)

FIRST_RETRY, LAST_RETRY = timedelta(seconds=30), timedelta(hours=1)

# Not one upsert: a repeat, which Stripe waits for, would then lock the row and write to the disk.
BODY = sql_cast(bindparam("body", type_=Text), JSON)
NAMED = select(PAYMENTS.c.id).where(PAYMENTS.c.id == bindparam("named")).scalar_subquery()
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


class NotHandled(Exception):
    """The event is kept, and its handling failed; it will be tried again."""


class WrongMode(Exception):
    """A test event at an installation with a live key, or the other way round."""


@dataclass(frozen=True)
class Mark:
    """Whose an object is, by its metadata."""

    payment_id: UUID
    attempt_id: UUID


def tell_session(event: Mapping[str, Any], mark: Mark, delayed_failure: bool = False) -> None:
    payments.record_session(
        mark.payment_id,
        mark.attempt_id,
        event["data"]["object"],
        told_at=datetime.fromtimestamp(event["created"], UTC),
        source=f"event {event['id']}",
        delayed_failure=delayed_failure,
    )


def tell_delayed_failure(event: Mapping[str, Any], mark: Mark) -> None:
    tell_session(event, mark, delayed_failure=True)


HANDLERS: Mapping[str, Callable[[Mapping[str, Any], Mark], None]] = {
    "checkout.session.completed": tell_session,
    "checkout.session.expired": tell_session,
    "checkout.session.async_payment_succeeded": tell_session,
    "checkout.session.async_payment_failed": tell_delayed_failure,
}


def receive(event: Mapping[str, Any], body: str) -> None:
    """Handle a verified event, `body` being its JSON text, and commit.

    Raises WrongMode with nothing stored, and NotHandled once the event is kept for another try.
    """
    if event.get("livemode") is (not _livemode()):
        raise WrongMode(f"event {event['id']} has livemode {event['livemode']}")
    try:
        handle(event, body)
        db.session.commit()
    # Whatever went wrong, the event must not be lost: kept here, logged, and answered 5xx.
    except Exception as error:
        db.session.rollback()
        log.exception("event %s (%s) could not be handled", event["id"], event.get("type"))
        _keep_unhandled(event, body, error)
        raise NotHandled(str(error)) from error


def handle(event: Mapping[str, Any], body: str) -> None:
    """Store the event as handled, and do what it calls for, in the caller's transaction."""
    handler = HANDLERS.get(str(event.get("type")))
    mark = _mark(event) if handler else None
    if handler is None or mark is None:
        _insert(event, outcome="foreign" if handler else "ignored")
        return
    inserted = _insert(event, outcome="recorded", body=body, named=mark.payment_id)
    if inserted is None:
        log.info("event %s came again: nothing changed", event["id"])
    elif inserted.payment_id is None:
        _mark_unmatched(event, mark)
    else:
        try:
            handler(event, mark)
        except payments.UnknownPayment:
            _mark_unmatched(event, mark)


def handle_again(limit: int = 100) -> int:
    """Try the unhandled events whose time has come, oldest first; answer how many were handled."""
    return sum(_handled_again(event_id) for event_id in _due(limit))


def _handled_again(event_id: str) -> bool:
    body = db.session.execute(
        select(sql_cast(EVENTS.c.payload, Text)).where(EVENTS.c.id == event_id)
    ).scalar_one()
    event = json.loads(body)
    try:
        receive(event, body)
    except NotHandled:
        return False
    except WrongMode as error:
        _keep_unhandled(event, body, error)
        return False
    log.info("event %s handled at a later try", event_id)
    return True


def _due(limit: int) -> Sequence[str]:
    due = db.session.scalars(
        select(EVENTS.c.id)
        .where(EVENTS.c.next_try_at <= clock.now())
        .order_by(EVENTS.c.next_try_at)
        .limit(limit)
    ).all()
    db.session.rollback()
    return due


def _livemode() -> bool:
    return bool(current_settings().livemode)


def _mark(event: Mapping[str, Any]) -> Mark | None:
    """Our ids in the metadata of the event's object; None for an object of somebody else's.

    Events with an `account` come from an account connected to ours: not ours either.
    """
    try:
        metadata = event["data"]["object"]["metadata"]
        mark = Mark(UUID(metadata[PAYMENT_KEY]), UUID(metadata[ATTEMPT_KEY]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    return None if event.get("account") else mark


def _insert(
    event: Mapping[str, Any], outcome: str, body: str | None = None, named: UUID | None = None
) -> AnyRow | None:
    """Store the event as handled, or take over one kept unhandled; None if it was handled before.

    The row answered holds the payment that the event names, if that is here.
    """
    values = {"outcome": outcome, "handled_at": clock.now(), "body": body, "named": named}
    inserted = db.session.execute(INSERT_HANDLED, _identity(event) | values).one_or_none()
    if inserted is not None:
        return inserted
    return db.session.execute(TAKE_OVER, {"event_id": event["id"]} | values).one_or_none()


def _mark_unmatched(event: Mapping[str, Any], mark: Mark) -> None:
    log.error("event %s names %s, which is not here", event["id"], mark)
    db.session.execute(update(EVENTS).where(EVENTS.c.id == event["id"]).values(outcome="unmatched"))


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
    return {
        "id": event["id"],
        "type": event["type"] if gateway.is_word(event.get("type")) else "",
        "received_at": clock.now(),
    }
