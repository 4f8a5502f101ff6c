"""The stand-in never calls a parameter or a path unknown that Stripe has."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from sandbox.api import unplayed
from sandbox.objects import session_parameters
from sandbox.protocol.errors import ApiError
from sandbox.webhooks import event_types
from tests.contract.document import API_VERSION, Schema, document, operation_named
from tests.contract.routes import endpoints
from tests.sandbox.conftest import Sandbox, session_params

NOW = 1_800_000_000
KEY = {"Authorization": "Bearer sk_test_payflow_contract"}
HONEST = re.compile("The sandbox (does not support|takes|plays|can't)")

# What a parameter is tried with, where its type alone would not do.
GOOD: dict[str, Any] = {
    "currency": "eur",
    "customer_email": "ada@example.com",
    "email": "ada@example.com",
    "receipt_email": "ada@example.com",
    "expires_at": str(NOW + 3600),
    "success_url": "http://127.0.0.1:9/paid",
    "cancel_url": "http://127.0.0.1:9/back",
    "unit_amount": "1250",
    "ui_mode": "hosted_page",
}


def values_of(name: str, schema: Schema) -> Iterator[Any]:
    """One for each choice and each member that the schema has, with nothing beside it."""
    for option in schema.get("anyOf", [schema]):
        kind = option.get("type")
        if name in GOOD:
            yield GOOD[name]
        elif option.get("enum"):
            yield from (value for value in option["enum"] if value)
        elif kind == "array":
            for value in values_of(name, option["items"]):
                yield [value]
        elif kind == "object":
            for member, inner in option.get("properties", {}).items():
                for value in values_of(member, inner):
                    yield {member: value}
            if isinstance(option.get("additionalProperties"), dict):
                yield {"a_key": "a value"}
        else:
            yield from {"boolean": ("true", "false"), "integer": ("1",)}.get(kind, ("text",))


def merged(base: Any, change: Any) -> Any:
    """``change`` put into ``base`` where they meet: hashes by key, lists by place."""
    if isinstance(base, dict) and isinstance(change, dict):
        return base | {key: merged(base.get(key), value) for key, value in change.items()}
    if isinstance(base, list) and isinstance(change, list):
        return [merged(one, other) for one, other in zip(base, change, strict=True)]
    return change


def text_of(value: Any) -> Any:
    """As a form carries it."""
    if isinstance(value, dict):
        return {key: text_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [text_of(item) for item in value]
    return str(value)


PARAMETERS = operation_named("POST /v1/checkout/sessions").body["properties"]


def refusal_of(values: dict[str, Any]) -> str | None:
    try:
        session_parameters.check(values, NOW, API_VERSION)
    except ApiError as refused:
        return refused.message
    return None


@pytest.mark.parametrize("name", PARAMETERS)
def test_each_parameter_of_a_new_session_is_played_or_refused_with_the_honest_sentence(
    name: str,
) -> None:
    for value in values_of(name, PARAMETERS[name]):
        values = merged(text_of(session_params()), {name: value})
        said = refusal_of(values)
        assert said is None or HONEST.search(said), f"{name}={value}: {said}"


def test_every_operation_of_stripe_is_played_or_known_not_to_be() -> None:
    theirs = {
        (method.upper(), re.sub(r"\{[^}]+\}", "{}", path))
        for path, methods in document()["paths"].items()
        for method in methods
        if path.startswith("/v1/") and method in ("get", "post", "delete")
    }
    ours = {tuple(re.sub("<[^>]+>", "{}", name).split(" ")) for name in endpoints()}
    assert set(unplayed.operations()) == theirs - ours
    assert not [name for name in ours if unplayed.is_unplayed(name[0], name[1])]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/customers"),
        ("GET", "/v1/prices/price_1"),
        ("GET", "/v1/payouts"),
        ("POST", "/v1/tokens"),
        ("POST", "/v1/payment_intents"),
        ("POST", "/v1/payment_intents/pi_1/capture"),
        ("GET", "/v1/charges/search"),
    ],
)
def test_what_stripe_has_and_the_sandbox_has_not_is_told_so(
    sandbox: Sandbox, method: str, path: str
) -> None:
    answer = requests.request(method, sandbox.url + path, headers=KEY, timeout=5)
    assert answer.status_code == 404
    said = answer.json()["error"]["message"]
    assert said.startswith(f"The sandbox does not play {method} {path} (yet), though Stripe has it")


def test_what_nobody_has_is_told_in_stripes_words(sandbox: Sandbox) -> None:
    for path in ("/v1/nonsense", "/v1/customers/cus_1/nonsense"):
        answer = requests.get(sandbox.url + path, headers=KEY, timeout=5)
        assert answer.status_code == 404
        assert "Unrecognized request URL (GET: /v1/" in answer.json()["error"]["message"]


def names_of(method: str, rule: str) -> list[str]:
    template = re.sub("<[^>]+>", "{}", rule)
    for path in document()["paths"]:
        if re.sub(r"\{[^}]+\}", "{}", path) == template:
            found = operation_named(f"{method} {path}")
            return list((found.query if method == "GET" else found.body)["properties"])
    raise AssertionError(f"Stripe has no {method} {rule}")


@pytest.mark.parametrize("operation", sorted(endpoints()))
def test_no_endpoint_calls_a_parameter_unknown_that_stripe_has(
    sandbox: Sandbox, operation: str
) -> None:
    method, rule = operation.split(" ")
    if method == "DELETE":
        return  # takes none
    url = sandbox.url + re.sub("<[^>]+>", "id_1", rule)
    for name in names_of(method, rule):
        sent = {"params" if method == "GET" else "data": {name: "1"}}
        answer = requests.request(method, url, headers=KEY, timeout=5, **sent)
        if answer.status_code != 200:
            assert "unknown parameter" not in answer.json()["error"]["message"], name


def test_json_and_what_is_too_large_are_refused_in_the_envelope(sandbox: Sandbox) -> None:
    url = f"{sandbox.url}/v1/checkout/sessions"
    answer = requests.post(url, json={"mode": "payment"}, headers=KEY, timeout=5)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("This API takes no JSON")
    answer = requests.post(url, data={"mode": "x" * 2_000_000}, headers=KEY, timeout=5)
    assert answer.status_code == 413
    assert "too large" in answer.json()["error"]["message"]


def test_what_the_sandbox_sends_are_types_of_stripes() -> None:
    assert event_types.SENT < event_types.EVENT_TYPES
    assert event_types.never_sent(["*", "charge.failed"]) == ""
    assert event_types.never_sent(["payout.paid", "charge.failed"]) == "payout.paid"
