"""Stripe's form encoding, ``line_items[0][price_data][currency]=eur``, as nested Python values."""

import re
from typing import Any
from urllib.parse import parse_qsl

from sandbox.errors import ApiError

KEY = re.compile(r"^(?P<head>[^\[\]]+)(?P<rest>(?:\[[^\[\]]*\])*)$")
SEGMENT = re.compile(r"\[([^\[\]]*)\]")


# Levels; nothing of Stripe's goes nearly as deep.
DEEPEST = 20


def parse(encoded: str) -> dict[str, Any]:
    """The form as dicts and strings, lists where a level's keys are ``[]`` or 0, 1, 2….

    Raises an :class:`ApiError` for a key whose brackets don't match, or that is value and level.
    """
    tree: dict[str, Any] = {}
    for key, value in parse_qsl(encoded, keep_blank_values=True):
        _put(tree, key, value)
    return {name: _with_lists(child) for name, child in tree.items()}


def _put(tree: dict[str, Any], key: str, value: str) -> None:
    match = KEY.match(key)
    if match is None:
        raise ApiError(400, f"Invalid parameter name: {key}", param=key)
    path = [match["head"], *SEGMENT.findall(match["rest"])]
    if len(path) > DEEPEST:
        raise ApiError(400, "Invalid hash", param=match["head"])
    for segment in path[:-1]:
        tree = tree.setdefault(segment or str(len(tree)), {})
        if not isinstance(tree, dict):
            raise ApiError(400, "Invalid hash", param=match["head"])
    last = path[-1] or str(len(tree))
    if isinstance(tree.get(last), dict):
        raise ApiError(400, "Invalid hash", param=match["head"])
    tree[last] = value


def _with_lists(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    children = {name: _with_lists(child) for name, child in node.items()}
    if children and sorted(children) == sorted(str(i) for i in range(len(children))):
        return [children[str(i)] for i in range(len(children))]
    return children


def name(*path: str | int) -> str:
    """``("line_items", 0, "quantity")`` as Stripe writes it: ``line_items[0][quantity]``."""
    head, *rest = path
    return str(head) + "".join(f"[{part}]" for part in rest)
