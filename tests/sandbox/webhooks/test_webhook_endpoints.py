"""Webhook endpoints by the API: their own secret, their own types, their own version."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.conftest import SECRET, Endpoint, Sandbox, session_params
from tests.sandbox.merchant import expire_one, paid
from tests.stack import until

EXPIRED = "checkout.session.expired"


@pytest.fixture
def other() -> Iterator[Endpoint]:
    """A second endpoint, beside that of the switches."""
    other = Endpoint()
    yield other
    other.close()


def added(client: stripe.StripeClient, endpoint: Endpoint, **params: Any) -> Any:
    wanted: Any = {"url": endpoint.url, "enabled_events": ["*"], **params}
    return client.v1.webhook_endpoints.create(wanted)


def test_an_endpoint_gets_its_own_signature_under_a_secret_told_once(
    client: stripe.StripeClient, endpoint: Endpoint, other: Endpoint
) -> None:
    made = added(client, other, description="The second", metadata={"for": "tests"})
    assert made.secret.startswith("whsec_")
    assert "secret" not in client.v1.webhook_endpoints.retrieve(made.id).to_dict()
    expire_one(client)
    (first,) = until(lambda: endpoint.of_type(EXPIRED))
    (second,) = until(lambda: other.of_type(EXPIRED))
    assert first.body == second.body
    assert first.event["pending_webhooks"] == 2
    stripe.Webhook.construct_event(first.body, first.headers["Stripe-Signature"], SECRET)
    signature = second.headers["Stripe-Signature"]
    stripe.Webhook.construct_event(second.body, signature, made.secret)
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(second.body, signature, SECRET)
    event = first.event["id"]
    until(lambda: client.v1.events.retrieve(event).pending_webhooks == 0)


def test_an_endpoint_hears_only_of_what_it_asked_for(
    client: stripe.StripeClient, endpoint: Endpoint, other: Endpoint
) -> None:
    added(client, other, enabled_events=["charge.succeeded"])
    expire_one(client)
    paid(client)
    until(lambda: other.received and endpoint.of_type(EXPIRED))
    assert {item.event["type"] for item in other.received} == {"charge.succeeded"}


def test_an_endpoint_switched_off_hears_nothing_until_it_is_on_again(
    client: stripe.StripeClient, endpoint: Endpoint, other: Endpoint
) -> None:
    made = added(client, other)
    assert client.v1.webhook_endpoints.update(made.id, {"disabled": True}).status == "disabled"
    expire_one(client)
    until(lambda: endpoint.of_type(EXPIRED))
    assert client.v1.webhook_endpoints.update(made.id, {"disabled": False}).status == "enabled"
    expire_one(client)
    until(lambda: len(endpoint.of_type(EXPIRED)) == 2 and other.received)
    assert len(other.received) == 1


def test_what_waits_for_an_endpoint_is_given_up_when_it_is_switched_off(
    client: stripe.StripeClient, sandbox: Sandbox, other: Endpoint
) -> None:
    sandbox.set(retry_schedule_s=[60])
    other.status = 500
    made = added(client, other)
    expire_one(client)
    until(lambda: other.received)
    client.v1.webhook_endpoints.update(made.id, {"disabled": True})
    sandbox.advance(120)
    types: Any = {"delivery_success": False}
    until(lambda: len(client.v1.events.list(types).data) == 1)
    client.v1.webhook_endpoints.update(made.id, {"disabled": False})
    expire_one(client)
    until(lambda: len({item.event["id"] for item in other.received}) == 2)
    assert len(other.received) == 2


def test_what_waits_follows_the_command_lines_endpoint_to_its_new_address(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint, other: Endpoint
) -> None:
    sandbox.set(webhook_delay_s=3600)
    expire_one(client)
    sandbox.set(webhook_url=other.url, webhook_secret="whsec_payflow_new")
    sandbox.advance(3600)
    (told,) = until(lambda: other.of_type(EXPIRED))
    signature = told.headers["Stripe-Signature"]
    stripe.Webhook.construct_event(told.body, signature, "whsec_payflow_new")
    assert endpoint.received == []


def test_what_a_deleted_endpoint_never_got_is_not_undelivered(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint, other: Endpoint
) -> None:
    sandbox.set(retry_schedule_s=[60])
    other.status = 500
    made = added(client, other)
    expire_one(client)
    until(lambda: other.received and endpoint.received)
    undelivered: Any = {"delivery_success": False}
    assert len(client.v1.events.list(undelivered).data) == 1
    client.v1.webhook_endpoints.delete(made.id)
    until(lambda: client.v1.events.list(undelivered).data == [])


def test_the_customer_is_held_for_each_endpoint_however_often_one_is_told(
    client: stripe.StripeClient, sandbox: Sandbox, other: Endpoint
) -> None:
    sandbox.set(delivery_faults=[{"on": "checkout.session.completed", "fault": "duplicate"}])
    other.slow_s = 0.7
    added(client, other, enabled_events=["checkout.session.completed"])
    paid(client)
    assert other.received


def test_an_endpoint_is_there_as_soon_as_its_switch_is_set(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    """Reading writes nothing: not the list, not the pages."""
    (made,) = client.v1.webhook_endpoints.list().data
    sandbox.set(webhook_url=None)
    assert client.v1.webhook_endpoints.list().data == []
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.webhook_endpoints.retrieve(made.id)


def test_a_deleted_endpoint_is_gone(
    client: stripe.StripeClient, endpoint: Endpoint, other: Endpoint
) -> None:
    made = added(client, other)
    assert client.v1.webhook_endpoints.delete(made.id).deleted
    expire_one(client)
    until(lambda: endpoint.of_type(EXPIRED))
    assert other.received == []
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.webhook_endpoints.retrieve(made.id)
    assert refused.value.code == "resource_missing"


def test_the_command_lines_endpoint_is_one_of_them(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint, other: Endpoint
) -> None:
    (its,) = client.v1.webhook_endpoints.list().data
    assert (its.url, its.enabled_events, its.status) == (endpoint.url, ["*"], "enabled")
    client.v1.webhook_endpoints.update(its.id, {"url": other.url})
    assert sandbox.get("/_sandbox/settings").json()["webhook_url"] == other.url
    expire_one(client)
    (told,) = until(lambda: other.of_type(EXPIRED))
    stripe.Webhook.construct_event(told.body, told.headers["Stripe-Signature"], SECRET)
    assert endpoint.received == []


def test_endpoints_are_listed_newest_first(client: stripe.StripeClient, other: Endpoint) -> None:
    made = [added(client, other).id for _ in range(3)]
    listed = client.v1.webhook_endpoints.list({"limit": 2})
    assert [item.id for item in listed.data] == made[:0:-1]
    assert listed.has_more


@pytest.mark.parametrize(
    ("changes", "code", "param"),
    [
        ({"url": "https://example.com/webhooks"}, "url_invalid", "url"),
        ({"enabled_events": ["charge.exploded"]}, None, "enabled_events[0]"),
        ({"api_version": "2026-01-01"}, None, "api_version"),
        ({"secret": "whsec_payflow_mine"}, "parameter_unknown", "secret"),
    ],
)
def test_what_stripe_refuses_is_refused(
    client: stripe.StripeClient, other: Endpoint, changes: Any, code: str | None, param: str
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        added(client, other, **changes)
    assert (refused.value.code, refused.value.param) == (code, param)


def test_an_endpoints_version_is_fixed(client: stripe.StripeClient, other: Endpoint) -> None:
    made = added(client, other, api_version="2019-05-16")
    assert made.api_version == "2019-05-16"
    wanted: Any = {"api_version": "2026-05-27.dahlia"}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.webhook_endpoints.update(made.id, wanted)
    assert refused.value.code == "parameter_unknown"


def test_each_endpoint_is_told_in_its_own_version(
    client: stripe.StripeClient, endpoint: Endpoint, other: Endpoint
) -> None:
    added(client, other, api_version="2019-05-16")
    paid(client)
    completed = "checkout.session.completed"
    (new,) = until(lambda: endpoint.of_type(completed))
    (old,) = until(lambda: other.of_type(completed))
    assert (new.event["api_version"], old.event["api_version"]) == (
        "2026-05-27.dahlia",
        "2019-05-16",
    )
    assert new.event["data"]["object"]["payment_status"] == "paid"
    assert not {"status", "payment_status"} & set(old.event["data"]["object"])
    assert client.v1.events.retrieve(old.event["id"]).api_version == "2026-05-27.dahlia"


def test_refunds_stand_inside_the_charge_in_an_older_version(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    sandbox.set(api_version="2022-11-15")
    intent = paid(client)
    made = client.v1.refunds.create({"payment_intent": intent, "amount": 100})
    client.v1.refunds.create({"payment_intent": intent, "amount": 200})
    first, second = until(
        lambda: endpoint.of_type("charge.refunded")[1:] and endpoint.of_type("charge.refunded")
    )
    listed = sorted(
        [item.event["data"]["object"]["refunds"]["data"] for item in (first, second)], key=len
    )
    assert [refund["amount"] for refund in listed[0]] == [100]
    assert [refund["amount"] for refund in listed[1]] == [200, 100]
    assert listed[0][0]["id"] == made.id
    assert first.event["api_version"] == "2022-11-15"


def test_a_request_is_answered_in_the_version_it_asks_for(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    url = f"{sandbox.url}/v1/checkout/sessions/{made.id}"
    key = {"Authorization": "Bearer sk_test_payflow"}
    old = requests.get(url, headers=key | {"Stripe-Version": "2019-05-16"}, timeout=5)
    assert "status" not in old.json()
    assert (old.json()["ui_mode"], made.ui_mode) == ("hosted", "hosted_page")
    assert old.headers["Stripe-Version"] == "2019-05-16"
    plain = requests.get(url, headers=key, timeout=5)
    assert plain.headers["Stripe-Version"] == "2026-05-27.dahlia"
    unknown = requests.get(url, headers=key | {"Stripe-Version": "yesterday"}, timeout=5)
    assert (unknown.status_code, unknown.json()["error"]["message"]) == (
        400,
        "Invalid Stripe API version: yesterday",
    )
