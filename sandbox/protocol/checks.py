"""Checks of one parameter each: a checker takes a value and its name as sent, gives it clean.

They raise the :class:`ApiError` that Stripe answers with. What is accepted where stands with the
object it makes, in ``session_parameters.py``.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from sandbox.protocol.errors import ApiError, missing_parameter, unknown_parameters

Checker = Callable[[Any, str], Any]

MOST_METADATA = 50

EMAIL = re.compile(r"^[^@\s,;<>\"()]+@[^@\s,;<>\"()]+\.[^@\s,;<>\"().]+\Z")


def string(longest: int = 5000) -> Checker:
    def check(value: Any, name: str) -> str:
        if not isinstance(value, str):
            raise ApiError(400, "Invalid string: must be a string", param=name)
        _refuse_empty(value, name)
        if len(value) > longest:
            raise ApiError(
                400,
                f"Invalid string: {value[:10]}…{value[-10:]}; must be at most {longest} characters",
                param=name,
            )
        return value

    return check


def _refuse_empty(value: str, name: str) -> None:
    if value == "":
        raise ApiError(
            400,
            f"You passed an empty string for '{name}'. We assume empty values are an attempt to"
            f" unset a parameter; however '{name}' cannot be unset. You should remove '{name}'"
            " from your request or supply a non-empty value.",
            code="parameter_invalid_empty",
            param=name,
        )


def or_empty(checker: Checker) -> Checker:
    """Where an empty string is taken, and means: unset."""

    def check(value: Any, name: str) -> Any:
        return "" if value == "" else checker(value, name)

    return check


def integer(smallest: int = 0, largest: int | None = None) -> Checker:
    def check(value: Any, name: str) -> int:
        if isinstance(value, str):
            _refuse_empty(value, name)
        if not isinstance(value, str) or not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise ApiError(
                400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=name
            )
        if int(value) < smallest:
            raise ApiError(
                400,
                f"This value must be greater than or equal to {smallest}.",
                code="parameter_invalid_integer",
                param=name,
            )
        if largest is not None and int(value) > largest:
            raise ApiError(
                400,
                f"This value must be less than or equal to {largest}.",
                code="parameter_invalid_integer",
                param=name,
            )
        return int(value)

    return check


def boolean(value: Any, name: str) -> bool:
    if value not in ("true", "false"):
        raise ApiError(400, f"Invalid boolean: {value}", param=name)
    return bool(value == "true")


def unplayed(_: Any, name: str) -> Any:
    """A parameter that Stripe knows and the sandbox has no part of: refused, never ignored."""
    raise ApiError(400, f"The sandbox does not support {name} (yet); Stripe may.", param=name)


def one_of(*allowed: str) -> Checker:
    def check(value: Any, name: str) -> str:
        if value not in allowed:
            *most, last = allowed
            listed = f"{', '.join(most)}, or {last}" if most else last
            raise ApiError(400, f"Invalid {name}: must be one of {listed}", param=name)
        return str(value)

    return check


def email(value: Any, name: str) -> str:
    text: str = string(800)(value, name)
    if not EMAIL.match(text):
        raise ApiError(400, f"Invalid email address: {text}", code="email_invalid", param=name)
    return text


def metadata(value: Any, name: str) -> dict[str, str]:
    """At most 50 keys of 40 characters; values of 500. An empty string unsets them all."""
    if value == "":
        return {}
    if isinstance(value, list):  # metadata[0]=…: the keys looked like a list's
        value = {str(index): item for index, item in enumerate(value)}
    if not isinstance(value, dict):
        raise ApiError(400, "Invalid hash", param=name)
    if len(value) > MOST_METADATA:
        raise ApiError(400, f"Metadata can have at most {MOST_METADATA} keys", param=name)
    for key, item in value.items():
        _check_metadata_entry(key, item, name)
    return {key: item for key, item in value.items() if item != ""}


def metadata_change(value: Any, name: str) -> dict[str, str] | None:
    """For an update: an empty string unsets its key, and one in place of the whole all of them."""
    if value == "":
        return None
    if isinstance(value, list):
        value = {str(index): item for index, item in enumerate(value)}
    metadata(value, name)
    change: dict[str, str] = value
    return change


def changed_metadata(old: Mapping[str, str], change: Mapping[str, str] | None) -> dict[str, str]:
    """Keys that are not named stay as they are. https://docs.stripe.com/api/metadata"""
    if change is None:
        return {}
    after = {key: item for key, item in {**old, **change}.items() if item != ""}
    if len(after) > MOST_METADATA:
        raise ApiError(400, f"Metadata can have at most {MOST_METADATA} keys", param="metadata")
    return after


def _check_metadata_entry(key: str, item: Any, name: str) -> None:
    if len(key) > 40:
        raise ApiError(
            400, f"Invalid metadata key: {key}; must be at most 40 characters", param=name
        )
    if not isinstance(item, str):
        raise ApiError(
            400,
            f"Metadata values must be strings, but for key `{key}` you passed in a value of type"
            " `hash`.",
            param=f"{name}[{key}]",
        )
    if len(item) > 500:
        raise ApiError(
            400,
            f"Metadata values can have up to 500 characters, but you passed in a value that is"
            f" {len(item)} characters. Invalid value: {item[:50]}…",
            param=f"{name}[{key}]",
        )


def hash_of(fields: Mapping[str, Checker], required: tuple[str, ...] = ()) -> Checker:
    def check(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ApiError(400, "Invalid hash", param=name)
        if unknown := [f"{name}[{field}]" for field in value if field not in fields]:
            raise unknown_parameters(unknown)
        for field in required:
            if field not in value:
                raise missing_parameter(f"{name}[{field}]")
        return {field: fields[field](item, f"{name}[{field}]") for field, item in value.items()}

    return check


def list_of(item: Checker) -> Checker:
    def check(value: Any, name: str) -> list[Any]:
        if not isinstance(value, list):
            raise ApiError(400, "Invalid array", param=name)
        return [item(child, f"{name}[{index}]") for index, child in enumerate(value)]

    return check


def top_level(
    values: Mapping[str, Any], fields: Mapping[str, Checker], required: tuple[str, ...] = ()
) -> dict[str, Any]:
    """All parameters of a request: unknown ones first, as Stripe does, then missing ones."""
    if unknown := [field for field in values if field not in fields]:
        raise unknown_parameters(unknown)
    for field in required:
        if field not in values:
            raise missing_parameter(field)
    return {field: fields[field](value, field) for field, value in values.items()}
