"""The job queue: Procrastinate's tables, up to version 3.10.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

from migrations import procrastinate_schema

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A step may use the enum values of the one before only once those are committed (until
    # Postgres 17). Left half-done, the tables are dropped by hand and the migration run again.
    with op.get_context().autocommit_block():
        procrastinate_schema.upgrade(after="none", up_to="3.10.0")
    # The worker asks every second; a notification per job would cost each webhook a fifth.
    op.execute("DROP TRIGGER procrastinate_jobs_notify_queue_job_inserted_v1 ON procrastinate_jobs")


def downgrade() -> None:
    procrastinate_schema.drop()
