"""The tables, and the constraints by which Postgres guarantees what must hold.

Columns that only `record.py` may write say so: a status is derived from facts.
Money is in minor units beside its currency; times are UTC.
"""

from collections.abc import Iterable
from datetime import date, datetime
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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from payflow.db import Base
from payflow.facts.attempts import PAYMENT_RANK, SESSION_RANK
from payflow.facts.disputes import DISPUTE_RANK
from payflow.facts.refunds import REFUND_RANK

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
OUTCOMES = ("recorded", "ignored", "foreign", "unmatched", "unreadable")
LETTER_STATES = ("queued", "sent", "skipped", "failed")

# Of an array as of JSON.
EMPTY = text("'{}'")


def _one_of(column: str, values: Iterable[str]) -> str:
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
    # The form's: letters to the customer are in it.
    language: Mapped[str] = mapped_column(Text, default="en", server_default=text("'en'"))
    created_at: Mapped[datetime] = mapped_column(Time)
    # What the facts come to (status.py), written by record.py alone.
    status: Mapped[str] = mapped_column(Text, default="created")
    paid_at: Mapped[datetime | None] = mapped_column(Time)
    captured: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    refunded: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    # Stripe's status of the gravest dispute, and the code of the latest decline.
    dispute: Mapped[str | None] = mapped_column(Text)
    last_decline: Mapped[str | None] = mapped_column(Text)
    # When the sweep asks Stripe about it next; null where Stripe has no more to say.
    next_check_at: Mapped[datetime | None] = mapped_column(Time)
    # The sweep, and no webhook, brought a status that Stripe had to tell.
    found_by_sweep_at: Mapped[datetime | None] = mapped_column(Time)
    # The customer's page has had Stripe asked: when last, and how often since the customer left.
    page_check_at: Mapped[datetime | None] = mapped_column(Time)
    page_checks: Mapped[int] = mapped_column(default=0, server_default=text("0"))

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
        CheckConstraint("captured >= 0 AND refunded >= 0", name="amounts_not_negative"),
        Index("ix_payments_created_at_id", "created_at", "id"),
        Index(
            "ix_payments_next_check_at_due",
            "next_check_at",
            postgresql_where=text("next_check_at IS NOT NULL"),
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
    # What Stripe has said of the session and its PaymentIntent: registers, merged by
    # facts/attempts.py, which says what each means, and written by record.py alone.
    session_id: Mapped[str | None] = mapped_column(Text, unique=True)
    session_url: Mapped[str | None] = mapped_column(Text)
    session_status: Mapped[str | None] = mapped_column(Text)
    session_payment_status: Mapped[str | None] = mapped_column(Text)
    payment_intent_id: Mapped[str | None] = mapped_column(Text, unique=True)
    paid_at: Mapped[datetime | None] = mapped_column(Time)
    delayed_failure: Mapped[bool] = mapped_column(default=False)
    intent_confirmed: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    charge_id: Mapped[str | None] = mapped_column(Text, unique=True)
    received: Mapped[int | None] = mapped_column(BigInteger)
    declined_at: Mapped[datetime | None] = mapped_column(Time)
    decline: Mapped[str | None] = mapped_column(Text)
    other_sessions: Mapped[list[str]] = mapped_column(
        ARRAY(Text), default=list, server_default=EMPTY
    )
    other_intents: Mapped[list[str]] = mapped_column(
        ARRAY(Text), default=list, server_default=EMPTY
    )
    # Claim → Unix time of Stripe's last telling it.
    claims: Mapped[dict[str, int]] = mapped_column(JSONB, default=dict, server_default=EMPTY)
    confirmed_at: Mapped[datetime | None] = mapped_column(Time)
    accepted: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list, server_default=EMPTY)
    canceled_at: Mapped[datetime | None] = mapped_column(Time)
    abandoned_at: Mapped[datetime | None] = mapped_column(Time)
    # The claims that stand: why the payment is in review.
    disagreements: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)

    __table_args__ = (
        UniqueConstraint("payment_id", "number"),
        CheckConstraint("number > 0", name="number_positive"),
        CheckConstraint(_one_of("session_status", SESSION_RANK), name="session_status_known"),
        CheckConstraint(
            _one_of("session_payment_status", PAYMENT_RANK), name="session_payment_status_known"
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
    # another integration on the same Stripe account. unmatched: of a payment that is not here, or
    # whose PaymentIntent is not known yet. unreadable: kept, and its object asked for at Stripe.
    outcome: Mapped[str | None] = mapped_column(Text)
    handled_at: Mapped[datetime | None] = mapped_column(Time)
    error: Mapped[str | None] = mapped_column(Text)
    tries: Mapped[int] = mapped_column(default=1)
    # Of what is unhandled: when it is handled again. Else: when Stripe is asked what it is about.
    next_try_at: Mapped[datetime | None] = mapped_column(Time)
    # Of what is unmatched: by which its payment will be known.
    payment_intent_id: Mapped[str | None] = mapped_column(Text)
    charge_id: Mapped[str | None] = mapped_column(Text)

    @property
    def state(self) -> str:
        return self.outcome or "unhandled"

    __table_args__ = (
        CheckConstraint(_one_of("outcome", OUTCOMES), name="outcome_known"),
        CheckConstraint("(handled_at IS NULL) = (outcome IS NULL)", name="handled_has_outcome"),
        CheckConstraint(
            "handled_at IS NOT NULL OR next_try_at IS NOT NULL", name="unhandled_has_next_try"
        ),
        CheckConstraint(
            "(handled_at IS NULL OR outcome = 'unreadable') = (error IS NOT NULL)",
            name="unhandled_has_error",
        ),
        *(
            Index(
                f"ix_stripe_events_{column}_unmatched",
                column,
                postgresql_where=text("outcome = 'unmatched'"),
            )
            for column in ("payment_intent_id", "charge_id")
        ),
        Index("ix_stripe_events_received_at", "received_at"),
        Index(
            "ix_stripe_events_next_try_at_handled",
            "next_try_at",
            postgresql_where=text("handled_at IS NOT NULL AND next_try_at IS NOT NULL"),
        ),
        Index(
            "ix_stripe_events_next_try_at_unhandled",
            "next_try_at",
            postgresql_where=text("handled_at IS NULL"),
        ),
    )


class Refund(Base):
    """Money on its way back: asked for by payflow, or made in Stripe's Dashboard."""

    __tablename__ = "refunds"

    # Of a refund that payflow asks for, also the idempotency key.
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.id"), index=True)
    attempt_id: Mapped[UUID] = mapped_column(ForeignKey("attempts.id"))
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Time)
    # Who asked payflow for it; null of one that was made elsewhere.
    requested_by: Mapped[str | None] = mapped_column(Text)
    # Why it was not made: Stripe's words, or that the request never reached Stripe.
    refusal: Mapped[str | None] = mapped_column(Text)
    # Stripe's word (facts/refunds.py), written by record.py alone; null until there is any.
    refund_id: Mapped[str | None] = mapped_column(Text, unique=True)
    status: Mapped[str | None] = mapped_column(Text)
    told_at: Mapped[datetime | None] = mapped_column(Time)
    failure_reason: Mapped[str | None] = mapped_column(Text)

    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_positive"),
        CheckConstraint(_one_of("status", REFUND_RANK), name="status_known"),
        CheckConstraint(
            "(refund_id IS NULL) = (status IS NULL) AND (refund_id IS NULL) = (told_at IS NULL)",
            name="facts_together",
        ),
        CheckConstraint("refund_id IS NOT NULL OR requested_by IS NOT NULL", name="has_origin"),
        CheckConstraint("refusal IS NULL OR refund_id IS NULL", name="refused_or_made"),
    )


