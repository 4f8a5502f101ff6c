"""Payments, their attempts, Stripe's events, timelines and letters.

Revision ID: 0001
Revises: nothing
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "payments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("receipt_number", sa.Text(), nullable=False),
        sa.Column("form_key", sa.LargeBinary(), nullable=False),
        sa.Column("replaced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("livemode", sa.Boolean(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("currency ~ '^[a-z]{3}$'", name="ck_payments_currency_code"),
        sa.CheckConstraint(
            "status <> 'paid' OR paid_at IS NOT NULL", name="ck_payments_paid_has_time"
        ),
        sa.CheckConstraint(
            "status IN ('created', 'open', 'processing', 'paid', 'partially_refunded', 'refunded', 'failed', 'expired', 'canceled', 'review')",
            name="ck_payments_status_known",
        ),
        sa.CheckConstraint("amount > 0", name="ck_payments_amount_positive"),
        sa.PrimaryKeyConstraint("id", name="pk_payments"),
        sa.UniqueConstraint("receipt_number", name="uq_payments_receipt_number"),
    )
    op.create_index(
        "uq_payments_form_key_current",
        "payments",
        ["form_key"],
        unique=True,
        postgresql_where=sa.text("replaced_at IS NULL"),
    )

    op.create_table(
        "attempts",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("parameters", sa.JSON(), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("superseded_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("session_id", sa.Text(), nullable=True),
        sa.Column("session_url", sa.Text(), nullable=True),
        sa.Column("session_status", sa.Text(), nullable=True),
        sa.Column("session_payment_status", sa.Text(), nullable=True),
        sa.Column("payment_intent_id", sa.Text(), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("delayed_failure", sa.Boolean(), nullable=False),
        sa.Column("disagreements", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.CheckConstraint(
            "session_payment_status IN ('unpaid', 'paid', 'no_payment_required')",
            name="ck_attempts_session_payment_status_known",
        ),
        sa.CheckConstraint(
            "session_status IN ('open', 'expired', 'complete')",
            name="ck_attempts_session_status_known",
        ),
        sa.CheckConstraint(
            "(session_id IS NULL) = (session_status IS NULL) AND (session_id IS NULL) = (session_payment_status IS NULL)",
            name="ck_attempts_session_facts_together",
        ),
        sa.CheckConstraint("number > 0", name="ck_attempts_number_positive"),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name="fk_attempts_payment_id_payments"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_attempts"),
        sa.UniqueConstraint("payment_id", "number", name="uq_attempts_payment_id_number"),
        sa.UniqueConstraint("payment_intent_id", name="uq_attempts_payment_intent_id"),
        sa.UniqueConstraint("session_id", name="uq_attempts_session_id"),
    )
    op.create_index(
        "uq_attempts_payment_id_current",
        "attempts",
        ["payment_id"],
        unique=True,
        postgresql_where=sa.text("superseded_at IS NULL"),
    )

    op.create_table(
        "emails",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'sent') = (sent_at IS NOT NULL)", name="ck_emails_sent_has_time"
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'sent', 'skipped', 'failed')", name="ck_emails_state_known"
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name="fk_emails_payment_id_payments"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_emails"),
        sa.UniqueConstraint("payment_id", "kind", "about", name="uq_emails_payment_id_kind_about"),
    )
    op.create_table(
        "stripe_events",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=True),
        sa.Column("payment_id", sa.Uuid(), nullable=True),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('recorded', 'ignored', 'foreign', 'unmatched')",
            name="ck_stripe_events_outcome_known",
        ),
        sa.CheckConstraint(
            "(handled_at IS NULL) = (error IS NOT NULL)",
            name="ck_stripe_events_unhandled_has_error",
        ),
        sa.CheckConstraint(
            "(handled_at IS NULL) = (next_try_at IS NOT NULL)",
            name="ck_stripe_events_unhandled_has_next_try",
        ),
        sa.CheckConstraint(
            "(handled_at IS NULL) = (outcome IS NULL)", name="ck_stripe_events_handled_has_outcome"
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name="fk_stripe_events_payment_id_payments"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_stripe_events"),
    )
    op.create_index(
        "ix_stripe_events_next_try_at_unhandled",
        "stripe_events",
        ["next_try_at"],
        unique=False,
        postgresql_where=sa.text("handled_at IS NULL"),
    )
    op.create_index("ix_stripe_events_payment_id", "stripe_events", ["payment_id"], unique=False)

    op.create_table(
        "timeline_entries",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("happened", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name="fk_timeline_entries_payment_id_payments"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_timeline_entries"),
        sa.UniqueConstraint(
            "payment_id",
            "subject",
            "happened",
            name="uq_timeline_entries_payment_id_subject_happened",
        ),
    )


def downgrade() -> None:
    op.drop_table("timeline_entries")

    op.drop_table("stripe_events")
    op.drop_table("emails")

    op.drop_table("attempts")

    op.drop_table("payments")
