"""Stripe's form encoding, ``line_items[0][price_data][currency]=eur``, as nested Python values."""

import re
from typing import Any
from urllib.parse import parse_qsl

from sandbox.protocol.errors import ApiError

KEY = re.compile(r"^(?P<head>[^\[\]]+)(?P<rest>(?:\[[^\[\]]*\])*)$")
SEGMENT = re.compile(r"\[([^\[\]]*)\]")


# Levels; nothing of Stripe's goes nearly as deep.
DEEPEST = 20


def parse(encoded: bytes) -> dict[str, Any]:
    """The form as dicts and strings, lists where a level's keys are ``[]`` or 0, 1, 2….

    Raises an :class:`ApiError` for a key whose brackets don't match, or that is value and level,
    and for what is no text.
    """
    tree: dict[str, Any] = {}
    for key, value in _pairs(encoded):
        if "\0" in key + value:
            raise ApiError(400, "Invalid request: the parameters contain a null byte.")
        _put(tree, key, value)
    return {name: _with_lists(child) for name, child in tree.items()}


def _pairs(encoded: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(encoded.decode(), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise ApiError(400, "Invalid request: the parameters are not UTF-8.") from None


def _put(tree: dict[str, Any], key: str, value: str) -> None:
    match = KEY.match(key)
    if match is None:
        raise ApiError(400, f"Invalid parameter name: {key}", param=key)
    path = [match["head"], *SEGMENT.findall(match["rest"])]
    if len(path) > DEEPEST:
        raise ApiError(400, "Invalid hash", param=match["head"])
    for at, segment in enumerate(path[:-1]):
        tree = tree.setdefault(segment or _item(tree, path[at + 1 :]), {})
        if not isinstance(tree, dict):
            raise ApiError(400, "Invalid hash", param=match["head"])
    last = path[-1] or str(len(tree))
    if isinstance(tree.get(last), dict):
        raise ApiError(400, "Invalid hash", param=match["head"])
    tree[last] = value


def _item(items: dict[str, Any], rest: list[str]) -> str:
    """``[]`` within a key means the list's last item, until that has what is to be put there: so
    ``items[][a]=1&items[][b]=2&items[][a]=3`` makes two."""
    last: Any = items.get(str(len(items) - 1))
    for segment in rest:
        if segment == "" or not isinstance(last, dict) or segment not in last:
            return str(max(0, len(items) - 1)) if isinstance(last, dict) else str(len(items))
        last = last[segment]
    return str(len(items))


def _with_lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    children = {name: _with_lists(child) for name, child in node.items()}
    if children and sorted(children) == sorted(str(i) for i in range(len(children))):
        return [children[str(i)] for i in range(len(children))]
    return children
