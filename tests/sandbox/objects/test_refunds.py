"""Refunds: full, part, too much, and what becomes of one later."""

from typing import Any

import pytest
import stripe

from tests.sandbox.conftest import Endpoint, Sandbox, pay, price, session_params
from tests.sandbox.merchant import charge_of, paid, types_about
from tests.stack import until

PENDING = "4000000000007726"
FAILS = "4000000000005126"
MINUTE = 60


def refund_events(client: stripe.StripeClient) -> list[str]:
    return [kind for kind in types_about(client, "") if "refund" in kind]


def test_a_full_refund_gives_all_back_and_is_told_twice(
    client: stripe.StripeClient, endpoint: Endpoint
) -> None:
    intent = paid(client)
    made = client.v1.refunds.create({"payment_intent": intent, "reason": "requested_by_customer"})
    assert (made.amount, made.currency, made.status) == (1250, "eur", "succeeded")
    assert made.reason == "requested_by_customer"
    charge = charge_of(client, intent)
    assert (charge.refunded, charge.amount_refunded, made.charge) == (True, 1250, charge.id)
    (created,) = until(lambda: endpoint.of_type("refund.created"))
    (refunded,) = until(lambda: endpoint.of_type("charge.refunded"))
    assert created.event["data"]["object"]["id"] == made.id
    assert refunded.event["data"]["object"]["amount_refunded"] == 1250
    assert refunded.event["data"]["previous_attributes"]["amount_refunded"] == 0
    assert created.event["request"]["id"].startswith("req_")


def test_parts_can_be_refunded_until_nothing_is_left(client: stripe.StripeClient) -> None:
    charge = charge_of(client, paid(client)).id
    client.v1.refunds.create({"charge": charge, "amount": 1000, "metadata": {"why": "late"}})
    assert not client.v1.charges.retrieve(charge).refunded
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded") as refused:
        client.v1.refunds.create({"charge": charge, "amount": 251})
    assert (refused.value.code, refused.value.param) == ("amount_too_large", "amount")
    assert client.v1.refunds.create({"charge": charge}).amount == 250
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"charge": charge})
    assert refused.value.code == "charge_already_refunded"
    listed = client.v1.refunds.list({"charge": charge}).data
    assert [refund.amount for refund in listed] == [250, 1000]
    assert listed[1].to_dict()["metadata"] == {"why": "late"}
    expanded = client.v1.charges.retrieve(charge, {"expand": ["refunds"]})
    assert expanded.refunds is not None
    assert [refund.id for refund in expanded.refunds.data] == [refund.id for refund in listed]


def test_metadata_of_the_payment_is_not_copied_to_its_refund(client: stripe.StripeClient) -> None:
    intent = paid(client, payment_intent_data={"metadata": {"payment": "pay_1"}})
    made = client.v1.refunds.create({"payment_intent": intent})
    assert made.to_dict()["metadata"] == {}
    assert made.payment_intent == intent


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({}, None, None),
        ({"charge": "ch_nothing"}, "resource_missing", "charge"),
        ({"payment_intent": "pi_nothing"}, "resource_missing", "payment_intent"),
        ({"charge": "ch_x", "amount": 0}, "parameter_invalid_integer", "amount"),
        ({"charge": "ch_x", "reason": "whim"}, None, "reason"),
        ({"charge": "ch_x", "colour": "red"}, "parameter_unknown", "colour"),
    ],
)
def test_what_stripe_refuses_is_refused(
    client: stripe.StripeClient, params: Any, code: str | None, param: str | None
) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create(params)
    assert (refused.value.code, refused.value.param) == (code, param)


