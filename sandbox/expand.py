"""``expand[]=payment_intent.latest_charge``: ids replaced by the objects they name."""

import sqlite3
from typing import Any

from sandbox import sessions
from sandbox.errors import ApiError
from sandbox.store import JsonDict, find_object

EXPANDABLE = frozenset({"payment_intent", "latest_charge", "payment_method", "charge"})
DEEPEST = 4


def expand(db: sqlite3.Connection, body: JsonDict, paths: Any) -> JsonDict:
    """Changes and returns ``body``. An id of nothing we keep, and null, stay as they are."""
    if not isinstance(paths, list):
        raise ApiError(400, "Invalid array", param="expand")
    for path in paths:
        parts = str(path).split(".")
        if len(parts) > DEEPEST:
            raise ApiError(400, f"You can expand at most {DEEPEST} levels: {path}", param="expand")
        _expand_path(db, body, parts, str(path))
    return body


def _expand_path(db: sqlite3.Connection, node: JsonDict, parts: list[str], path: str) -> None:
    head, *rest = parts
    if head == "data" and node.get("object") == "list":
        for item in node["data"]:
            _expand_path(db, item, rest, path)
        return
    if head == "line_items" and node["object"] == sessions.KIND:
        node["line_items"] = sessions.line_items(db, node["id"])
        return
    if head not in EXPANDABLE or head not in node:
        raise ApiError(400, f"This property cannot be expanded ({path}).", param="expand")
    if isinstance(node[head], str):
        node[head] = find_object(db, node[head]) or node[head]
    if rest and isinstance(node[head], dict):
        _expand_path(db, node[head], rest, path)
