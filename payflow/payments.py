"""Payments: opened from a form, recorded from facts.

`record_session` is the one way by which what Stripe says reaches a payment: lock → merge → derive
status → timeline → letters. Webhook, checkout and retrieval go through it. Nothing here commits.
"""

import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import bindparam, select, update

from payflow import clock, emails, timeline
from payflow.config import current_settings
from payflow.db import AnyRow, db
from payflow.facts import Asked, SessionFacts, merge, metadata, read_session
from payflow.models import ATTEMPTS, PAYMENTS, Attempt, Payment
from payflow.status import PAYABLE, payment_status

log = logging.getLogger(__name__)

FACT_COLUMNS = (
    ATTEMPTS.c.session_id,
    ATTEMPTS.c.session_url,
    ATTEMPTS.c.session_status,
    ATTEMPTS.c.session_payment_status,
    ATTEMPTS.c.payment_intent_id,
    ATTEMPTS.c.paid_at,
    ATTEMPTS.c.delayed_failure,
    ATTEMPTS.c.disagreements,
)

# Stripe takes 24 h at most, counted by its own clock; the rest is for clocks that disagree.
SESSION_LIFETIME = timedelta(hours=23, minutes=50)

# Without letters and digits that are mistaken for one another.
RECEIPT_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True)
class Details:
    """What a customer fills in. Amount in minor units of the currency, which is in lower case."""

    amount: int
    currency: str
    description: str
    reference: str
    name: str
    email: str


class UnknownPayment(LookupError):
    """Facts name a payment or an attempt that we don't have."""


def open_payment(details: Details, form_key: bytes) -> Payment:
    """A new payment with its first attempt, in the session; flushed, so that a second payment
    of the same form raises IntegrityError here."""
    settings = current_settings()
    payment = Payment(
        id=uuid4(),
        receipt_number=_receipt_number(),
        form_key=form_key,
        livemode=settings.livemode,
        created_at=clock.now(),
        status="created",
        **vars(details),
    )
    db.session.add(payment)
    db.session.flush()
    timeline.note(payment.id, {"payment": "created"}, "the customer")
    add_attempt(payment, number=1)
    return payment


def add_attempt(payment: Payment, number: int) -> Attempt:
    """The next attempt at a payment: the exact parameters that Stripe will be sent."""
    now, attempt_id = clock.now(), uuid4()
    attempt = Attempt(
        id=attempt_id,
        payment_id=payment.id,
        number=number,
        created_at=now,
        claimed_at=None,
        expires_at=now + SESSION_LIFETIME,
        parameters=session_parameters(payment, attempt_id, now + SESSION_LIFETIME),
    )
    db.session.add(attempt)
    db.session.flush()
    return attempt


def session_parameters(payment: Payment, attempt_id: UUID, expires_at: datetime) -> dict[str, Any]:
    """What Stripe is asked for when a Checkout Session is created."""
    settings = current_settings()
    page = f"{settings.public_url}/payments/{payment.id}"
    mark = metadata(payment.id, attempt_id)
    return {
        "mode": "payment",
        "line_items": [
            {
                "quantity": 1,
                "price_data": {
                    "currency": payment.currency,
                    "unit_amount": payment.amount,
                    "product_data": {"name": payment.description},
                },
            }
        ],
        "customer_email": payment.email,
        "client_reference_id": str(payment.id),
        "metadata": mark,
        # Session metadata is not copied to the PaymentIntent.
        "payment_intent_data": {
            "metadata": mark,
            "description": f"{payment.description} ({payment.receipt_number})",
        },
        # Else the customer may pay in a currency that was not asked for.
        "adaptive_pricing": {"enabled": False},
        "expires_at": int(expires_at.timestamp()),
        "success_url": f"{page}?from=stripe",
        "cancel_url": f"{page}?from=back",
        "submit_type": "pay",
    }


def of_form(form_key: bytes) -> Payment | None:
    """The payment that a form opened, unless it was sent again with other content since."""
    return db.session.scalar(
        select(Payment).where(Payment.form_key == form_key, Payment.replaced_at.is_(None))
    )


def get(payment_id: UUID) -> Payment:
    """The payment, read anew."""
    return db.session.get_one(Payment, payment_id, populate_existing=True)


def can_be_paid(payment: Payment | AnyRow) -> bool:
    """Whether the customer may go (back) to Stripe's page.

    Not if the form was sent again with other content, and not for a test payment under a live key.
    """
    settings = current_settings()
    return (
        payment.status in PAYABLE
        and payment.replaced_at is None
        and payment.livemode == settings.livemode
    )


def current_attempt(payment_id: UUID) -> Attempt:
    """The one attempt of a payment that is not superseded, read anew."""
    return db.session.execute(
        select(Attempt)
        .where(Attempt.payment_id == payment_id, Attempt.superseded_at.is_(None))
        .execution_options(populate_existing=True)
    ).scalar_one()


