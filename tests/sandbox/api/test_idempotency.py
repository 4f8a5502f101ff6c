"""Idempotency keys: once is once, whatever becomes of the answer."""

import threading

import pytest
import requests
import stripe

from tests.sandbox.conftest import Sandbox, session_params
from tests.stack import until

KEY = {"Authorization": "Bearer sk_test_payflow", "Idempotency-Key": "payment-1-attempt-1"}


def test_the_same_request_under_the_same_key_makes_one_session(
    client: stripe.StripeClient,
) -> None:
    first = client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "k1"})
    again = client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "k1"})
    assert again.to_dict() == first.to_dict()
    assert "Idempotent-Replayed" not in first.last_response.headers
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    original = first.last_response.headers["Request-Id"]
    assert again.last_response.headers["Original-Request"] == original
    assert again.last_response.headers["Request-Id"] != original


def test_other_parameters_under_a_used_key_are_refused(client: stripe.StripeClient) -> None:
    client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "k1"})
    with pytest.raises(stripe.IdempotencyError) as refused:
        client.v1.checkout.sessions.create(
            session_params(client_reference_id="other"), {"idempotency_key": "k1"}
        )
    assert refused.value.http_status == 400


def test_a_key_belongs_to_one_endpoint(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "k1"})
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        client.v1.checkout.sessions.expire(made.id, {}, {"idempotency_key": "k1"})


def test_a_refused_request_does_not_use_up_its_key(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.checkout.sessions.create(
            session_params(success_url="nowhere"), {"idempotency_key": "k1"}
        )
    made = client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "k1"})
    assert made.status == "open"


def test_a_key_in_use_is_a_conflict_and_later_gives_the_first_answer(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    sandbox.set(api_delay_s=1.0)
    made: list[str] = []
    first = threading.Thread(
        target=lambda: made.append(
            client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "k1"}).id
        )
    )
    first.start()
    until(lambda: len(sandbox.get("/_sandbox/requests.json").json()) == 1)
    sandbox.set(api_delay_s=0)
    with pytest.raises(stripe.StripeError) as refused:
        client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "k1"})
    assert refused.value.http_status == 409
    assert refused.value.json_body["error"]["code"] == "idempotency_key_in_use"
    first.join()
    again = client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "k1"})
    assert again.id == made[0]


def test_a_client_that_gave_up_waiting_finds_the_effect(sandbox: Sandbox) -> None:
    form = {
        "mode": "payment",
        "success_url": "http://127.0.0.1:9/paid",
        "line_items[0][price_data][currency]": "eur",
        "line_items[0][price_data][unit_amount]": "500",
        "line_items[0][price_data][product_data][name]": "A thing",
        "line_items[0][quantity]": "1",
    }
    url = f"{sandbox.url}/v1/checkout/sessions"
    sandbox.set(api_delay_s=0.6)
    with pytest.raises(requests.ReadTimeout):
        requests.post(url, form, headers=KEY, timeout=0.2)
    sandbox.set(api_delay_s=0)

    def answer() -> requests.Response | None:
        response = requests.post(url, form, headers=KEY, timeout=5)
        return response if response.status_code == 200 else None

    again = until(answer)
    assert again.headers["Idempotent-Replayed"] == "true"
    listed = requests.get(url, headers=KEY, timeout=5).json()["data"]
    assert [session["id"] for session in listed] == [again.json()["id"]]


def test_the_requests_received_can_be_counted(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "k1"})
    client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "k1"})
    log = sandbox.get("/_sandbox/requests.json").json()
    assert [entry["replayed"] for entry in log] == [False, True]
    assert {entry["idempotency_key"] for entry in log} == {"k1"}
    assert log[0]["parameters"]["line_items"][0]["price_data"]["currency"] == "eur"
    assert (log[0]["method"], log[0]["path"], log[0]["status"]) == (
        "POST",
        "/v1/checkout/sessions",
        200,
    )


@pytest.mark.parametrize(("fault", "made"), [("500", 0), ("500_after", 1)])
def test_a_500_is_the_keys_answer_from_then_on(
    client: stripe.StripeClient, sandbox: Sandbox, fault: str, made: int
) -> None:
    sandbox.set(api_faults=[{"on": "POST /v1/checkout/sessions", "fault": fault, "times": 1}])
    headers = []
    for _ in range(2):
        with pytest.raises(stripe.APIError) as broken:
            client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "k1"})
        assert broken.value.http_status == 500
        headers.append(broken.value.headers)
    assert "Idempotent-Replayed" not in headers[0]
    assert headers[1]["Idempotent-Replayed"] == "true"
    assert headers[1]["Original-Request"] == headers[0]["Request-Id"]
    assert len(client.v1.checkout.sessions.list().data) == made
    client.v1.checkout.sessions.create(session_params(), {"idempotency_key": "k2"})
    assert len(client.v1.checkout.sessions.list().data) == made + 1
