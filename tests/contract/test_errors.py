"""stripe-python meets each kind of refusal, and its retries have one effect."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import stripe

from sandbox.demo.postgres import free_port
from tests.sandbox.conftest import Sandbox, pay, session_params
from tests.stack import until

VERSION = "2026-05-27.dahlia"
CREATE = "POST /v1/checkout/sessions"


def client_with(
    url: str, key: str = "sk_test_payflow_contract", retries: int = 0, timeout_s: float = 15
) -> stripe.StripeClient:
    return stripe.StripeClient(
        key,
        base_addresses={"api": url},
        stripe_version=VERSION,
        max_network_retries=retries,
        http_client=stripe.RequestsClient(timeout=timeout_s),
    )


@pytest.mark.parametrize("key", ["sk_live_payflow_contract", "not_a_key_at_all", "pk_test_payflow"])
def test_a_wrong_key_is_an_authentication_error(sandbox: Sandbox, key: str) -> None:
    with pytest.raises(stripe.AuthenticationError) as refused:
        client_with(sandbox.url, key).v1.charges.list()
    assert refused.value.http_status == 401
    assert refused.value.request_id.startswith("req_")
    assert key not in str(refused.value)


def test_what_does_not_exist_is_an_invalid_request_with_its_parameter(
    client: stripe.StripeClient,
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.checkout.sessions.retrieve("cs_test_nothing")
    assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")
    assert refused.value.error is not None
    assert refused.value.error.doc_url.endswith("resource-missing")


def test_a_parameter_that_does_not_fit_is_named(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.checkout.sessions.create(session_params(locale="xx"))
    assert (refused.value.http_status, refused.value.param) == (400, "locale")


def test_other_parameters_under_one_key_are_an_idempotency_error(
    client: stripe.StripeClient,
) -> None:
    key: Any = {"idempotency_key": "order-118"}
    client.v1.checkout.sessions.create(session_params(), key)
    with pytest.raises(stripe.IdempotencyError) as refused:
        client.v1.checkout.sessions.create(session_params(locale="en"), key)
    assert refused.value.http_status == 400


def test_nobody_listening_is_a_connection_error() -> None:
    with pytest.raises(stripe.APIConnectionError):
        client_with(f"http://127.0.0.1:{free_port()}").v1.charges.list()


def test_a_declined_card_is_told_as_stripe_tells_it(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    assert pay(made, "4000000000009995").status_code == 303
    [intent] = client.v1.payment_intents.list().data
    error = intent.last_payment_error
    assert error is not None
    assert (error.code, error.decline_code) == ("card_declined", "insufficient_funds")
    assert error.type == "card_error"


def patience(fault: str) -> float:
    """Seconds that a client waits for an answer: short where none will come."""
    return 1 if fault.startswith("timeout") else 15


def faulty(sandbox: Sandbox, fault: str, **rule: Any) -> None:
    sandbox.set(api_faults=[{"on": CREATE, "fault": fault, "times": 1, **rule}])


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        ("500", stripe.APIError, 500),
        ("500_after", stripe.APIError, 500),
        ("429", stripe.RateLimitError, 429),
        ("reset_before", stripe.APIConnectionError, None),
        ("reset_after", stripe.APIConnectionError, None),
        ("timeout_before", stripe.APIConnectionError, None),
        ("timeout_after", stripe.APIConnectionError, None),
    ],
)
def test_each_fault_is_the_error_that_stripe_python_has_for_it(
    sandbox: Sandbox, fault: str, error: type[stripe.StripeError], status: int | None
) -> None:
    faulty(sandbox, fault)
    client = client_with(sandbox.url, timeout_s=patience(fault))
    with pytest.raises(error) as met:
        client.v1.checkout.sessions.create(session_params())
    assert met.value.http_status == status


@pytest.mark.parametrize(
    "fault", ["reset_before", "reset_after", "timeout_before", "timeout_after"]
)
def test_stripe_pythons_own_retry_has_one_effect(sandbox: Sandbox, fault: str) -> None:
    faulty(sandbox, fault)
    client = client_with(sandbox.url, retries=2, timeout_s=patience(fault))
    made = client.v1.checkout.sessions.create(session_params())
    assert made_so_far(client) == [made.id]
    first, second = creations(sandbox)
    assert first["idempotency_key"] == second["idempotency_key"]
    assert second["replayed"] == fault.endswith("_after")


@pytest.mark.parametrize(("fault", "effects"), [("500", 0), ("500_after", 1)])
def test_a_500_is_kept_for_its_key_and_a_new_key_asks_anew(
    sandbox: Sandbox, fault: str, effects: int
) -> None:
    """As Stripe keeps it: stripe-python's retries meet it again, and only another key gets on."""
    faulty(sandbox, fault)
    client = client_with(sandbox.url, retries=2)
    with pytest.raises(stripe.APIError):
        client.v1.checkout.sessions.create(session_params())
    assert len(made_so_far(client)) == effects
    assert len({call["idempotency_key"] for call in creations(sandbox)}) == 1

    made = client.v1.checkout.sessions.create(session_params())
    assert made_so_far(client)[0] == made.id
    assert len(made_so_far(client)) == effects + 1


def test_a_500_to_a_question_is_asked_again(sandbox: Sandbox) -> None:
    """There is no key to keep it for."""
    sandbox.set(api_faults=[{"on": "GET /v1/charges", "fault": "500", "times": 2}])
    assert client_with(sandbox.url, retries=2).v1.charges.list().data == []


def test_a_429_says_when_to_ask_again_and_is_kept_for_no_key(sandbox: Sandbox) -> None:
    """stripe-python leaves it to us, retries or not."""
    faulty(sandbox, "429", seconds=3)
    client, key = client_with(sandbox.url, retries=2), {"idempotency_key": "order-120"}
    with pytest.raises(stripe.RateLimitError) as met:
        client.v1.checkout.sessions.create(session_params(), key)
    assert met.value.headers["Retry-After"] == "3"
    made = client.v1.checkout.sessions.create(session_params(), key)
    assert made_so_far(client) == [made.id]


def creations(sandbox: Sandbox) -> list[dict[str, Any]]:
    """The calls that asked for a session, as the stand-in received them."""
    received = sandbox.get("/_sandbox/requests.json").json()
    return [call for call in received if f"{call['method']} {call['path']}" == CREATE]


def made_so_far(client: stripe.StripeClient) -> list[str]:
    """The sessions' ids, newest first."""
    return [session.id for session in client.v1.checkout.sessions.list().data]


def test_a_key_under_way_is_a_conflict_that_a_retry_outlasts(sandbox: Sandbox) -> None:
    key: Any = {"idempotency_key": "order-119"}
    sandbox.set(api_delay_s=3)
    with ThreadPoolExecutor() as elsewhere:
        first = elsewhere.submit(ask, client_with(sandbox.url), key)
        until(lambda: creations(sandbox))
        sandbox.set(api_delay_s=0)
        with pytest.raises(stripe.APIError, match="in-progress request") as refused:
            ask(client_with(sandbox.url), key)
        assert refused.value.http_status == 409
        second = ask(client_with(sandbox.url, retries=6), key)
        assert first.result().id == second.id
    assert made_so_far(client_with(sandbox.url)) == [second.id]


def ask(client: stripe.StripeClient, key: Any) -> stripe.checkout.Session:
    return client.v1.checkout.sessions.create(session_params(), key)
