"""OpenAPI 3.0's schemas → JSON Schema 2020-12, closed, in a form whose errors say where.

- `nullable` becomes a type or a choice of its own, also beside `anyOf` and `enum`.
- An object takes no property but its own, unless the document makes it a map.
- A choice (`anyOf`) becomes if-then-else by what tells its options apart, the JSON type and the
  `object` of Stripe's objects, so that a fault is named instead of "not valid under any of these".
- Where one of Stripe's objects is meant, its `object` alone is asked for: it is judged by itself.
  All of the document hangs together by its objects, and would have to be compiled for each.
"""

import functools
import json
from collections.abc import Mapping
from typing import Any

import jsonschema_rs

from tests.contract.document import Schema, document, operation_named

COMPONENT = "#/components/schemas/"
DOCUMENT = "urn:stripe"
KEPT = ("type", "enum", "maxLength", "pattern", "required")


@functools.cache
def operation_validator(name: str, part: str) -> jsonschema_rs.Draft202012Validator:
    """Of an operation's `query`, `body` or `answer`."""
    return _validator(getattr(operation_named(name), part))


@functools.cache
def component_validator(name: str) -> jsonschema_rs.Draft202012Validator:
    return _validator(document()["components"]["schemas"][name])


def _validator(schema: Schema) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(rewritten(schema), registry=_registry())


@functools.cache
def _registry() -> jsonschema_rs.Registry:
    schemas = document()["components"]["schemas"]
    components = {"schemas": {name: rewritten(one) for name, one in schemas.items()}}
    resources = [(DOCUMENT, {"components": components})]
    return jsonschema_rs.Registry(resources, draft=jsonschema_rs.Draft202012)


def rewritten(schema: Mapping[str, Any]) -> Schema:
    if "$ref" in schema:
        sign = _sign(schema)
        return sign if "properties" in sign else {"$ref": DOCUMENT + schema["$ref"]}
    if "anyOf" in schema:
        return _choice([*schema["anyOf"], *([{"type": "null"}] if schema.get("nullable") else [])])
    new: Schema = {name: schema[name] for name in KEPT if name in schema}
    if "items" in schema:
        new["items"] = rewritten(schema["items"])
    if "properties" in schema:
        new["properties"] = {name: rewritten(one) for name, one in schema["properties"].items()}
        new["additionalProperties"] = False
    if isinstance(schema.get("additionalProperties"), dict):
        new["additionalProperties"] = rewritten(schema["additionalProperties"])
    return _or_null(new) if schema.get("nullable") else new


def _or_null(schema: Schema) -> Schema:
    assert "type" in schema, "the document has `nullable` beside `type` and `anyOf` only"
    new = schema | {"type": [schema["type"], "null"]}
    if "enum" in schema:
        new["enum"] = [*schema["enum"], None]
    return new


def _choice(options: list[Schema]) -> Schema:
    """Options that nothing tells apart stay an `anyOf` behind what they share."""
    groups: dict[str, list[Schema]] = {}
    for option in options:
        groups.setdefault(json.dumps(_sign(option)), []).append(rewritten(option))
    signs = sorted(groups, key=len, reverse=True)  # the most particular first
    choice: Schema = {"anyOf": [json.loads(sign) for sign in signs]}
    for sign in reversed(signs):
        then = groups[sign]
        test = {"if": json.loads(sign), "then": then[0] if len(then) == 1 else {"anyOf": then}}
        choice = {**test, "else": choice}
    return choice


def _sign(option: Mapping[str, Any]) -> Schema:
    """What a value must have to be meant for this option; with properties, if it is an object of
    Stripe's."""
    if "$ref" not in option:
        return {"type": option["type"]}
    name = option["$ref"].removeprefix(COMPONENT)
    properties = document()["components"]["schemas"][name].get("properties", {})
    kinds = properties.get("object", {}).get("enum")
    if not kinds:
        return {"type": "object"}
    sign: Schema = {"type": "object", "properties": {"object": {"enum": kinds}}}
    return sign | {"required": ["object", *(["deleted"] if "deleted" in properties else [])]}
