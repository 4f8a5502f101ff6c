"""Refunds that payflow asks for: guarded by what is left, committed before Stripe is asked.

The request's row is the idempotency key, so that a process that dies anywhere leaves a row from
which `settle` goes on, and one request is one refund. What becomes of it, only Stripe says.
Commits by itself, since no transaction may be open while Stripe is asked.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID, uuid4

from sqlalchemy import select, update

from payflow import clock, formats, gateway, payments, timeline
from payflow.config import current_settings
from payflow.db import db
from payflow.facts.attempts import AttemptFacts
from payflow.facts.objects import INTENT, REFUND, REFUND_KEY, uuid_in
from payflow.facts.refunds import COUNTING
from payflow.facts.tellings import Telling
from payflow.known import Known, facts_of
from payflow.models import Attempt, Payment, Refund
from payflow.record import FIRST_CHECK, OPERATOR, record

log = logging.getLogger(__name__)


class NotRefundable(Exception):
    """Refused by us, before Stripe was asked; the message says why."""


class Refused(Exception):
    """Refused by Stripe; the message is its words."""


@dataclass(frozen=True)
class Share:
    """The part of a refund that one attempt's PaymentIntent carries; amount in minor units."""

    attempt_id: UUID
    amount: int


def refund(payment_id: UUID, amount: int | None = None) -> list[Refund]:
    """Refund so much of a payment (minor units), or all that is left; answers the requests' rows.

    Of several payments for the same thing, the latest is refunded first, each by a request of its
    own; one that Stripe refuses says so on its row. Raises NotRefundable, Refused where Stripe
    refused all, and GatewayError where nothing is known: what was asked for stands then, and is
    settled later.
    """
    requests, refusals = _request(payment_id, amount), []
    for row_id in requests:
        try:
            ask(row_id)
        except Refused as refusal:
            refusals.append(refusal)
    if len(refusals) == len(requests):
        raise refusals[0]
    query = select(Refund).where(Refund.id.in_(requests))
    return list(db.session.scalars(query.execution_options(populate_existing=True)))


def _request(payment_id: UUID, amount: int | None) -> list[UUID]:
    """Commit the requests, under the payment's lock."""
    payment = payments.lock(payment_id)
    if payment.livemode != current_settings().livemode:
        # The request would stand until the key is of that mode, and then be made, unlooked-for.
        mode = "live" if payment.livemode else "test"
        raise NotRefundable(f"It is a {mode} payment, and the Stripe key is of the other mode.")
    shares = _shares(payment, amount)
    rows = [
        Refund(
            id=uuid4(),
            payment_id=payment.id,
            attempt_id=share.attempt_id,
            amount=share.amount,
            currency=payment.currency,
            created_at=clock.now(),
            requested_by=OPERATOR,
        )
        for share in shares
    ]
    db.session.add_all(rows)
    # Should this process die, the sweep settles them.
    payment.next_check_at = payment.next_check_at or clock.now() + FIRST_CHECK
    timeline.note(
        payment.id,
        [(str(row.id), f"refund of {formats.amount(row.amount, row.currency)} asked for")
         for row in rows],
        OPERATOR,
    )  # fmt: skip
    db.session.commit()
    return [row.id for row in rows]


def _shares(payment: Payment, amount: int | None) -> list[Share]:
    left = dict(left_of(payment.id))
    whole = sum(left.values())
    wanted = whole if amount is None else amount
    if whole == 0 and payment.status == "review":
        raise NotRefundable(
            "It is in review: what was taken, if anything, does not count yet. "
            "Accept it first, or refund it in Stripe's Dashboard."
        )
    if whole == 0:
        raise NotRefundable("Nothing is left to refund of this payment.")
    if not 0 < wanted <= whole:
        most = formats.amount(whole, payment.currency)
        raise NotRefundable(f"At most {most} is left to refund of this payment.")
    shares = []
    for attempt_id, rest in left.items():
        share = min(rest, wanted)
        if share:
            shares.append(Share(attempt_id, share))
        wanted -= share
    return shares


