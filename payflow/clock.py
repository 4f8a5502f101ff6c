"""The one clock. Logic asks `now()` here and never the database, so that tests can move time."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, timezone-aware, in UTC."""
    return datetime.now(UTC)
