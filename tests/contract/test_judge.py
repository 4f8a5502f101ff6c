"""The judge itself: what it lets pass, and that it names what is wrong, and where."""

import copy
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe

from tests.contract.document import API_VERSION
from tests.contract.judge import PAYFLOW, Judge
from tests.contract.recordings import BOOKS
from tests.contract.schemas import rewritten
from tests.sandbox.conftest import pay, session_params

Change = Callable[[dict[str, Any]], None]

SESSIONS = "POST /v1/checkout/sessions"


@pytest.fixture
def answered(client: stripe.StripeClient) -> dict[str, Any]:
    """A paid session with its PaymentIntent, charge and line items in it."""
    made = client.v1.checkout.sessions.create(session_params())
    pay(made)
    expand = ["line_items", "payment_intent.latest_charge"]
    return as_sent(client.v1.checkout.sessions.retrieve(made.id, {"expand": expand}))


@pytest.fixture
def told(client: stripe.StripeClient, answered: dict[str, Any]) -> dict[str, Any]:
    """An event as the API lists it."""
    event: dict[str, Any] = as_sent(client.v1.events.list({"type": "charge.succeeded"}))["data"][0]
    return event


def as_sent(answer: Any) -> dict[str, Any]:
    """Before stripe-python made its own types of it."""
    sent: dict[str, Any] = json.loads(answer.last_response.body)
    return sent


def exchange(
    method: str = "GET",
    path: str = "/v1/checkout/sessions/cs_test_1",
    query: str = "",
    body: str = "",
    status: int | None = 200,
    answer: Any = None,
    version: str = API_VERSION,
) -> dict[str, Any]:
    return {
        "exchange": {
            "method": method,
            "path": path,
            "query": query,
            "body": body,
            "status": status,
            "answer_headers": {"Stripe-Version": version},
            "answer": answer if isinstance(answer, str) else json.dumps(answer),
        }
    }


def faults(record: dict[str, Any], sender: str = "tests") -> list[tuple[str, str, str]]:
    return [one[:3] for one in Judge().judge(record, sender)]


def test_what_the_stand_in_answers_and_tells_passes(
    answered: dict[str, Any], told: dict[str, Any]
) -> None:
    assert faults(exchange(answer=answered)) == []
    assert faults({"event": told}) == []


def _charge(session: dict[str, Any]) -> dict[str, Any]:
    charge: dict[str, Any] = session["payment_intent"]["latest_charge"]
    return charge


@pytest.mark.parametrize(
    ("change", "subject", "path", "words"),
    [
        (lambda s: s.update(colour="red"), "checkout.session", "", "'colour' was unexpected"),
        (lambda s: s.update(status="paid"), "checkout.session", "status", '"paid" is not one of'),
        (lambda s: s.update(created=None), "checkout.session", "created", 'not of type "integer"'),
        (lambda s: s.update(amount_total="12"), "checkout.session", "amount_total", "not of type"),
        (lambda s: s.pop("livemode"), "checkout.session", "", '"livemode" is a required'),
        (lambda s: _charge(s).update(colour="red"), "charge", "", "'colour' was unexpected"),
        (lambda s: _charge(s)["payment_method_details"]["card"].update(last4=4242), "charge",
         "payment_method_details.card.last4", "not of type"),
        (lambda s: s["line_items"]["data"][0]["price"].update(type="twice"), "price", "type",
         '"twice" is not one of'),
    ],
)  # fmt: skip
def test_a_fault_in_an_answer_is_named_where_it_is(
    answered: dict[str, Any], change: Change, subject: str, path: str, words: str
) -> None:
    change(answered)
    [(found_subject, found_path, fault)] = faults(exchange(answer=answered))
    assert (found_subject, found_path) == (subject, path)
    assert words in fault


