"""The way from a form to Stripe's page: commit what will be asked, ask Stripe, store, commit.

Commits by itself, since no transaction may be open while Stripe is asked, and so that a process
that dies anywhere leaves a row from which the customer's next try goes on: the same parameters
under the same idempotency key, hence the same Checkout Session.
"""

import logging
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.errors import UniqueViolation
from sqlalchemy import or_, update
from sqlalchemy.exc import IntegrityError

from payflow import clock, gateway, payments, reconcile
from payflow.db import db
from payflow.models import Attempt, Payment
from payflow.payments import Details

log = logging.getLogger(__name__)

# A request that asks Stripe for a session holds its attempt for as long as that can take.
CLAIM_LIFETIME = timedelta(seconds=gateway.LONGEST_CALL)
# Seconds that a second request waits for the first one's session, and between two looks.
WAIT, LOOK_EVERY = 10, 0.2
# How often one request is overtaken by others that send the same form with other content.
RIVALS = 5


class StillOpening(Exception):
    """Another request is asking Stripe for the payment's session; `payment_id`: where known."""

    def __init__(self, payment_id: UUID | None = None):
        super().__init__(payment_id)
        self.payment_id = payment_id


@dataclass(frozen=True)
class Destination:
    """Where the customer goes next: to Stripe's page, or (None) to the payment's own."""

    payment_id: UUID
    url: str | None


def start(details: Details, form_key: bytes) -> Destination:
    """From a submitted form to where the customer goes. Raises GatewayError and StillOpening.

    The same form with the same content comes to the same payment. With other content it makes a
    new payment, once the session of the one before can't be paid any more or is known to be over.
    """
    for _ in range(RIVALS):
        payment = payments.of_form(form_key)
        if payment is not None and not _is_same(payment, details):
            _put_aside(payment)
            payment = None
        payment = payment or _open(details, form_key)
        if payment is not None:
            return proceed(payment.id)
    raise StillOpening()


def proceed(payment_id: UUID) -> Destination:
    """To Stripe's page where the payment can still be paid, with a new attempt if it takes one.

    Raises GatewayError and StillOpening.
    """
    if not payments.can_be_paid(payments.get(payment_id)):
        return Destination(payment_id, None)
    attempt = payments.current_attempt(payment_id)
    if attempt.session_id and not _is_payable(attempt):
        attempt = _after_closed(attempt)
    elif not attempt.session_id and clock.now() - attempt.created_at > gateway.KEY_LIFETIME:
        attempt = _next_attempt(attempt)
    if attempt.session_id is None:
        attempt = _ask_for_session(attempt)
    return Destination(payment_id, attempt.session_url if _is_payable(attempt) else None)


def _is_same(payment: Payment, details: Details) -> bool:
    return all(getattr(payment, name) == value for name, value in vars(details).items())


def _put_aside(payment: Payment) -> None:
    """Make room for a new payment from the same form.

    A session that another request stores meanwhile is seen here, under the lock, or by that request
    afterwards (_close_if_replaced).
    """
    payments.lock(payment.id)
    while (attempt := payments.current_attempt(payment.id)).session_status == "open":
        db.session.commit()
        reconcile.close(attempt)
        payments.lock(payment.id)
    payment.replaced_at = clock.now()
    db.session.commit()


def _open(details: Details, form_key: bytes) -> Payment | None:
    """Commit a new payment; None if a request beside this one has just opened one from the form."""
    try:
        payment = payments.open_payment(details, form_key)
        db.session.commit()
    except IntegrityError as error:
        if not isinstance(error.orig, UniqueViolation):
            raise
        db.session.rollback()
        return None
    return payment


def _is_payable(attempt: Attempt) -> bool:
    return attempt.session_status == "open" and clock.now() < attempt.expires_at


def _after_closed(attempt: Attempt) -> Attempt:
    """A session is over, or should be: then ask what became of it, and try anew if it expired."""
    if attempt.session_status == "open":
        db.session.commit()
        reconcile.close(attempt)
        attempt = payments.current_attempt(attempt.payment_id)
    return _next_attempt(attempt) if _has_failed(attempt) else attempt


def _has_failed(attempt: Attempt) -> bool:
    return attempt.session_status == "expired" or (
        attempt.delayed_failure and attempt.session_payment_status == "unpaid"
    )


def _next_attempt(attempt: Attempt) -> Attempt:
    """The attempt that follows this one, made now unless a request beside this one has made it."""
    payment = payments.lock(attempt.payment_id)
    current = payments.current_attempt(payment.id)
    if current.id == attempt.id:
        current = _supersede(payment, current)
    db.session.commit()
    return current


def _supersede(payment: Payment, attempt: Attempt) -> Attempt:
    attempt.superseded_at = clock.now()
    db.session.flush()
    return payments.add_attempt(payment, attempt.number + 1)


def _ask_for_session(attempt: Attempt) -> Attempt:
    """Ask Stripe for the attempt's session, or wait for the request that is asking already."""
    claimed_at = _claim(attempt)
    if claimed_at is None:
        return _wait_for_session(attempt)
    try:
        answer = gateway.create_session(attempt.parameters, idempotency_key=str(attempt.id))
    except gateway.GatewayError as error:
        _release(attempt, claimed_at, for_good=error.permanent)
        raise
    reconcile.record_answer(attempt, answer, "checkout")
    return _close_if_replaced(attempt.payment_id)


def _close_if_replaced(payment_id: UUID) -> Attempt:
    """The attempt that stands now; closed, if the form was sent with other content meanwhile."""
    attempt, payment = payments.current_attempt(payment_id), payments.get(payment_id)
    db.session.commit()
    if payment.replaced_at is None or attempt.session_status != "open":
        return attempt
    reconcile.close(attempt)
    return payments.current_attempt(payment_id)


def _claim(attempt: Attempt) -> datetime | None:
    """Claim the attempt for this request: the claim's time, or None if another's holds.

    A claim lapses, since its holder may have died.
    """
    now = clock.now()
    claimed = db.session.execute(
        update(Attempt)
        .where(
            Attempt.id == attempt.id,
            Attempt.session_id.is_(None),
            Attempt.superseded_at.is_(None),
            or_(Attempt.claimed_at.is_(None), Attempt.claimed_at < now - CLAIM_LIFETIME),
        )
        .values(claimed_at=now)
        .returning(Attempt.id)
    ).one_or_none()
    db.session.commit()
    return now if claimed else None


def _release(attempt: Attempt, claimed_at: datetime, *, for_good: bool) -> None:
    """Let the customer's next try go on at once, unless the claim has passed to somebody else.

    `for_good`: Stripe would answer the same again under this key, so that the next try needs a new
    one; a session made all the same is harmless, since nobody was given its address.
    """
    payment = payments.lock(attempt.payment_id)
    current = payments.current_attempt(payment.id)
    if current.id == attempt.id and not current.session_id and current.claimed_at == claimed_at:
        current.claimed_at = None
        if for_good:
            _supersede(payment, current)
    db.session.commit()


def _wait_for_session(attempt: Attempt) -> Attempt:
    """Look until the session is there, no transaction open in between. Raises StillOpening."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        attempt = payments.current_attempt(attempt.payment_id)
        db.session.commit()
        if attempt.session_id:
            return attempt
        if attempt.claimed_at is None:
            raise gateway.GatewayError("the request that asked for the session was refused")
        # The request that holds the attempt is another's: nothing could wake this one.
        time.sleep(LOOK_EVERY)
    raise StillOpening(attempt.payment_id)
