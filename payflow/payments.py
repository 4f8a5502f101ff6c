"""Payments: opened from a form, found again, locked. Nothing here commits.

What Stripe says of one reaches it through record.py alone.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import bindparam, func, select

from payflow import clock, i18n, timeline
from payflow.config import current_settings
from payflow.db import AnyRow, db
from payflow.event_types import Named
from payflow.facts.objects import metadata
from payflow.known import UnknownPayment
from payflow.models import ATTEMPTS, PAYMENTS, REFUNDS, Attempt, Payment
from payflow.record import FIRST_CHECK
from payflow.status import PAYABLE

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


def open_payment(details: Details, form_key: bytes) -> Payment:
    """A new payment with its first attempt, in the session; flushed, so that a second payment
    of the same form raises IntegrityError here."""
    settings = current_settings()
    payment = Payment(
        id=uuid4(),
        receipt_number=_receipt_number(),
        form_key=form_key,
        livemode=settings.livemode,
        language=i18n.language(),
        created_at=clock.now(),
        status="created",
        **vars(details),
    )
    db.session.add(payment)
    db.session.flush()
    timeline.note(payment.id, [("payment", "created")], "the customer")
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
    payment.next_check_at = payment.next_check_at or now + FIRST_CHECK
    payment.page_checks = 0
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


# The payment that an object of Stripe's belongs to: by our id in its metadata, else by the money
# that it is about. Takes the parameters of `params_of`.
NAMED = func.coalesce(
    select(PAYMENTS.c.id).where(PAYMENTS.c.id == bindparam("of_payment")).scalar_subquery(),
    select(ATTEMPTS.c.payment_id)
    .where(ATTEMPTS.c.payment_intent_id == bindparam("of_intent"))
    .scalar_subquery(),
    select(ATTEMPTS.c.payment_id)
    .where(ATTEMPTS.c.charge_id == bindparam("of_charge"))
    .scalar_subquery(),
    select(REFUNDS.c.payment_id).where(REFUNDS.c.id == bindparam("of_request")).scalar_subquery(),
)
FIND = select(NAMED)


def params_of(named: Named) -> dict[str, Any]:
    """The parameters of a statement with NAMED in it."""
    return {
        "of_payment": named.payment_id,
        "of_intent": named.intent_id,
        "of_charge": named.charge_id,
        "of_request": named.request_id,
    }


def find(named: Named) -> UUID | None:
    """The payment that an object of Stripe's belongs to, as far as we know."""
    found: UUID | None = db.session.scalar(FIND, params_of(named))
    return found


def by_receipt(receipt_number: str) -> Payment:
    """The payment of a receipt number, in any case, its hyphen or not. Raises UnknownPayment."""
    plain = receipt_number.strip().upper().replace("-", "")
    written = f"{plain[:4]}-{plain[4:]}"
    payment = db.session.scalar(select(Payment).where(Payment.receipt_number == written))
    if payment is None:
        raise UnknownPayment(f"There is no payment {receipt_number}.")
    return payment


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


def _receipt_number() -> str:
    letters = "".join(secrets.choice(RECEIPT_ALPHABET) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"
