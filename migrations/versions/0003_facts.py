"""Facts of PaymentIntents, refunds and disputes; unmatched events; what the sweep remembers.

All that is added has a default, so that the version before can go on serving; what that one records
meanwhile is completed by the next question to Stripe. Nothing had been released before it: it does
its work in one transaction, which on large tables would hold others up.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
TEXTS = postgresql.ARRAY(sa.Text())
NONE = sa.text("'{}'")
OUTCOMES = "'recorded', 'ignored', 'foreign', 'unmatched'"

ATTEMPTS = (
    sa.Column("intent_confirmed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    sa.Column("charge_id", sa.Text(), nullable=True),
    sa.Column("received", sa.BigInteger(), nullable=True),
    sa.Column("declined_at", TIME, nullable=True),
    sa.Column("decline", sa.Text(), nullable=True),
    sa.Column("other_sessions", TEXTS, server_default=NONE, nullable=False),
    sa.Column("other_intents", TEXTS, server_default=NONE, nullable=False),
    sa.Column("claims", postgresql.JSONB(), server_default=NONE, nullable=False),
    sa.Column("confirmed_at", TIME, nullable=True),
    sa.Column("accepted", TEXTS, server_default=NONE, nullable=False),
    sa.Column("canceled_at", TIME, nullable=True),
    sa.Column("abandoned_at", TIME, nullable=True),
)
PAYMENTS = (
    sa.Column("language", sa.Text(), server_default=sa.text("'en'"), nullable=False),
    sa.Column("captured", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    sa.Column("refunded", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    sa.Column("dispute", sa.Text(), nullable=True),
    sa.Column("last_decline", sa.Text(), nullable=True),
    sa.Column("next_check_at", TIME, nullable=True),
    sa.Column("found_by_sweep_at", TIME, nullable=True),
    sa.Column("page_check_at", TIME, nullable=True),
    sa.Column("page_checks", sa.Integer(), server_default=sa.text("0"), nullable=False),
)


# Made by 0001, which had the naming convention applied twice.
CHECKS = (
    ("payments", "currency_code paid_has_time status_known amount_positive"),
    ("attempts", "session_payment_status_known session_status_known session_facts_together"),
    ("attempts", "number_positive"),
    ("emails", "sent_has_time state_known"),
    ("stripe_events", "outcome_known unhandled_has_error unhandled_has_next_try"),
    ("stripe_events", "handled_has_outcome"),
)


def upgrade() -> None:
    _rename_checks("ck_{0}_ck_{0}_{1}", "ck_{0}_{1}")
    for column in ATTEMPTS:
        op.add_column("attempts", column)
    op.create_unique_constraint("uq_attempts_charge_id", "attempts", ["charge_id"])
    for column in PAYMENTS:
        op.add_column("payments", column)
    op.create_check_constraint(
        op.f("ck_payments_amounts_not_negative"), "payments", "captured >= 0 AND refunded >= 0"
    )
    op.create_index("ix_payments_created_at_id", "payments", ["created_at", "id"])
    op.create_index(
        "ix_payments_next_check_at_due",
        "payments",
        ["next_check_at"],
        postgresql_where=sa.text("next_check_at IS NOT NULL"),
    )
    _carry_over()
    _create_refunds()
    _create_disputes()
    op.create_table(
        "sweep_state",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("events_read_to", TIME, nullable=True),
        sa.Column("events_missed", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("walked_to", TIME, nullable=True),
        sa.Column("paused_until", TIME, nullable=True),
        sa.Column("reads", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("reads_on", sa.Date(), nullable=True),
        sa.CheckConstraint("id = 1", name=op.f("ck_sweep_state_one_row")),
        sa.PrimaryKeyConstraint("id", name="pk_sweep_state"),
    )
    _widen_events()
    op.alter_column("emails", "payment_id", nullable=True)
    op.add_column(
        "emails", sa.Column("resends", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.drop_constraint("uq_emails_payment_id_kind_about", "emails")
    op.create_unique_constraint(
        "uq_emails_payment_id_kind_about",
        "emails",
        ["payment_id", "kind", "about"],
        postgresql_nulls_not_distinct=True,
    )


def _rename_checks(before: str, after: str) -> None:
    for table, names in CHECKS:
        for name in names.split():
            old, new = before.format(table, name), after.format(table, name)
            op.execute(f"ALTER TABLE {table} RENAME CONSTRAINT {old} TO {new}")


def _carry_over() -> None:
    """What the version before has recorded, as facts of this one."""
    op.execute(
        """UPDATE attempts SET claims = told.claims, session_status = 'open',
            session_payment_status = 'unpaid', paid_at = NULL
        FROM (SELECT id, jsonb_object_agg(said, extract(epoch FROM created_at)::bigint) AS claims
              FROM attempts, unnest(disagreements) AS said GROUP BY id) AS told
        WHERE told.id = attempts.id"""
    )
    op.execute(
        """UPDATE attempts SET received = amount FROM payments
        WHERE payments.id = payment_id AND session_payment_status = 'paid'"""
    )
    op.execute(
        """UPDATE payments SET captured = amount * (SELECT count(*) FROM attempts
            WHERE payment_id = payments.id AND received IS NOT NULL)
        WHERE paid_at IS NOT NULL"""
    )
    op.execute(
        """UPDATE payments SET next_check_at = created_at
        WHERE status IN ('created', 'open', 'processing', 'review')"""
    )


def _create_refunds() -> None:
    op.create_table(
        "refunds",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("refund_id", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("told_at", TIME, nullable=True),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.CheckConstraint("amount > 0", name=op.f("ck_refunds_amount_positive")),
        sa.CheckConstraint(
            "status IN ('pending', 'requires_action', 'succeeded', 'canceled', 'failed')",
            name=op.f("ck_refunds_status_known"),
        ),
        sa.CheckConstraint(
            "(refund_id IS NULL) = (status IS NULL) AND (refund_id IS NULL) = (told_at IS NULL)",
            name=op.f("ck_refunds_facts_together"),
        ),
        sa.CheckConstraint(
            "refund_id IS NOT NULL OR requested_by IS NOT NULL", name=op.f("ck_refunds_has_origin")
        ),
        sa.CheckConstraint(
            "refusal IS NULL OR refund_id IS NULL", name=op.f("ck_refunds_refused_or_made")
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name="fk_refunds_payment_id_payments"
        ),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["attempts.id"], name="fk_refunds_attempt_id_attempts"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_refunds"),
        sa.UniqueConstraint("refund_id", name="uq_refunds_refund_id"),
    )
    op.create_index("ix_refunds_payment_id", "refunds", ["payment_id"])


def _create_disputes() -> None:
    op.create_table(
        "disputes",
        sa.Column("dispute_id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.Uuid(), nullable=False),
        sa.Column("attempt_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("told_at", TIME, nullable=False),
        sa.Column("due_by", TIME, nullable=True),
        sa.Column("balance_count", sa.Integer(), nullable=False),
        sa.Column("withdrawn", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "status IN ('warning_needs_response', 'warning_under_review', 'warning_closed', 'prevented', 'needs_response', 'under_review', 'lost', 'won')",
            name=op.f("ck_disputes_status_known"),
        ),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name="fk_disputes_payment_id_payments"
        ),
        sa.ForeignKeyConstraint(
            ["attempt_id"], ["attempts.id"], name="fk_disputes_attempt_id_attempts"
        ),
        sa.PrimaryKeyConstraint("dispute_id", name="pk_disputes"),
    )
    op.create_index("ix_disputes_payment_id", "disputes", ["payment_id"])


def _widen_events() -> None:
    op.add_column("stripe_events", sa.Column("payment_intent_id", sa.Text(), nullable=True))
    op.add_column("stripe_events", sa.Column("charge_id", sa.Text(), nullable=True))
    op.drop_constraint(op.f("ck_stripe_events_outcome_known"), "stripe_events")
    op.create_check_constraint(
        op.f("ck_stripe_events_outcome_known"),
        "stripe_events",
        f"outcome IN ({OUTCOMES}, 'unreadable')",
    )
    op.drop_constraint(op.f("ck_stripe_events_unhandled_has_next_try"), "stripe_events")
    op.create_check_constraint(
        op.f("ck_stripe_events_unhandled_has_next_try"),
        "stripe_events",
        "handled_at IS NOT NULL OR next_try_at IS NOT NULL",
    )
    op.drop_constraint(op.f("ck_stripe_events_unhandled_has_error"), "stripe_events")
    op.create_check_constraint(
        op.f("ck_stripe_events_unhandled_has_error"),
        "stripe_events",
        "(handled_at IS NULL OR outcome = 'unreadable') = (error IS NOT NULL)",
    )
    for column in ("payment_intent_id", "charge_id"):
        op.create_index(
            f"ix_stripe_events_{column}_unmatched",
            "stripe_events",
            [column],
            postgresql_where=sa.text("outcome = 'unmatched'"),
        )
    op.create_index("ix_stripe_events_received_at", "stripe_events", ["received_at"])
    op.create_index(
        "ix_stripe_events_next_try_at_handled",
        "stripe_events",
        ["next_try_at"],
        postgresql_where=sa.text("handled_at IS NOT NULL AND next_try_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_constraint("uq_emails_payment_id_kind_about", "emails")
    op.execute("DELETE FROM emails WHERE payment_id IS NULL")
    op.create_unique_constraint(
        "uq_emails_payment_id_kind_about", "emails", ["payment_id", "kind", "about"]
    )
    op.drop_column("emails", "resends")
    op.alter_column("emails", "payment_id", nullable=False)
    op.drop_index("ix_stripe_events_next_try_at_handled", "stripe_events")
    op.drop_index("ix_stripe_events_received_at", "stripe_events")
    op.drop_index("ix_payments_created_at_id", "payments")
    op.drop_column("stripe_events", "payment_intent_id")
    op.drop_column("stripe_events", "charge_id")
    op.drop_constraint(op.f("ck_stripe_events_outcome_known"), "stripe_events")
    # The version before knows no such outcome; what was asked of Stripe stays recorded.
    op.execute(
        """UPDATE stripe_events SET error = NULL, next_try_at = NULL,
            outcome = CASE outcome WHEN 'unreadable' THEN 'ignored' ELSE outcome END
        WHERE handled_at IS NOT NULL"""
    )
    op.drop_constraint(op.f("ck_stripe_events_unhandled_has_next_try"), "stripe_events")
    op.create_check_constraint(
        op.f("ck_stripe_events_unhandled_has_next_try"),
        "stripe_events",
        "(handled_at IS NULL) = (next_try_at IS NOT NULL)",
    )
    op.drop_constraint(op.f("ck_stripe_events_unhandled_has_error"), "stripe_events")
    op.create_check_constraint(
        op.f("ck_stripe_events_unhandled_has_error"),
        "stripe_events",
        "(handled_at IS NULL) = (error IS NOT NULL)",
    )
    op.create_check_constraint(
        op.f("ck_stripe_events_outcome_known"), "stripe_events", f"outcome IN ({OUTCOMES})"
    )
    op.drop_table("sweep_state")
    op.drop_table("disputes")
    op.drop_table("refunds")
    for column in PAYMENTS:
        op.drop_column("payments", column.name)
    for column in ATTEMPTS:
        op.drop_column("attempts", column.name)
    _rename_checks("ck_{0}_{1}", "ck_{0}_ck_{0}_{1}")