class Dispute(Base):
    """The customer's bank asks for the money back, or first inquires. Written by record.py alone;
    facts/disputes.py says what each column means."""

    __tablename__ = "disputes"

    dispute_id: Mapped[str] = mapped_column(Text, primary_key=True)
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.id"), index=True)
    attempt_id: Mapped[UUID] = mapped_column(ForeignKey("attempts.id"))
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    told_at: Mapped[datetime] = mapped_column(Time)
    due_by: Mapped[datetime | None] = mapped_column(Time)
    balance_count: Mapped[int]
    withdrawn: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (CheckConstraint(_one_of("status", DISPUTE_RANK), name="status_known"),)


class SweepState(Base):
    """How far the sweep has come: one row."""

    __tablename__ = "sweep_state"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    # Up to when Stripe's event list has been read, and how many events it told that had not come.
    events_read_to: Mapped[datetime | None] = mapped_column(Time)
    events_missed: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    # Where the walk over old payments stands; null where none is under way.
    walked_to: Mapped[datetime | None] = mapped_column(Time)
    # Stripe has asked for a pause until then.
    paused_until: Mapped[datetime | None] = mapped_column(Time)
    # How often Stripe was asked, and on which day.
    reads: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    reads_on: Mapped[date | None]

    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)


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
    """A letter owed to somebody, at most one per payment, kind and object. Without a payment: to
    the operator, about the installation."""

    __tablename__ = "emails"

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    payment_id: Mapped[UUID | None] = mapped_column(ForeignKey("payments.id"))
    kind: Mapped[str] = mapped_column(Text)
    # The object it is about, where a payment can have several of them; else empty.
    about: Mapped[str] = mapped_column(Text, default="")
    recipient: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text, default="queued")
    tries: Mapped[int] = mapped_column(default=0)
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Time)
    sent_at: Mapped[datetime | None] = mapped_column(Time)
    # How often it was sent again by hand: each time under a Message-ID of its own.
    resends: Mapped[int] = mapped_column(default=0, server_default=text("0"))

    payment: Mapped[Payment | None] = relationship()

    __table_args__ = (
        UniqueConstraint("payment_id", "kind", "about", postgresql_nulls_not_distinct=True),
        CheckConstraint(_one_of("state", LETTER_STATES), name="state_known"),
        CheckConstraint("(state = 'sent') = (sent_at IS NOT NULL)", name="sent_has_time"),
    )


# For statements that are made once, on the webhook's way.
PAYMENTS, ATTEMPTS, EVENTS, EMAILS, TIMELINE, REFUNDS, DISPUTES, SWEEP = (
    cast(Table, model.__table__)
    for model in (
        Payment, Attempt, StripeEvent, Email, TimelineEntry, Refund, Dispute, SweepState
    )
)  # fmt: skip
