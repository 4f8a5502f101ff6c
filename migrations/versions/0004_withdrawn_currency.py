"""The currency of what a dispute has withdrawn: the balance's, which need not be the payment's.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("disputes", sa.Column("withdrawn_currency", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("disputes", "withdrawn_currency")
