"""The tables, and the constraints by which Postgres guarantees what must hold.

Columns that only `payments.record_session` may write say so: a status is derived from facts.
Money is in minor units beside its currency; times are UTC.
"""

from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship

from payflow.db import Base

Time = DateTime(timezone=True)

STATUSES = (
    "created",
    "open",
    "processing",
    "paid",
    "partially_refunded",
    "refunded",
    "failed",
    "expired",
    "canceled",
    "review",
)


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Payment(Base):
    """What somebody means to pay, and the state it is in. One row is all a status poll reads."""

    __tablename__ = "payments"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    receipt_number: Mapped[str] = mapped_column(Text, unique=True)
    # Of the form it came from; a form that is sent twice finds its payment by it.
    form_key: Mapped[bytes] = mapped_column(LargeBinary)
    # Set when the same form was sent again with other content.
    replaced_at: Mapped[datetime | None] = mapped_column(Time)
    livemode: Mapped[bool]
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    reference: Mapped[str] = mapped_column(Text)
    name: Mapped[str] = mapped_column(Text)
    email: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Time)
    # Written by payments.record_session alone.
    status: Mapped[str] = mapped_column(Text, default="created")
    paid_at: Mapped[datetime | None] = mapped_column(Time)

    __table_args__ = (
        CheckConstraint(_one_of("status", STATUSES), name="status_known"),
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint("currency ~ '^[a-z]{3}$'", name="currency_code"),
        CheckConstraint("status <> 'paid' OR paid_at IS NOT NULL", name="paid_has_time"),
        Index(
            "uq_payments_form_key_current",
            "form_key",
            unique=True,
            postgresql_where=text("replaced_at IS NULL"),
        ),
    )


class Attempt(Base):
    """One Checkout Session, or the intention of one: what Stripe is asked, and what it has said."""

    __tablename__ = "attempts"

    # Also the idempotency key under which Stripe is asked for the session.
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.id"))
    number: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(Time)
    expires_at: Mapped[datetime] = mapped_column(Time)
    # The exact parameters, their order too (JSONB would sort them): a retry sends the same bytes.
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    # The request that is asking Stripe now claims the attempt by this time.
    claimed_at: Mapped[datetime | None] = mapped_column(Time)
    superseded_at: Mapped[datetime | None] = mapped_column(Time)
    # What Stripe has said of the session: registers, merged by facts.merge and written by
    # payments.record_session alone.
    session_id: Mapped[str | None] = mapped_column(Text, unique=True)
    session_url: Mapped[str | None] = mapped_column(Text)
    session_status: Mapped[str | None] = mapped_column(Text)
    session_payment_status: Mapped[str | None] = mapped_column(Text)
    payment_intent_id: Mapped[str | None] = mapped_column(Text, unique=True)
    paid_at: Mapped[datetime | None] = mapped_column(Time)
    delayed_failure: Mapped[bool] = mapped_column(default=False)
    # In words, what Stripe said that disagrees with what was asked for.
    disagreements: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)

    __table_args__ = (
        UniqueConstraint("payment_id", "number"),
        CheckConstraint("number > 0", name="number_positive"),
        CheckConstraint(
            _one_of("session_status", ("open", "expired", "complete")), name="session_status_known"
        ),
        CheckConstraint(
            _one_of("session_payment_status", ("unpaid", "paid", "no_payment_required")),
            name="session_payment_status_known",
        ),
        CheckConstraint(
            "(session_id IS NULL) = (session_status IS NULL) AND "
            "(session_id IS NULL) = (session_payment_status IS NULL)",
            name="session_facts_together",
        ),
        Index(
            "uq_attempts_payment_id_current",
            "payment_id",
            unique=True,
            postgresql_where=text("superseded_at IS NULL"),
        ),
    )


class StripeEvent(Base):
    """An event that Stripe delivered, kept once by its id."""

    __tablename__ = "stripe_events"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    type: Mapped[str] = mapped_column(Text)
    # As delivered, unparsed: JSONB would refuse \u0000. Null for events of other integrations.
    payload: Mapped[Any | None] = mapped_column(JSON(none_as_null=True))
    payment_id: Mapped[UUID | None] = mapped_column(ForeignKey("payments.id"), index=True)
    received_at: Mapped[datetime] = mapped_column(Time)
    # recorded: merged into the payment. ignored: of a type that tells nothing we keep. foreign: of
    # another integration on the same Stripe account. unmatched: of a payment that is not here.
    outcome: Mapped[str | None] = mapped_column(Text)
    handled_at: Mapped[datetime | None] = mapped_column(Time)
    error: Mapped[str | None] = mapped_column(Text)
    tries: Mapped[int] = mapped_column(default=1)
    next_try_at: Mapped[datetime | None] = mapped_column(Time)

    __table_args__ = (
        CheckConstraint(
            _one_of("outcome", ("recorded", "ignored", "foreign", "unmatched")),
            name="outcome_known",
        ),
        CheckConstraint("(handled_at IS NULL) = (outcome IS NULL)", name="handled_has_outcome"),
        CheckConstraint(
            "(handled_at IS NULL) = (next_try_at IS NOT NULL)", name="unhandled_has_next_try"
        ),
        CheckConstraint("(handled_at IS NULL) = (error IS NOT NULL)", name="unhandled_has_error"),
        Index(
            "ix_stripe_events_next_try_at_unhandled",
            "next_try_at",
            postgresql_where=text("handled_at IS NULL"),
        ),
    )


class TimelineEntry(Base):
    """What happened to a payment, when, and who said so. Append-only."""

    __tablename__ = "timeline_entries"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.id"))
    at: Mapped[datetime] = mapped_column(Time)
    # What it happened to: "payment", Stripe's id of a session, or "email" and its kind.
    subject: Mapped[str] = mapped_column(Text)
    happened: Mapped[str] = mapped_column(Text)
    source: Mapped[str] = mapped_column(Text)

    __table_args__ = (UniqueConstraint("payment_id", "subject", "happened"),)


class Email(Base):
    """A letter owed to somebody, at most one per payment, kind and object."""

    __tablename__ = "emails"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.id"))
    kind: Mapped[str] = mapped_column(Text)
    # The object it is about, where a payment can have several of them; else empty.
    about: Mapped[str] = mapped_column(Text, default="")
    recipient: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="queued")
    tries: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Time)
    sent_at: Mapped[datetime | None] = mapped_column(Time)

    payment: Mapped[Payment] = relationship()

    __table_args__ = (
        UniqueConstraint("payment_id", "kind", "about"),
        CheckConstraint(
            _one_of("state", ("queued", "sent", "skipped", "failed")), name="state_known"
        ),
        CheckConstraint("(state = 'sent') = (sent_at IS NOT NULL)", name="sent_has_time"),
    )


# For statements that are made once, on the webhook's way.
PAYMENTS, ATTEMPTS, EVENTS, EMAILS, TIMELINE = (
    cast(Table, model.__table__) for model in (Payment, Attempt, StripeEvent, Email, TimelineEntry)
)