def test_what_was_never_paid_is_not_refunded(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    pay(made, "4000000000000002")
    (intent,) = client.v1.payment_intents.list().data
    with pytest.raises(stripe.InvalidRequestError, match="does not have a successful charge"):
        client.v1.refunds.create({"payment_intent": intent.id})


def test_a_repeated_request_under_one_key_refunds_once(client: stripe.StripeClient) -> None:
    intent = paid(client)
    key: Any = {"idempotency_key": "refund-1"}
    made = client.v1.refunds.create({"payment_intent": intent, "amount": 100}, key)
    again = client.v1.refunds.create({"payment_intent": intent, "amount": 100}, key)
    assert again.id == made.id
    assert charge_of(client, intent).amount_refunded == 100


def test_a_pending_refund_succeeds_later(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    sandbox.set(refund_delay_s=10 * MINUTE)
    made = client.v1.refunds.create({"payment_intent": paid(client, PENDING)})
    assert made.status == "pending"
    sandbox.advance(9 * MINUTE)
    assert client.v1.refunds.retrieve(made.id).status == "pending"
    sandbox.advance(MINUTE)
    assert client.v1.refunds.retrieve(made.id).status == "succeeded"
    assert refund_events(client) == [
        "refund.created",
        "charge.refunded",
        "charge.refund.updated",
        "refund.updated",
    ]


def test_a_refund_that_succeeded_can_fail_later(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    sandbox.set(refund_delay_s=10 * MINUTE)
    intent = paid(client, FAILS)
    made = client.v1.refunds.create({"payment_intent": intent})
    assert made.status == "succeeded"
    sandbox.advance(10 * MINUTE)
    (told,) = until(lambda: endpoint.of_type("refund.failed"))
    assert told.event["data"]["object"]["failure_reason"] == "expired_or_canceled_card"
    found = client.v1.refunds.retrieve(made.id, {"expand": ["failure_balance_transaction"]})
    assert found.status == "failed"
    back = found.failure_balance_transaction
    assert isinstance(back, stripe.BalanceTransaction)
    assert back.amount == 1250
    charge = charge_of(client, intent)
    assert (charge.amount_refunded, charge.refunded) == (0, False)
    assert client.v1.refunds.create({"payment_intent": intent}).amount == 1250


def test_a_refund_that_needs_the_customer_can_be_canceled_or_expires(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    sandbox.set(refund_outcome="requires_action")
    intent = paid(client)
    first = client.v1.refunds.create({"payment_intent": intent, "amount": 100})
    second = client.v1.refunds.create({"payment_intent": intent, "amount": 100})
    assert (first.status, charge_of(client, intent).amount_refunded) == ("requires_action", 200)
    assert client.v1.refunds.cancel(first.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError, match="status of canceled"):
        client.v1.refunds.cancel(first.id)
    assert client.v1.test_helpers.refunds.expire(second.id).status == "failed"
    assert charge_of(client, intent).amount_refunded == 0


def test_a_refunds_metadata_can_be_changed(client: stripe.StripeClient) -> None:
    params: Any = {"payment_intent": paid(client), "metadata": {"a": "1", "b": "2"}}
    made = client.v1.refunds.create(params)
    changed = client.v1.refunds.update(made.id, {"metadata": {"a": "", "c": "3"}})
    assert changed.to_dict()["metadata"] == {"b": "2", "c": "3"}
    assert client.v1.refunds.update(made.id, {"metadata": ""}).to_dict()["metadata"] == {}
    assert types_about(client, "refund.updated") == ["refund.updated"] * 2


def test_a_refund_in_the_dashboard_is_told_like_any_other(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    intent = paid(client)
    answer = sandbox.post("/_sandbox/refunds", json={"payment_intent": intent, "amount": 500})
    assert answer.json()["amount"] == 500
    (told,) = until(lambda: endpoint.of_type("refund.created"))
    assert told.event["request"]["idempotency_key"] is None
    assert charge_of(client, intent).amount_refunded == 500
    too_much = sandbox.post("/_sandbox/refunds", json={"payment_intent": intent, "amount": 751})
    assert too_much.status_code == 400
    assert "greater than unrefunded amount" in too_much.json()["error"]
    failed = sandbox.post(f"/_sandbox/refunds/{answer.json()['id']}", json={"status": "failed"})
    assert failed.json()["status"] == "failed"


def test_a_part_is_refunded_in_the_currencys_steps(client: stripe.StripeClient) -> None:
    charge = charge_of(client, paid(client, line_items=price(100_000, "isk"))).id
    with pytest.raises(stripe.InvalidRequestError, match="multiple of 100") as refused:
        client.v1.refunds.create({"charge": charge, "amount": 150})
    assert refused.value.param == "amount"
    assert client.v1.refunds.create({"charge": charge, "amount": 200}).amount == 200
