"""What programs ask of the desk: unknown fields, paths and outcomes are told, never ignored."""

from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.conftest import Sandbox, pay, session_params


@pytest.fixture
def charge(client: stripe.StripeClient) -> str:
    pay(client.v1.checkout.sessions.create(session_params()))
    return client.v1.charges.list().data[0].id


def refused(sandbox: Sandbox, path: str, expected: int = 400, **wanted: Any) -> str:
    answer = sandbox.post(f"/_sandbox/{path}", json=wanted)
    assert answer.status_code == expected, answer.text
    sentence: str = answer.json()["error"]
    return sentence


@pytest.mark.parametrize("path", ["refunds", "disputes", "early_fraud_warnings"])
def test_a_field_that_means_nothing_is_refused(sandbox: Sandbox, charge: str, path: str) -> None:
    sentence = refused(sandbox, path, charge=charge, colour="red")
    assert sentence.startswith("There is no field 'colour'; there are charge, payment_intent")


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("inquiry", "false", "inquiry must be true or false."),
        ("inquiry", 1, "inquiry must be true or false."),
        ("amount", True, "amount must be a whole number"),
        ("amount", 0, "amount must be a whole number"),
        ("reason", "spite", "reason must be one of credit_not_processed"),
        ("charge", 1, "charge must be an id."),
    ],
)
def test_a_disputes_fields_are_what_they_should_be(
    client: stripe.StripeClient,
    sandbox: Sandbox,
    charge: str,
    field: str,
    value: Any,
    sentence: str,
) -> None:
    assert sentence in refused(sandbox, "disputes", **{"charge": charge, field: value})
    assert client.v1.disputes.list().data == []


def test_an_outcome_that_can_not_be_names_those_that_can(sandbox: Sandbox, charge: str) -> None:
    made = sandbox.post("/_sandbox/disputes", json={"charge": charge, "inquiry": True}).json()
    way = f"disputes/{made['id']}"
    can = "A dispute that is warning_needs_response can become won, lost, escalated"
    assert refused(sandbox, way, outcome="reversed").startswith(can)
    assert refused(sandbox, way, outcome="great").startswith(can)
    assert refused(sandbox, way).startswith(can)
    assert sandbox.post(f"/_sandbox/{way}", json={"outcome": "won"}).status_code == 200
    assert "warning_closed stays so" in refused(sandbox, way, outcome="won")


def test_a_status_that_can_not_be_names_those_that_can(sandbox: Sandbox, charge: str) -> None:
    sandbox.set(refund_outcome="pending")
    made = sandbox.post("/_sandbox/refunds", json={"charge": charge, "amount": 100}).json()
    way = f"refunds/{made['id']}"
    can = "A refund that is pending can become succeeded, failed, canceled"
    assert refused(sandbox, way, status="lost").startswith(can)
    assert "failure_reason must be one of" in refused(
        sandbox, way, status="failed", failure_reason="bad luck"
    )
    wanted = {"status": "failed", "failure_reason": "declined"}
    assert sandbox.post(f"/_sandbox/{way}", json=wanted).json()["failure_reason"] == "declined"
    assert "failed stays so" in refused(sandbox, way, status="canceled")


def test_paths_and_methods_that_are_not_there_are_answered_in_json(sandbox: Sandbox) -> None:
    assert refused(sandbox, "nonsense", 404)
    answer = requests.put(f"{sandbox.url}/_sandbox/settings", timeout=5)
    assert answer.status_code == 405
    assert "POST" in answer.headers["Allow"]
    assert answer.json()["error"]
    assert "takes no fields" in refused(sandbox, "reset", hard=True)
    assert "takes no fields" in refused(sandbox, "presets/normal", hard=True)


@pytest.mark.parametrize("path", ["refunds", "disputes", "clock", "settings"])
def test_who_sends_no_json_is_told_how(sandbox: Sandbox, path: str) -> None:
    answer = sandbox.post(f"/_sandbox/{path}", data='{"amount": 500}')  # as curl -d sends it
    assert answer.status_code == 400
    assert "with the header Content-Type: application/json." in answer.json()["error"]