def test_an_object_of_a_kind_that_is_not_meant_is_named(answered: dict[str, Any]) -> None:
    other = answered | {"payment_intent": answered["payment_intent"]["latest_charge"]}
    [(subject, path, _)] = faults(exchange(answer=other))
    assert (subject, path) == ("checkout.session", "payment_intent")
    unknown = answered | {"payment_intent": {"object": "cat"}}
    assert ("cat", "", "there is no such object") in faults(exchange(answer=unknown))


def test_metadata_holds_no_objects(answered: dict[str, Any]) -> None:
    assert faults(exchange(answer=answered | {"metadata": {"object": "cat"}})) == []


def test_what_may_be_null_may_be_null(answered: dict[str, Any]) -> None:
    """Beside a type, an enum, and a choice."""
    answered |= {"amount_total": None, "status": None, "customer": None, "customer_details": None}
    assert faults(exchange(answer=answered)) == []


def test_nullable_is_rewritten_beside_type_enum_and_choice() -> None:
    assert rewritten({"type": "string", "nullable": True})["type"] == ["string", "null"]
    either = rewritten({"type": "string", "enum": ["a"], "nullable": True})
    assert either == {"type": ["string", "null"], "enum": ["a", None]}
    choice = json.dumps(rewritten({"anyOf": [{"type": "integer"}], "nullable": True}))
    assert '{"type": "null"}' in choice


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda e: e.update(type="charge.eaten"), "there is no charge.eaten"),
        (lambda e: e["data"]["object"].update(object="cat"), "there is no such object"),
        (lambda e: e["data"]["object"].update(colour="red"), "'colour' was unexpected"),
        (lambda e: e["data"].update(previous_attributes={"colour": None}),
         "'colour' was unexpected"),
        (lambda e: e["data"].update(previous_attributes={"paid": "no"}), "not of type"),
        (lambda e: e.pop("pending_webhooks"), '"pending_webhooks" is a required'),
        (lambda e: e.update(colour="red"), "'colour' was unexpected"),
    ],
)  # fmt: skip
def test_a_fault_in_an_event_is_named(told: dict[str, Any], change: Change, words: str) -> None:
    change(told)
    found = faults({"event": told})
    assert len(found) == 1
    assert words in found[0][2]
    listed = {"object": "list", "data": [told], "has_more": False, "url": "/v1/events"}
    assert words in faults(exchange(path="/v1/events", answer=listed))[0][2]


def test_what_changed_deep_in_an_object_is_told_in_part(told: dict[str, Any]) -> None:
    before = {"billing_details": {"name": None}, "metadata": {"a": "b"}}
    told["data"]["previous_attributes"] = before
    assert faults({"event": told}) == []


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"colour": "red"}, "", "'colour' was unexpected"),
        ({"line_items[0][colour]": "red"}, "line_items[]", "'colour' was unexpected"),
        ({"payment_intent_data[metadata][a]": "b", "payment_intent_data[x]": "y"},
         "payment_intent_data", "'x' was unexpected"),
        ({"line_items[0][quantity]": "many"}, "line_items[].quantity", "not of type"),
        ({"adaptive_pricing[enabled]": "perhaps"}, "adaptive_pricing.enabled", "not of type"),
        ({"submit_type": "give"}, "submit_type", "is not one of"),
    ],
)  # fmt: skip
def test_a_request_that_was_taken_must_be_one_of_stripes(
    answered: dict[str, Any], changes: dict[str, str], path: str, words: str
) -> None:
    body = urlencode({"mode": "payment", **changes})
    taken = exchange("POST", "/v1/checkout/sessions", body=body, answer=answered)
    [(subject, found_path, fault)] = faults(taken)
    assert (subject, found_path) == (SESSIONS, path)
    assert words in fault

    error = {"error": {"type": "invalid_request_error", "code": "parameter_unknown", "param": "x"}}
    refused = exchange("POST", "/v1/checkout/sessions", body=body, status=400, answer=error)
    assert faults(refused) == []
    assert len(faults(refused, sender=PAYFLOW)) == 1


