"""What payflow asks of Stripe, held against the request bodies of Stripe's published document.

That is done behind every test; here are all of payflow's calls, in order to see that it is done.
"""

import json
from typing import Any

from payflow import gateway
from payflow.db import db
from tests.contract.document import operation
from tests.contract.judge import PAYFLOW, Judge
from tests.stack import World


def test_all_that_payflow_asks_is_in_stripes_document(app, world, submit, rows):
    submit(description="Invoice 2026-118", reference="PO 7")
    [(session_id,)] = rows("SELECT session_id FROM attempts")
    db.session.remove()
    gateway.retrieve("checkout.session", session_id)
    gateway.expire_session(session_id)

    asked = asked_by_stripe_python(world, session_id)
    assert [name_of(one) for one in asked] == [
        "POST /v1/checkout/sessions",
        "GET /v1/checkout/sessions/{session}",
        "POST /v1/checkout/sessions/{session}/expire",
    ]
    judge = Judge()
    found = [judge.judge({"exchange": one}, PAYFLOW) for one in asked]
    assert found == [[], [], []]
    assert judge.counts["requests"] == 3


def test_a_parameter_that_stripe_does_not_know_would_be_found(app, world, submit, rows):
    submit()
    [(session_id,)] = rows("SELECT session_id FROM attempts")
    [made] = asked_by_stripe_python(world, session_id)
    made["body"] += "&payment_intent_data[colour]=red"
    [fault] = Judge().judge({"exchange": made}, PAYFLOW)
    assert (fault.subject, fault.path) == ("POST /v1/checkout/sessions", "payment_intent_data")
    assert "colour" in fault.fault


def asked_by_stripe_python(world: World, session_id: str) -> list[dict[str, Any]]:
    """The exchanges about one session."""
    lines = map(json.loads, world.recording.read_text().splitlines())
    exchanges = [line["exchange"] for line in lines if "exchange" in line]
    answered = [one for one in exchanges if one["answer"] is not None]
    return [
        one
        for one in answered
        if "PythonBindings" in one["user_agent"] and session_id in one["path"] + one["answer"]
    ]


def name_of(exchange: dict[str, Any]) -> str:
    found = operation(exchange["method"], exchange["path"])
    assert found is not None
    return found.name