def lock(payment_id: UUID) -> Payment:
    """The payment, locked to the end of the transaction; raises UnknownPayment.

    NO KEY UPDATE: a plain FOR UPDATE deadlocks with the foreign key of another event's insert.
    """
    payment = db.session.execute(
        select(Payment)
        .where(Payment.id == payment_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()
    if payment is None:
        raise UnknownPayment(f"payment {payment_id}")
    return payment


def record_session(
    payment_id: UUID,
    attempt_id: UUID,
    session: Mapping[str, Any],
    told_at: datetime,
    source: str,
    delayed_failure: bool = False,
) -> None:
    """Merge what Stripe says of an attempt's Checkout Session, and all that follows from it.

    `session` is Stripe's object, `told_at` Stripe's time of saying it, `source` who brought it.
    Locks the payment before it reads. Raises UnknownPayment, and facts.Unreadable.
    """
    payment = _lock_row(payment_id)
    attempts = _attempt_facts(payment_id)
    if attempt_id not in attempts:
        raise UnknownPayment(f"attempt {attempt_id} of payment {payment_id}")
    asked = Asked(payment.amount, payment.currency, payment.livemode)
    told = read_session(session, asked, told_at, delayed_failure)
    merged = merge(attempts[attempt_id], told)
    if merged == attempts[attempt_id]:
        log.info("payment %s: nothing changed by %s", payment.receipt_number, source)
        return
    attempts[attempt_id] = merged
    _store_facts(attempt_id, merged)
    _store_status(payment, list(attempts.values()), merged, source)


# From here on Core statements instead of objects, and made once: this is the webhook's way, and the
# ORM's unit of work, or building a statement anew, costs it half of its speed (see `make bench`).
LOCK = (
    select(
        PAYMENTS.c.id,
        PAYMENTS.c.receipt_number,
        PAYMENTS.c.amount,
        PAYMENTS.c.currency,
        PAYMENTS.c.livemode,
        PAYMENTS.c.email,
        PAYMENTS.c.status,
        PAYMENTS.c.paid_at,
    )
    .where(PAYMENTS.c.id == bindparam("payment_id"))
    .with_for_update(key_share=True)
)
ATTEMPTS_OF = select(ATTEMPTS.c.id, *FACT_COLUMNS).where(
    ATTEMPTS.c.payment_id == bindparam("payment_id")
)
STORE_FACTS = update(ATTEMPTS).where(ATTEMPTS.c.id == bindparam("attempt_id"))
STORE_STATUS = update(PAYMENTS).where(PAYMENTS.c.id == bindparam("payment_id"))


def _lock_row(payment_id: UUID) -> AnyRow:
    row = db.session.execute(LOCK, {"payment_id": payment_id}).one_or_none()
    if row is None:
        raise UnknownPayment(f"payment {payment_id}")
    return row


def _attempt_facts(payment_id: UUID) -> dict[UUID, SessionFacts | None]:
    rows = db.session.execute(ATTEMPTS_OF, {"payment_id": payment_id})
    return {row.id: _facts_of(row) if row.session_id else None for row in rows}


def _facts_of(row: AnyRow) -> SessionFacts:
    return SessionFacts(
        session_id=row.session_id,
        status=row.session_status,
        payment_status=row.session_payment_status,
        url=row.session_url,
        payment_intent_id=row.payment_intent_id,
        paid_at=row.paid_at,
        delayed_failure=row.delayed_failure,
        disagreements=frozenset(row.disagreements),
    )


def _store_facts(attempt_id: UUID, facts: SessionFacts) -> None:
    db.session.execute(
        STORE_FACTS,
        {
            "attempt_id": attempt_id,
            "session_id": facts.session_id,
            "session_url": facts.url,
            "session_status": facts.status,
            "session_payment_status": facts.payment_status,
            "payment_intent_id": facts.payment_intent_id,
            "paid_at": facts.paid_at,
            "delayed_failure": facts.delayed_failure,
            "disagreements": sorted(facts.disagreements),
        },
    )


def _store_status(
    payment: AnyRow, sessions: Sequence[SessionFacts | None], news: SessionFacts, source: str
) -> None:
    """Derive the status anew and store it; a change of it is noted and calls for letters."""
    status = payment_status(sessions)
    paid_at = min((s.paid_at for s in sessions if s and s.paid_at), default=None)
    if (status, paid_at) != (payment.status, payment.paid_at):
        db.session.execute(
            STORE_STATUS, {"payment_id": payment.id, "status": status, "paid_at": paid_at}
        )
    happened = {news.session_id: f"session {news.status}, {news.payment_status}"}
    if status != payment.status:
        happened["payment"] = status
        log.info(
            "payment %s: %s → %s by %s", payment.receipt_number, payment.status, status, source
        )
    if status == "review":
        log.error("payment %s is in review: %s", payment.receipt_number, sorted(news.disagreements))
    timeline.note(payment.id, happened, source)
    if status == "paid" and payment.status != "paid":
        owner = current_settings().alert_email
        emails.queue_letters(payment.id, emails.owed_when_paid(payment.email, owner))


def _receipt_number() -> str:
    letters = "".join(secrets.choice(RECEIPT_ALPHABET) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"
