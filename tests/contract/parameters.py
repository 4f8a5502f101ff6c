"""What a request says, as Stripe reads it: form-encoded text → values of the document's types."""

import re
from typing import Any

from sandbox.protocol import forms
from tests.contract.document import Schema

INTEGER = re.compile(r"-?[0-9]+")
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
PYTHON_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
}


def decoded(encoded: str, schema: Schema) -> dict[str, Any]:
    """Raises sandbox.errors.ApiError for brackets that don't match."""
    return {
        name: coerced(value, schema["properties"].get(name, {}))
        for name, value in forms.parse(encoded.encode()).items()
    }


def coerced(value: Any, schema: Schema) -> Any:
    """The value in the type that the schema asks for; one that does not fit stays as it was."""
    if "anyOf" in schema:
        return _first_that_fits(value, schema["anyOf"])
    kind = schema.get("type")
    if isinstance(value, str):
        return _scalar(value, kind)
    if kind == "object" and isinstance(value, list):  # metadata[0]=…: keys that look like a list's
        value = {str(index): item for index, item in enumerate(value)}
    if isinstance(value, list):
        return [coerced(item, schema.get("items", {})) for item in value]
    return {name: coerced(item, _member(schema, name)) for name, item in value.items()}


def _first_that_fits(value: Any, options: list[Schema]) -> Any:
    for option in options:
        tried = coerced(value, option)
        if _fits(tried, option):
            return tried
    return value


def _fits(value: Any, option: Schema) -> bool:
    if "enum" in option:
        return value in option["enum"]
    if isinstance(value, bool):
        return option.get("type") == "boolean"
    return isinstance(value, PYTHON_TYPES[option["type"]])


def _scalar(value: str, kind: str | None) -> Any:
    if kind == "integer" and INTEGER.fullmatch(value):
        return int(value)
    if kind == "number" and NUMBER.fullmatch(value):
        return float(value)
    if kind == "boolean" and value in ("true", "false"):
        return value == "true"
    return value


def _member(schema: Schema, name: str) -> Schema:
    members: Schema = schema.get("properties", {})
    rest = schema.get("additionalProperties")
    found: Schema = members.get(name, rest if isinstance(rest, dict) else {})
    return found