def left_of(payment_id: UUID) -> Iterator[tuple[UUID, int]]:
    """What is left to refund of each attempt, the latest first, in minor units: what was received
    without the refunds that count, those asked for and not yet answered included."""
    known, rows = facts_of(payment_id), _rows_of(payment_id)
    for attempt_id, attempt in reversed(list(known.attempts.items())):
        taken = sum(
            row.amount
            for row in rows
            if row.attempt_id == attempt_id and (row.status is None or row.status in COUNTING)
        )
        yield attempt_id, max(0, _received(attempt) - taken)


def _received(attempt: AttemptFacts) -> int:
    return attempt.received or 0 if attempt.payment_intent_id else 0


def _rows_of(payment_id: UUID) -> list[Refund]:
    query = select(Refund).where(Refund.payment_id == payment_id, Refund.refusal.is_(None))
    return list(db.session.scalars(query.execution_options(populate_existing=True)))


def ask(row_id: UUID) -> None:
    """Ask Stripe for a requested refund, and record its answer. Raises Refused and GatewayError.

    What others have settled meanwhile is not asked for: a process that slept for more than a day
    would find the key forgotten, and be given a second refund.
    """
    row = db.session.get_one(Refund, row_id, populate_existing=True)
    attempt = db.session.get_one(Attempt, row.attempt_id)
    db.session.commit()
    if row.refusal:
        raise Refused(row.refusal)
    if row.refund_id:
        return
    parameters = {
        "payment_intent": attempt.payment_intent_id,
        "amount": row.amount,
        "metadata": {REFUND_KEY: str(row.id)},
    }
    try:
        answer = gateway.create_refund(parameters, idempotency_key=str(row.id))
    except gateway.GatewayError as error:
        # Stripe has told us of that PaymentIntent: the key is of another account, or another mode.
        if error.unknown or not error.about_object:
            raise
        _refuse(row, str(error))
        raise Refused(str(error)) from error
    record(row.payment_id, [Telling(answer.object, answer.at, by_retrieval=True)], OPERATOR)
    db.session.commit()


def _refuse(row: Refund, why: str, by: str = "Stripe") -> None:
    """It was not made: nothing of it counts any more."""
    payments.lock(row.payment_id)
    refused = db.session.execute(
        update(Refund)
        .where(Refund.id == row.id, Refund.refund_id.is_(None), Refund.refusal.is_(None))
        .values(refusal=why)
        .returning(Refund.id)
    ).one_or_none()
    if refused:
        timeline.note(row.payment_id, [(str(row.id), f"no refund was made: {why}")], by)
    db.session.commit()


def settle(payment_id: UUID, known: Known) -> None:
    """Go on with requests whose answer never came: the same question under the same key while
    Stripe keeps that, else a look whether the refund was made. Raises GatewayError."""
    for row_id in [row_id for row_id, facts in known.refunds.items() if facts is None]:
        row = db.session.get_one(Refund, row_id)
        db.session.commit()
        if clock.now() - row.created_at < gateway.KEY_LIFETIME:
            try:
                ask(row_id)
            except Refused as error:
                log.warning("refund %s of payment %s was refused: %s", row_id, payment_id, error)
            except gateway.GatewayError as error:
                if error.for_all:
                    raise
                # A failure that Stripe keeps for the key: once that is forgotten, it is looked for.
                log.error("refund %s of payment %s: %s", row_id, payment_id, error)
        else:
            _look_for(row)


def _look_for(row: Refund) -> None:
    attempt = db.session.get_one(Attempt, row.attempt_id)
    db.session.commit()
    for page in gateway.list_of(REFUND, payment_intent=attempt.payment_intent_id):
        for made in page.object["data"]:
            if uuid_in(made, REFUND_KEY) == row.id:
                record(row.payment_id, [Telling(made, page.at, by_retrieval=True)], OPERATOR)
                db.session.commit()
                return
    # An account that does not know the PaymentIntent has no such refund either: GatewayError.
    gateway.retrieve(INTENT, str(attempt.payment_intent_id))
    _refuse(row, "the request never reached Stripe", by=OPERATOR)
