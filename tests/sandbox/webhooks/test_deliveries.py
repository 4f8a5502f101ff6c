"""Events on their way to the endpoint: signed, retried, held back, sent again."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import stripe

from sandbox.checkout.hosted_page import HELD_AT_MOST_S
from sandbox.webhooks.deliveries import AT_ONCE
from tests.sandbox.conftest import (
    SECRET,
    Endpoint,
    Sandbox,
    client_of,
    pay,
    session_params,
    start_sandbox,
)
from tests.sandbox.merchant import expire_one, paid, types_about
from tests.stack import until

ALL_TYPES = {
    "payment_intent.created",
    "charge.succeeded",
    "payment_intent.succeeded",
    "checkout.session.completed",
}


def test_a_payment_is_told_in_signed_events(
    client: stripe.StripeClient, endpoint: Endpoint
) -> None:
    made = client.v1.checkout.sessions.create(session_params(client_reference_id="Zoë"))
    pay(made)
    until(lambda: len(endpoint.at_once) == 4)
    assert {item.event["type"] for item in endpoint.at_once} == ALL_TYPES
    for item in endpoint.at_once:
        signature = item.headers["Stripe-Signature"]
        event = stripe.Webhook.construct_event(item.body, signature, SECRET)
        assert ",v0=" in signature
        assert (event.object, event.livemode, event.pending_webhooks) == ("event", False, 1)
        assert event.api_version == "2026-05-27.dahlia"
        assert item.headers["Content-Type"] == "application/json; charset=utf-8"
        assert item.headers["User-Agent"].startswith("Stripe/1.0")
    (completed,) = endpoint.of_type("checkout.session.completed")
    told = completed.event["data"]["object"]
    assert told == json.loads(json.dumps(client.v1.checkout.sessions.retrieve(made.id).to_dict()))
    assert "Zoë".encode() in completed.body


def test_a_body_serialised_anew_does_not_verify(
    client: stripe.StripeClient, endpoint: Endpoint
) -> None:
    pay(client.v1.checkout.sessions.create(session_params()))
    (item,) = endpoint.of_type("checkout.session.completed")
    again = json.dumps(json.loads(item.body)).encode()
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(again, item.headers["Stripe-Signature"], SECRET)


def test_the_customer_is_held_until_the_endpoint_answered(
    client: stripe.StripeClient, endpoint: Endpoint
) -> None:
    endpoint.slow_s = 0.4
    made = client.v1.checkout.sessions.create(session_params())
    started = time.monotonic()
    assert pay(made).status_code == 303
    assert time.monotonic() - started >= 0.4
    assert len(endpoint.of_type("checkout.session.completed")) == 1


def test_with_a_delay_the_customer_goes_at_once_and_events_come_later(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    sandbox.set(webhook_delay_s=3600)
    started = time.monotonic()
    paid(client)
    assert time.monotonic() - started < HELD_AT_MOST_S
    sandbox.set(webhook_delay_s=0)
    expire_one(client)
    until(lambda: endpoint.received)
    assert len(endpoint.at_once) == 1
    sandbox.advance(3600)
    until(lambda: {item.event["type"] for item in endpoint.at_once} > ALL_TYPES)


@pytest.mark.parametrize("status", [301, 400, 500])
def test_whatever_is_no_2xx_is_sent_again(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint, status: int
) -> None:
    sandbox.set(retry_schedule_s=[0.1])
    endpoint.status = status
    client.v1.checkout.sessions.expire(client.v1.checkout.sessions.create(session_params()).id)
    until(lambda: endpoint.received)
    endpoint.status = 200
    until(lambda: len(endpoint.received) == 2)
    first, second = endpoint.received
    assert first.body == second.body


def test_a_retry_is_signed_anew_and_ends_what_is_pending(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    sandbox.set(retry_schedule_s=[1.1])  # the signature's time is in whole seconds
    endpoint.status = 500
    client.v1.checkout.sessions.expire(client.v1.checkout.sessions.create(session_params()).id)
    until(lambda: endpoint.received)
    event = client.v1.events.list().data[0]
    assert event.pending_webhooks == 1
    endpoint.status = 200
    until(lambda: len(endpoint.received) == 2)
    first, second = (item.headers["Stripe-Signature"] for item in endpoint.received)
    assert first != second
    stripe.Webhook.construct_event(endpoint.received[1].body, second, SECRET)
    until(lambda: client.v1.events.retrieve(event.id).pending_webhooks == 0)


def test_an_endpoint_that_is_down_is_tried_as_often_as_the_schedule_says(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    sandbox.set(retry_schedule_s=[0.05, 0.05])
    endpoint.status = 503
    client.v1.checkout.sessions.expire(client.v1.checkout.sessions.create(session_params()).id)
    event = client.v1.events.list().data[0]
    until(lambda: "given up" in sandbox.get(f"/events/{event.id}").text)
    assert len(endpoint.received) == 3
    undelivered = client.v1.events.list({"delivery_success": False}).data
    assert [item.id for item in undelivered] == [event.id]


def test_deliveries_switched_off_wait_and_come_once_switched_on(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    sandbox.set(deliver=False)
    started = time.monotonic()
    paid(client)
    assert time.monotonic() - started < HELD_AT_MOST_S
    sandbox.advance(60)
    assert "charge.updated" in types_about(client, "charge.")
    assert endpoint.received == []
    assert {event.pending_webhooks for event in client.v1.events.list().data} == {1}
    sandbox.set(deliver=True)
    until(lambda: len(endpoint.at_once) == 4)


def test_an_event_can_be_sent_again_by_hand(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    pay(client.v1.checkout.sessions.create(session_params()))
    (first,) = endpoint.of_type("checkout.session.completed")
    page = f"/events/{first.event['id']}"
    until(lambda: "✓ delivered" in sandbox.get(page).text)
    assert sandbox.post(f"{page}/send").status_code == 303
    until(lambda: len(endpoint.of_type("checkout.session.completed")) == 2)
    assert endpoint.of_type("checkout.session.completed")[1].body == first.body
    until(lambda: sandbox.get(page).text.count('class="attempt"') == 2)


def test_without_an_endpoint_events_are_kept_and_told_to_nobody(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    sandbox.set(webhook_url=None)
    paid(client)
    assert {event.pending_webhooks for event in client.v1.events.list().data} == {0}
    sandbox.set(webhook_url=endpoint.url)
    expire_one(client)
    until(lambda: endpoint.of_type("checkout.session.expired"))
    assert ALL_TYPES.isdisjoint(item.event["type"] for item in endpoint.received)


def test_a_session_left_behind_by_a_decline_cancels_its_payment_intent_when_it_expires(
    client: stripe.StripeClient, endpoint: Endpoint
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    pay(made, "4000000000000002")
    client.v1.checkout.sessions.expire(made.id)
    (told,) = until(lambda: endpoint.of_type("payment_intent.canceled"))
    assert told.event["data"]["object"]["status"] == "canceled"


def test_state_and_undelivered_events_survive_a_restart(tmp_path: Path, endpoint: Endpoint) -> None:
    arguments = ("--data", str(tmp_path), "--webhook-url", endpoint.url, "--webhook-secret", SECRET)
    first = start_sandbox(*arguments)
    endpoint.status = 500
    first.set(retry_schedule_s=[1.0])
    made = client_of(first).v1.checkout.sessions.create(session_params())
    pay(made)
    until(lambda: len(endpoint.at_once) == 4)
    first.process.kill()
    first.process.wait()
    endpoint.status = 200
    second = start_sandbox("--data", str(tmp_path))
    try:
        found = client_of(second).v1.checkout.sessions.retrieve(made.id)
        assert found.payment_status == "paid"
        until(lambda: len(endpoint.at_once) == 8)
        assert {item.event["type"] for item in endpoint.at_once[4:]} == ALL_TYPES
    finally:
        assert first.process.stdout is not None
        first.process.stdout.close()
        assert second.stop() == 0


def test_an_event_under_way_when_the_process_was_killed_is_sent_by_the_next(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    endpoint.slow_s = 1.5
    hook = ("--webhook-url", endpoint.url, "--webhook-secret", SECRET)
    first = start_sandbox("--data", str(tmp_path), *hook)
    expire_one(client_of(first))
    until(lambda: endpoint.begun == 1)
    first.process.kill()
    first.process.wait()
    assert first.process.stdout is not None
    first.process.stdout.close()
    assert endpoint.received == []  # nobody took the answer down
    second = start_sandbox("--data", str(tmp_path))
    try:
        until(lambda: client_of(second).v1.events.list({"delivery_success": True}).data)
        assert len({item.event["id"] for item in endpoint.received}) == 1
        assert endpoint.begun == 2
    finally:
        assert second.stop() == 0


def test_an_endpoint_that_hangs_keeps_no_other_waiting(
    client: stripe.StripeClient, endpoint: Endpoint
) -> None:
    hanging = Endpoint()
    hanging.open.clear()
    wanted: Any = {"url": hanging.url, "enabled_events": ["*"]}
    made = client.v1.webhook_endpoints.create(wanted)
    for _ in range(40):
        expire_one(client)
    until(lambda: len(endpoint.received) == 40)
    assert hanging.received == []
    client.v1.webhook_endpoints.delete(made.id)
    hanging.close()


def test_nothing_forgotten_by_a_reset_is_sent_after_it(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    endpoint.open.clear()
    for _ in range(2 * AT_ONCE):
        expire_one(client)
    forgotten = {event.id for event in client.v1.events.list({"limit": 100}).data}
    until(lambda: endpoint.begun == AT_ONCE)
    sandbox.post("/_sandbox/reset")
    expire_one(client)
    (event,) = client.v1.events.list().data
    endpoint.open.set()
    until(lambda: event.id in {item.event["id"] for item in endpoint.received})
    until(lambda: len(endpoint.received) == AT_ONCE + 1)
    came = {item.event["id"] for item in endpoint.received}
    assert len(came & forgotten) == AT_ONCE < len(forgotten)


def test_what_waits_for_an_endpoint_is_given_up_when_the_switch_takes_it_away(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    sandbox.set(webhook_delay_s=3600)
    expire_one(client)
    undelivered: Any = {"delivery_success": False}
    assert [event.pending_webhooks for event in client.v1.events.list(undelivered).data] == [1]
    sandbox.set(webhook_url=None)
    assert client.v1.events.list(undelivered).data == []
    assert [event.pending_webhooks for event in client.v1.events.list().data] == [0]


def test_a_retry_waits_for_its_time_after_a_slow_answer_and_a_moved_clock(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    sandbox.advance(1)
    sandbox.set(retry_schedule_s=[1.0])
    endpoint.status, endpoint.slow_s = 500, 1.0
    expire_one(client)
    until(lambda: endpoint.received)
    endpoint.status = 200
    until(lambda: len(endpoint.received) == 2)
    first, second = (item.at for item in endpoint.received)
    assert second - first >= 2.0
