"""Pages of the desk's lists: newest first, with a way to what is older and to what is newer.

A page is found by the row beside it, not by a number, so it stays what it was while new rows come.
"""

import sqlite3
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urlencode

from flask import request

ROWS = 50


class Page(NamedTuple):
    """``older`` and ``newer`` are addresses, or None where there is nothing more."""

    rows: list[sqlite3.Row]
    total: int
    older: str | None
    newer: str | None


def page_of(
    db: sqlite3.Connection, select: str, order: str, conditions: Iterable[str], *arguments: Any
) -> Page:
    """``order`` is the number by which rows are newer, selected as ``seq``. All of the statement is
    ours; what the reader sent stands in the ``arguments``."""
    wanted = list(conditions)
    everything = f"{select} WHERE {' AND '.join(wanted) or 'TRUE'}"
    total = db.execute(f"SELECT count(*) FROM ({everything})", arguments).fetchone()[0]
    before, after = _number("before"), _number("after")
    if after is not None:
        sql = f"{_where(select, [*wanted, f'{order} > ?'])} ORDER BY {order} LIMIT {ROWS}"
        rows = db.execute(sql, (*arguments, after)).fetchall()[::-1]
    else:
        bound = before if before is not None else 2**62
        sql = f"{_where(select, [*wanted, f'{order} < ?'])} ORDER BY {order} DESC LIMIT {ROWS}"
        rows = db.execute(sql, (*arguments, bound)).fetchall()
    if not rows:
        return Page(rows, total, None, None)
    newest, oldest = rows[0]["seq"], rows[-1]["seq"]

    def any_beyond(comparison: str, seq: int) -> bool:
        sql = f"{_where(select, [*wanted, f'{order} {comparison} ?'])} LIMIT 1"
        return db.execute(sql, (*arguments, seq)).fetchone() is not None

    older = _address(before=oldest) if any_beyond("<", oldest) else None
    newer = _address(after=newest) if any_beyond(">", newest) else None
    return Page(rows, total, older, newer)


def _where(select: str, conditions: list[str]) -> str:
    return f"{select} WHERE {' AND '.join(conditions)}"


def _number(name: str) -> int | None:
    typed = request.args.get(name, "")
    return int(typed) if typed.isascii() and typed.isdecimal() and len(typed) < 18 else None


def _address(**place: int) -> str:
    """This list, filtered as it is, from another place on."""
    kept = {
        name: value
        for name, value in request.args.items()
        if name not in ("before", "after") and value
    }
    return f"{request.path}?{urlencode(kept | {name: str(at) for name, at in place.items()})}"
