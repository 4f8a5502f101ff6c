"""The timeline of a payment: what happened, when, and who said so. Append-only; never commits."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert as upsert

from payflow import clock
from payflow.db import db
from payflow.models import TIMELINE

# Characters: Postgres indexes no more than about 2,700 bytes of a row.
LONGEST = 500

# RETURNING is what makes SQLAlchemy send several entries in one statement.
NOTE = upsert(TIMELINE).on_conflict_do_nothing().returning(TIMELINE.c.id)


def note(payment_id: UUID, happened: Iterable[tuple[str, str]], source: str) -> None:
    """Add entries (subject, what happened); one that is there is left as it was first said."""
    entry = {"payment_id": payment_id, "at": clock.now(), "source": source}
    rows = [entry | {"subject": subject, "happened": what[:LONGEST]} for subject, what in happened]
    if rows:
        db.session.execute(NOTE, rows)
