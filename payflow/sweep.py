"""The sweep: asks Stripe what no webhook told, so that the state is right even if none arrives.

Three ways: payments that are not settled, with pauses that grow with their age; Stripe's list of
events, each hit a pointer to an object; and, where that list no longer reaches back far enough, a
walk over the payments of half a year. Within a daily budget, and no transaction open while Stripe
is asked. Commits.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, literal, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import IntegrityError

from payflow import clock, event_types, events, gateway, outbox, reconcile
from payflow.config import current_settings
from payflow.db import db
from payflow.event_types import News
from payflow.facts.objects import Unreadable, moment
from payflow.known import UnknownPayment
from payflow.letters import OWNER, Owed
from payflow.models import SWEEP, Payment, StripeEvent, SweepState
from payflow.reconcile import Found
from payflow.record import SWEEP as SOURCE
from payflow.record import Change

log = logging.getLogger(__name__)

# Payments in memory at once.
PAGE = 50
# A payment is asked about again after half of its age.
SHORTEST_PAUSE, LONGEST_PAUSE = timedelta(minutes=2), timedelta(days=1)
EVENTS_EVERY, EVENTS_EVERY_WHILE_DELIVERED = timedelta(minutes=10), timedelta(hours=1)
# An event that young is on its way by webhook; the next reading begins so much earlier.
GRACE, OVERLAP = timedelta(minutes=5), timedelta(minutes=10)
STRETCH = timedelta(days=1)
# How far payflow trusts that Stripe lists events: less than it says.
TRUSTED = timedelta(days=25)
# Refunds and disputes come as late as that.
WALK = timedelta(days=180)
# Stripe allows about 500 reads per payment over 30 days, and 10,000 at least.
READS_A_DAY, READS_PER_PAYMENT = 300, 10
# Of the day's questions, how many the list and the walk may use up: the rest is for payments that
# are waiting for an answer.
LIST_SHARE, WALK_SHARE = 0.75, 0.5
# Seconds, where Stripe asks for a pause and does not say how long.
PAUSE = 60
# So many questions that Stripe fails to answer end a sweep; fewer may be a matter of one object.
FAILURES = 5


class OutOfBudget(Exception):
    """Stripe was asked as often as it may be today."""


@dataclass
class Report:
    """What a sweep has changed (or would), and why it stopped early, if it did."""

    changes: list[Change] = field(default_factory=list)
    asked: int = 0
    # Questions that the day has, counted once, and the share of them that may be used up now.
    budget: int = 0
    share: float = 1
    missed_events: int = 0
    # Questions that Stripe failed to answer.
    failures: int = 0
    stopped: str = ""

    def add(self, change: Change | None, dry_run: bool) -> None:
        """Note a change. A dry run meets the same difference again in each object that tells it."""
        told = {
            (one.receipt_number, what) for one in self.changes for what in one.happened
        } if dry_run else set()  # fmt: skip
        if change and not {(change.receipt_number, what) for what in change.happened} <= told:
            self.changes.append(change)


def run(*, by_hand: bool = False, dry_run: bool = False) -> Report:
    """One sweep. `by_hand`: ask about everything now, whenever its time would have come. `dry_run`:
    ask, store nothing, and report what would change."""
    report = Report(budget=_budget())
    state = _state()
    if not by_hand and state.paused_until and clock.now() < state.paused_until:
        report.stopped = f"Stripe asked for a pause until {state.paused_until:%H:%M:%S}"
        return report
    with gateway.metered(lambda: _spend(report)):
        try:
            _check_payments(report, by_hand, dry_run)
            report.share = LIST_SHARE
            _read_events(report, state, by_hand, dry_run)
            report.share = WALK_SHARE
            _walk(report, dry_run)
        except OutOfBudget as error:
            report.stopped = str(error)
        except gateway.GatewayError as error:
            report.stopped = f"Stripe: {error}"
            _pause(error.retry_after or (PAUSE if error.too_many else None))
    if report.failures and not report.stopped:
        report.stopped = (
            f"Stripe failed to answer {report.failures} questions; they are asked again."
        )
    if not dry_run:
        _tell(report, by_hand)
    if report.stopped:
        log.warning("sweep stopped early: %s", report.stopped)
    return report


# --- payments that are not settled -----------------------------------------------------------


def _check_payments(report: Report, by_hand: bool, dry_run: bool) -> None:
    for payment_id in _unsettled(by_hand):
        if dry_run:
            _check(report, payment_id, dry_run=True)
        elif due := _postpone(payment_id, by_hand):
            try:
                _check(report, payment_id)
            except (OutOfBudget, gateway.GatewayError):
                # It was not answered: its time is still now.
                _put_back(payment_id, due)
                raise


def _unsettled(by_hand: bool) -> Iterator[UUID]:
    """The payments that Stripe has more to say about: all, or those whose time has come, the
    longest due first."""
    when: Any = Payment.created_at if by_hand else Payment.next_check_at
    asked = Payment.next_check_at.is_not(None) if by_hand else when <= clock.now()
    query = select(when, Payment.id).where(asked, Payment.livemode == current_settings().livemode)
    place, after = tuple_(when, Payment.id), None
    while True:
        page = query.where(place > after) if after else query
        rows = db.session.execute(page.order_by(when, Payment.id).limit(PAGE)).all()
        db.session.commit()
        yield from (payment_id for _, payment_id in rows)
        if len(rows) < PAGE:
            return
        after = tuple(rows[-1])


def _postpone(payment_id: UUID, by_hand: bool) -> datetime | None:
    """Set the time of the next question, and answer when this one was due; None where another sweep
    has just done so. Commits."""
    payment = db.session.get_one(Payment, payment_id, populate_existing=True)
    due, now = payment.next_check_at, clock.now()
    pause = min(max((now - payment.created_at) / 2, SHORTEST_PAUSE), LONGEST_PAUSE)
    taken = db.session.execute(
        update(Payment)
        .where(Payment.id == payment_id, Payment.next_check_at == due)
        .where(literal(by_hand) | (Payment.next_check_at <= now))
        .values(next_check_at=now + pause)
        .returning(Payment.id)
    ).one_or_none()
    db.session.commit()
    return due if taken else None


def _put_back(payment_id: UUID, due: datetime) -> None:
    db.session.rollback()
    db.session.execute(
        update(Payment)
        .where(Payment.id == payment_id, Payment.next_check_at.is_not(None))
        .values(next_check_at=due)
    )
    db.session.commit()


def _check(
    report: Report, payment_id: UUID, *, thorough: bool = False, dry_run: bool = False
) -> None:
    """Ask about one payment. What keeps this one from being told stops no other; where Stripe can't
    be asked at all, GatewayError goes on up."""
    try:
        change = reconcile.check_payment(payment_id, SOURCE, thorough=thorough, dry_run=dry_run)
    except (Unreadable, UnknownPayment, IntegrityError) as error:
        db.session.rollback()
        log.error("payment %s: what Stripe answered is not recorded: %s", payment_id, error)
    except gateway.GatewayError as error:
        _note_failure(report, f"payment {payment_id}", error)
    else:
        report.add(change, dry_run)


# --- Stripe's list of events -----------------------------------------------------------------


def _read_events(report: Report, state: SweepState, by_hand: bool, dry_run: bool) -> None:
    now = clock.now()
    if not by_hand and not _events_are_due(state, now):
        return
    gap = state.events_read_to is None or now - state.events_read_to > TRUSTED
    walk = {"walked_to": now - WALK} if gap else {}
    for since, until in _stretches(state.events_read_to or _first_payment(now), now):
        read_to = until or now
        for number, page in enumerate(gateway.list_events(since - OVERLAP, until)):
            # By Stripe's clock, as events are dated: ours may be ahead of it.
            read_to = page.at if number == 0 and until is None else read_to
            _look_into(report, _news_in(page, GRACE if not by_hand else timedelta()), dry_run)
        if not dry_run:
            _note(events_read_to=read_to, events_missed=report.missed_events, **walk)


def _first_payment(now: datetime) -> datetime:
    """Before our first payment, Stripe had no event of ours to tell."""
    first = db.session.scalar(select(func.min(Payment.created_at)))
    db.session.commit()
    return first or now


def _stretches(read_to: datetime, now: datetime) -> Iterator[tuple[datetime, datetime | None]]:
    """What is to be read of the list, a day at a time and the oldest first, so that what one day's
    questions do not suffice for goes on the next day; the last stretch is open."""
    since = max(read_to, now - gateway.EVENTS_LISTED)
    while now - since > STRETCH:
        yield since, since + STRETCH
        since += STRETCH
    yield since, None


def _events_are_due(state: SweepState, now: datetime) -> bool:
    if state.events_read_to is None:
        return True
    delivered = db.session.scalar(
        select(
            select(StripeEvent.id)
            .where(StripeEvent.received_at > state.events_read_to, StripeEvent.tries > 0)
            .exists()
        )
    )
    db.session.commit()
    calm = delivered and state.events_missed == 0
    return now - state.events_read_to >= (EVENTS_EVERY_WHILE_DELIVERED if calm else EVENTS_EVERY)


def _news_in(page: gateway.Answer, grace: timedelta) -> Sequence[News]:
    """The events on a page that may tell something of ours, and that no delivery has brought."""
    read = (event_types.read(event) for event in page.object["data"])
    news = {one.event["id"]: one for one in read if one and not one.is_foreign}
    here = db.session.scalars(
        select(StripeEvent.id).where(StripeEvent.id.in_(news), StripeEvent.handled_at.is_not(None))
    ).all()
    db.session.commit()
    return [
        one
        for event_id, one in news.items()
        if event_id not in here and _is_older(one.event, page.at - grace)
    ]


def _is_older(event: Mapping[str, Any], than: datetime) -> bool:
    try:
        return moment(event, "created") <= than
    except Unreadable:
        return True


def _look_into(report: Report, news: Sequence[News], dry_run: bool) -> None:
    """Ask for each object once, however many events point to it."""
    found: dict[tuple[str, str], Found] = {}
    for one in news:
        if one.carried is None or one.object_id is None:
            continue
        key = (one.carried, one.object_id)
        if key not in found:
            found[key] = _look_up(report, *key, dry_run)
            report.add(found[key].change, dry_run)
        if found[key].outcome == "recorded":
            report.missed_events += 1
        if not dry_run:
            events.note_found(one, found[key].outcome, found[key].payment_id)
            db.session.commit()


def _look_up(report: Report, kind: str, object_id: str, dry_run: bool) -> Found:
    """Ask about one object. What keeps this one from being told stops no other."""
    try:
        return reconcile.look_up(kind, object_id, SOURCE, dry_run=dry_run)
    except gateway.GatewayError as error:
        _note_failure(report, f"{kind} {object_id}", error)
        return reconcile.UNMATCHED


def _note_failure(report: Report, what: str, error: gateway.GatewayError) -> None:
    """Go on with the others, unless none is answered any more: then raise the error."""
    db.session.rollback()
    log.error("%s: %s", what, error)
    if error.about_object:
        return
    report.failures += 1
    if error.for_all or report.failures >= FAILURES:
        raise error


# --- the walk --------------------------------------------------------------------------------


def _walk(report: Report, dry_run: bool) -> None:
    """All older payments since `walked_to`, in order of their time: what the list no longer tells
    of them. What has become of younger ones, it tells whole."""
    while (walked_to := _state().walked_to) is not None and not dry_run:
        page = db.session.execute(
            select(Payment.id, Payment.created_at)
            .where(
                Payment.created_at > walked_to,
                Payment.created_at < clock.now() - TRUSTED,
                Payment.livemode == current_settings().livemode,
            )
            .order_by(Payment.created_at, Payment.id)
            .limit(PAGE)
        ).all()
        db.session.commit()
        for payment in page:
            _check(report, payment.id, thorough=True)
            _note(walked_to=payment.created_at)
        if len(page) < PAGE:
            _note(walked_to=None)


# --- what it remembers -----------------------------------------------------------------------


def _state() -> SweepState:
    db.session.execute(upsert(SWEEP).values(id=1).on_conflict_do_nothing())
    state = db.session.get_one(SweepState, 1, populate_existing=True)
    db.session.commit()
    # Else a rollback expires it, and the next look at it opens a transaction unseen.
    db.session.expunge(state)
    return state


def _note(**values: Any) -> None:
    db.session.execute(update(SweepState).values(**values))
    db.session.commit()


def _pause(seconds: float | None) -> None:
    if seconds:
        _note(paused_until=clock.now() + timedelta(seconds=seconds))


def _budget() -> int:
    """How many questions the sweep may ask in a day."""
    recent = Payment.created_at > clock.now() - gateway.EVENTS_LISTED
    count = db.session.scalar(select(func.count()).select_from(Payment).where(recent)) or 0
    db.session.commit()
    return max(READS_A_DAY, READS_PER_PAYMENT * count)


def _spend(report: Report) -> None:
    """Count a question to Stripe against today's budget; commits. Raises OutOfBudget."""
    now = clock.now()
    another_day = SweepState.reads_on.is_distinct_from(now.date())
    spent = db.session.execute(
        update(SweepState)
        .where(or_(another_day, SweepState.reads < report.budget * report.share))
        .values(reads=case((another_day, 1), else_=SweepState.reads + 1), reads_on=now.date())
        .returning(SweepState.reads)
    ).one_or_none()
    db.session.commit()
    if spent is None:
        raise OutOfBudget("Stripe was asked as often as it may be today; the rest waits.")
    report.asked += 1


def _tell(report: Report, by_hand: bool) -> None:
    """What webhooks should have brought and a sweep had to find, the operator is told, once a
    day."""
    if by_hand or not report.missed_events:
        return
    about = f"missed, {clock.now():%Y-%m-%d}"
    outbox.queue_letters(None, [Owed("owner_webhooks", OWNER, about)])
    db.session.commit()
