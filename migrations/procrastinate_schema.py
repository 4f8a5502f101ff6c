"""Procrastinate's tables, brought from one version to another out of the pinned package's own SQL.

The package carries every step since its beginning, each named by the version that brought it. A
migration names the versions it goes between, so that it does the same under any later package:
the first one applies the steps up to the version then pinned, and whoever raises the pin past new
steps adds a migration for those. `tests/http/test_migrations.py` holds the result against the
package's whole schema, and fails when the pin has new steps that no migration applies.
"""

import re
from importlib.resources import files

from alembic import op

STEP = re.compile(r"(\d+)\.(\d+)\.(\d+)_(\d+)_.*\.sql")


def steps(after: str, up_to: str) -> list[str]:
    """The names of the package's steps of versions `after` (exclusive; "none") to `up_to`."""
    names = (step.name for step in files("procrastinate.sql.migrations").iterdir())
    return sorted(
        name
        for name in names
        if STEP.fullmatch(name) and _v(after) < _version_of(name) <= _v(up_to)
    )


def upgrade(after: str, up_to: str) -> None:
    """Apply those steps, in order, each in a transaction of its own where none is open."""
    for name in steps(after, up_to):
        # As one multi-statement text: its %-signs are no parameters, and it has nothing to bind.
        sql = files("procrastinate.sql.migrations").joinpath(name).read_text()
        op.get_bind().connection.driver_connection.cursor().execute(sql)


def drop() -> None:
    """Remove all that any version made; queued jobs go with it."""
    cursor = op.get_bind().connection.driver_connection.cursor()
    cursor.execute(DROP_ALL)


def _version_of(name: str) -> tuple[int, ...]:
    # Only names that match come here.
    return tuple(int(part) for part in STEP.fullmatch(name).groups()[:3])  # type: ignore[union-attr]


def _v(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")) if version != "none" else ()


DROP_ALL = """
DO $$
DECLARE statement text;
BEGIN
    FOR statement IN
        SELECT format('DROP TABLE IF EXISTS %I CASCADE', tablename) FROM pg_tables
        WHERE schemaname = current_schema AND tablename LIKE 'procrastinate\\_%'
        UNION ALL
        SELECT format('DROP FUNCTION IF EXISTS %s CASCADE', oid::regprocedure) FROM pg_proc
        WHERE pronamespace = current_schema::regnamespace AND proname LIKE 'procrastinate\\_%'
    LOOP EXECUTE statement; END LOOP;
    FOR statement IN
        SELECT format('DROP TYPE IF EXISTS %s CASCADE', typname) FROM pg_type
        WHERE typnamespace = current_schema::regnamespace AND typname LIKE 'procrastinate\\_%'
        AND typtype IN ('e', 'c')
    LOOP EXECUTE statement; END LOOP;
END $$
"""
