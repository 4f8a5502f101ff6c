"""Stripe's lists: newest first, a page at a time, filtered by time and type."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.protocol.checks import Checker, boolean, hash_of, integer, list_of, string, top_level
from sandbox.protocol.errors import ApiError, not_found
from sandbox.store import JsonDict
from sandbox.webhooks import events

COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
MOST_TYPES = 20
NOTHING: Mapping[str, str] = {}


def moment(value: Any, name: str) -> dict[str, int]:
    """``created=…`` or ``created[gte]=…``, as comparisons of epoch seconds."""
    if isinstance(value, dict):
        checked: dict[str, int] = hash_of(dict.fromkeys(COMPARISONS, integer()))(value, name)
        return checked
    return {"gte": integer()(value, name), "lte": integer()(value, name)}


PAGE: Mapping[str, Checker] = {
    "created": moment,
    "ending_before": string(),
    "expand": list_of(string()),
    "limit": integer(1, 100),
    "starting_after": string(),
}

EVENT_FILTERS: Mapping[str, Checker] = {
    **PAGE,
    "delivery_success": boolean,
    "type": string(),
    "types": list_of(string()),
}


def list_events(db: sqlite3.Connection, values: Mapping[str, Any]) -> JsonDict:
    params = top_level(values, EVENT_FILTERS)
    conditions, arguments = _time_conditions(params)
    conditions.append("created > ?")
    arguments.append(events.oldest())
    types = _types(params)
    if types:
        conditions.append("(" + " OR ".join(["type GLOB ?"] * len(types)) + ")")
        arguments += types
    if "delivery_success" in params:
        undelivered = f"id IN (SELECT event_id FROM deliveries WHERE {events.UNDELIVERED})"
        conditions.append(f"NOT {undelivered}" if params["delivery_success"] else undelivered)
    page, has_more = _page(db, "events", "event", params, conditions, arguments)
    return _list([events.current(db, row) for row in page], has_more, "/v1/events")


def _types(params: Mapping[str, Any]) -> list[str]:
    if "type" in params and "types" in params:
        raise ApiError(400, "You may pass either `type` or `types`, but not both.", param="types")
    types: list[str] = params.get("types", [params["type"]] if "type" in params else [])
    if len(types) > MOST_TYPES:
        raise ApiError(400, f"You may pass at most {MOST_TYPES} types.", param="types")
    return types


def list_objects(
    db: sqlite3.Connection,
    kind: str,
    url: str,
    values: Mapping[str, Any],
    fields: Sequence[str] = (),
    always: Mapping[str, str] = NOTHING,
) -> JsonDict:
    """``fields`` are those of the object that the caller may filter by; ``always`` is ours to."""
    checkers = {field: string() for field in fields}
    params = top_level(values, {**PAGE, **checkers})
    conditions, arguments = _time_conditions(params)
    conditions.append("object = ?")
    arguments.append(kind)
    wanted = {field: params[field] for field in fields if field in params} | dict(always)
    for field, value in wanted.items():
        conditions.append(f"json_extract(body, '$.{field}') = ?")
        arguments.append(value)
    page, has_more = _page(db, "objects", kind, params, conditions, arguments)
    return _list([json.loads(row["body"]) for row in page], has_more, url)


def _time_conditions(params: Mapping[str, Any]) -> tuple[list[str], list[Any]]:
    bounds = params.get("created", {})
    return [f"created {COMPARISONS[name]} ?" for name in bounds], list(bounds.values())


def _page(
    db: sqlite3.Connection,
    table: str,
    kind: str,
    params: Mapping[str, Any],
    conditions: list[str],
    arguments: list[Any],
) -> tuple[list[sqlite3.Row], bool]:
    backwards = "ending_before" in params
    if backwards and "starting_after" in params:
        raise ApiError(
            400, "You may only specify one of these parameters: ending_before, starting_after."
        )
    for name, comparison in (("starting_after", "<"), ("ending_before", ">")):
        if name in params:
            conditions.append(f"(created, seq) {comparison} (?, ?)")
            arguments += _place(db, table, kind, params[name], name)
    where = " AND ".join(conditions) or "TRUE"
    order = "ASC" if backwards else "DESC"
    limit = params.get("limit", 10)
    # Every piece of this statement is ours; what the caller sent stands in the arguments.
    rows = db.execute(
        f"SELECT * FROM {table} WHERE {where} ORDER BY created {order}, seq {order} LIMIT ?",
        (*arguments, limit + 1),
    ).fetchall()
    page = rows[:limit]
    return (page[::-1] if backwards else page), len(rows) > limit


def _place(
    db: sqlite3.Connection, table: str, kind: str, object_id: str, param: str
) -> tuple[int, int]:
    extra = "" if table == "events" else " AND object = ?"
    arguments = (object_id,) if table == "events" else (object_id, kind)
    row = db.execute(f"SELECT created, seq FROM {table} WHERE id = ?{extra}", arguments).fetchone()
    if row is None:
        raise not_found(kind, object_id, param, status=400)
    return row["created"], row["seq"]


def _list(data: list[JsonDict], has_more: bool, url: str) -> JsonDict:
    return {"object": "list", "data": data, "has_more": has_more, "url": url}
