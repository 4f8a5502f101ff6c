"""Cards whose bank wants to hear from the customer first."""

from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.conftest import Endpoint, Sandbox, page_after, pay, session_params
from tests.stack import until

ASKED = ["4000000000003220", "4000002500003155", "4000002760003184", "4000008400001629"]


def challenge(session: Any, answer: str) -> requests.Response:
    """What the browser sends when a button of the bank's page is pressed."""
    return requests.post(
        f"{session.url}/authenticate", data={"answer": answer}, allow_redirects=False, timeout=15
    )


def intent_of(client: stripe.StripeClient, session_id: str) -> Any:
    return client.v1.checkout.sessions.retrieve(
        session_id, {"expand": ["payment_intent.latest_charge"]}
    ).payment_intent


@pytest.mark.parametrize("number", ASKED)
def test_the_bank_asks_before_anything_is_charged(
    client: stripe.StripeClient, endpoint: Endpoint, number: str
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    answer = pay(made, number)
    assert answer.status_code == 303
    page = requests.get(requests.compat.urljoin(made.url, answer.headers["Location"]), timeout=5)
    assert all(f">{button}</button>" in page.text for button in ("Complete", "Fail"))
    assert "This is not Stripe" in page.text
    intent = intent_of(client, made.id)
    assert (intent.status, intent.latest_charge) == ("requires_action", None)
    assert intent.next_action.type == "use_stripe_sdk"
    assert client.v1.charges.list().data == []
    assert client.v1.checkout.sessions.retrieve(made.id).status == "open"
    told = until(lambda: endpoint.of_type("payment_intent.requires_action"))
    assert told[0].event["data"]["object"]["id"] == intent.id


@pytest.mark.parametrize("number", ASKED[:3])
def test_who_completes_it_has_paid(client: stripe.StripeClient, number: str) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    pay(made, number)
    answer = challenge(made, "complete")
    assert answer.headers["Location"] == f"http://127.0.0.1:9/paid?session={made.id}"
    intent = intent_of(client, made.id)
    assert (intent.status, intent.next_action) == ("succeeded", None)
    secure = intent.latest_charge.payment_method_details.card.three_d_secure
    assert (secure.result, secure.authentication_flow) == ("authenticated", "challenge")


def test_who_fails_it_is_told_and_keeps_the_form(
    client: stripe.StripeClient, endpoint: Endpoint
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    pay(made, "4000002760003184")
    answer = challenge(made, "fail")
    assert answer.headers["Location"] == f"/c/pay/{made.id}"
    page = page_after(answer)
    assert "We are unable to authenticate your payment method." in page
    assert 'value="4000002760003184"' in page
    assert 'value="12 / 34"' in page
    (told,) = until(lambda: endpoint.of_type("payment_intent.payment_failed"))
    intent = told.event["data"]["object"]
    assert intent["status"] == "requires_payment_method"
    assert intent["last_payment_error"]["code"] == "payment_intent_authentication_failure"
    assert client.v1.charges.list().data == []
    assert pay(made).status_code == 303
    assert intent_of(client, made.id).status == "succeeded"


def test_one_card_is_declined_after_the_bank_has_asked(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    pay(made, "4000008400001629")
    page = page_after(challenge(made, "complete"))
    assert "Your card was declined." in page
    intent = intent_of(client, made.id)
    assert intent.last_payment_error.code == "card_declined"
    assert intent.latest_charge.status == "failed"


def test_a_card_that_only_supports_it_is_not_asked(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    answer = pay(made, "4000000000003055")
    assert answer.headers["Location"].startswith("http://127.0.0.1:9/paid")


def test_going_back_from_the_bank_and_taking_another_card_works(
    client: stripe.StripeClient, endpoint: Endpoint
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    pay(made, "4000002760003184")
    page = requests.get(made.url or "", timeout=5).text
    assert 'value="4000002760003184"' in page
    asked = intent_of(client, made.id)
    assert pay(made).status_code == 303
    paid = intent_of(client, made.id)
    assert (paid.id, paid.status) == (asked.id, "succeeded")
    assert len(client.v1.charges.list().data) == 1
    assert challenge(made, "complete").headers["Location"].startswith("http://127.0.0.1:9/paid")
    assert len(client.v1.charges.list().data) == 1
    assert len(endpoint.of_type("checkout.session.completed")) == 1


def test_a_session_left_at_the_bank_expires_and_its_payment_intent_with_it(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    pay(made, "4000002760003184")
    client.v1.checkout.sessions.expire(made.id)
    (told,) = until(lambda: endpoint.of_type("payment_intent.canceled"))
    intent = told.event["data"]["object"]
    assert (intent["status"], intent["next_action"]) == ("canceled", None)
    assert "This page has expired" in page_after(challenge(made, "complete"))
    assert client.v1.charges.list().data == []
    assert sandbox.get("/c/pay/cs_test_nothing/authenticate").status_code == 404


def test_the_banks_page_is_not_shown_when_nobody_asks(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    answer = requests.get(f"{made.url}/authenticate", allow_redirects=False, timeout=5)
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith(f"/c/pay/{made.id}")