def test_numbers_booleans_and_maps_are_read_from_the_form(answered: dict[str, Any]) -> None:
    body = urlencode(
        {
            "line_items[0][quantity]": "2",
            "line_items[0][price_data][currency]": "eur",
            "line_items[0][price_data][unit_amount]": "1250",
            "adaptive_pricing[enabled]": "false",
            "expires_at": "1789000000",
            "metadata[0]": "a key that looks like a list's",
        }
    )
    taken = exchange("POST", "/v1/checkout/sessions", body=body, answer=answered)
    assert faults(taken, sender=PAYFLOW) == []


def test_a_parameter_refused_as_unknown_that_stripe_knows_is_told() -> None:
    error = {"type": "invalid_request_error", "code": "parameter_unknown", "param": "mode"}
    refused = exchange(
        "POST", "/v1/checkout/sessions", body="mode=payment", status=400, answer={"error": error}
    )
    assert [fault[:2] for fault in faults(refused)] == [(SESSIONS, "mode")]


def test_a_query_is_held_against_the_document() -> None:
    listed = {"object": "list", "data": [], "has_more": False, "url": "/v1/charges"}
    good = exchange(path="/v1/charges", query="limit=3&created[gte]=17", answer=listed)
    assert faults(good) == []
    bad = exchange(path="/v1/charges", query="limit=few&colour=red", answer=listed)
    assert {fault[1] for fault in faults(bad)} == {"", "limit"}


def test_an_error_has_stripes_envelope() -> None:
    good = {"error": {"type": "invalid_request_error", "message": "No such charge: 'ch_1'"}}
    assert faults(exchange(status=404, answer=good)) == []
    odd = copy.deepcopy(good)
    odd["error"]["type"] = "strange_error"
    [(_, path, _)] = faults(exchange(status=404, answer=odd))
    assert path == "error.type"
    assert "not JSON" in faults(exchange(status=500, answer="Oops"))[0][2]


def test_an_endpoint_that_stripe_has_not_is_told() -> None:
    answer = {"object": "list", "data": []}
    assert "no such operation" in faults(exchange(path="/v1/unicorns", answer=answer))[0][2]
    error = {"error": {"type": "invalid_request_error"}}
    assert faults(exchange(path="/v1/unicorns", status=404, answer=error)) == []


def test_what_is_counted_is_what_was_judged(answered: dict[str, Any], told: dict[str, Any]) -> None:
    judge = Judge()
    judge.judge(exchange(answer=answered), "tests")
    judge.judge({"event": told}, "tests")
    judge.judge({"event": told | {"api_version": "2019-05-16"}}, "tests")
    judge.judge(exchange(answer=answered, version="2019-05-16"), "tests")
    judge.judge(exchange(status=None), "tests")
    assert judge.counts == {
        "requests": 3,
        "answers": 1,
        "events": 1,
        "objects": 7,
        "requests without an answer": 1,
        "events of older versions, not judged": 1,
        "answers of older versions, not judged": 1,
    }


def test_a_disagreement_is_told_once(answered: dict[str, Any]) -> None:
    judge, bad = Judge(), exchange(answer=answered | {"colour": "red"})
    assert len(judge.judge(bad, "tests")) == 1
    assert judge.judge(bad, "tests") == []


def test_the_recording_has_what_went_over_the_wire(answered: dict[str, Any]) -> None:
    """Events too that nobody has fetched; and what was said is judged as it was said."""
    lines = [line for book in BOOKS.recordings for line in book.path.read_text().splitlines()]
    told = [json.loads(line)["event"]["type"] for line in lines if _is_told_of(answered, line)]
    assert told == ["checkout.session.completed"]
    said = [json.loads(line)["exchange"] for line in lines if '"exchange"' in line]
    assert answered in [json.loads(one["answer"]) for one in said if answered["id"] in one["path"]]


def _is_told_of(session: dict[str, Any], line: str) -> bool:
    record = json.loads(line)
    return "event" in record and record["event"]["data"]["object"]["id"] == session["id"]
