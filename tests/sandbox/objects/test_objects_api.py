"""PaymentIntents, charges, balance, account, lists and expansion, asked by stripe-python."""

from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.conftest import Endpoint, Sandbox, pay, price, session_params
from tests.sandbox.merchant import charge_of, paid
from tests.stack import until

KEY = {"Authorization": "Bearer sk_test_payflow"}


def test_a_payment_intent_can_be_written_on(client: stripe.StripeClient) -> None:
    intent = paid(client, payment_intent_data={"metadata": {"a": "1", "b": "2"}})
    params: Any = {"description": "Paid", "metadata": {"a": "", "c": "3"}}
    changed = client.v1.payment_intents.update(intent, params)
    assert (changed.description, changed.to_dict()["metadata"]) == ("Paid", {"b": "2", "c": "3"})
    assert charge_of(client, intent).to_dict()["metadata"] == {"a": "1", "b": "2"}
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.payment_intents.update(intent, {"amount": 1})
    assert refused.value.param == "amount"


def test_an_open_sessions_payment_intent_is_not_canceled_but_expired(
    client: stripe.StripeClient,
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    pay(made, "4000000000000002")
    (intent,) = client.v1.payment_intents.list().data
    with pytest.raises(stripe.InvalidRequestError, match="Expire the Checkout Session"):
        client.v1.payment_intents.cancel(intent.id)
    client.v1.checkout.sessions.expire(made.id)
    assert client.v1.payment_intents.retrieve(intent.id).status == "canceled"


def test_what_is_paid_is_not_canceled(client: stripe.StripeClient) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="status of succeeded") as refused:
        client.v1.payment_intents.cancel(paid(client))
    assert refused.value.code == "payment_intent_unexpected_state"


def test_a_charge_can_be_written_on_and_tells_so(
    client: stripe.StripeClient, endpoint: Endpoint
) -> None:
    charge = charge_of(client, paid(client)).id
    until(lambda: endpoint.of_type("charge.updated"))
    changed = client.v1.charges.update(charge, {"description": "Books"})
    assert changed.description == "Books"
    told = until(lambda: endpoint.of_type("charge.updated")[1:])
    assert told[0].event["data"]["previous_attributes"] == {"description": None}


def test_a_sessions_metadata_can_be_changed(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(session_params(metadata={"a": "1"}))
    changed = client.v1.checkout.sessions.update(made.id, {"metadata": {"b": "2"}})
    assert changed.to_dict()["metadata"] == {"a": "1", "b": "2"}


def test_a_charge_learns_its_fee_a_moment_later(
    client: stripe.StripeClient, endpoint: Endpoint
) -> None:
    intent = paid(client)
    (told,) = until(lambda: endpoint.of_type("charge.succeeded"))
    assert told.event["data"]["object"]["balance_transaction"] is None
    (updated,) = until(lambda: endpoint.of_type("charge.updated"))
    assert updated.event["data"]["previous_attributes"] == {"balance_transaction": None}
    expand = ["latest_charge.balance_transaction"]
    found = client.v1.payment_intents.retrieve(intent, {"expand": expand}).latest_charge
    assert isinstance(found, stripe.Charge)
    transaction = found.balance_transaction
    assert isinstance(transaction, stripe.BalanceTransaction)
    assert (transaction.amount, transaction.fee, transaction.net) == (1250, 66, 1184)
    assert (transaction.type, transaction.status) == ("charge", "pending")
    assert transaction.source == found.id


def test_balance_transactions_add_up(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    intent = paid(client)
    client.v1.refunds.create({"payment_intent": intent, "amount": 250})
    listed = client.v1.balance_transactions.list()
    assert [(item.type, item.net) for item in listed.data] == [("refund", -250), ("charge", 1184)]
    of_charge = {"source": charge_of(client, intent).id}
    (one,) = client.v1.balance_transactions.list(of_charge).data  # type: ignore[arg-type]
    assert client.v1.balance_transactions.retrieve(one.id).net == 1184
    assert client.v1.balance.retrieve().pending[0].amount == 1184
    sandbox.advance(3 * 24 * 60 * 60)
    assert client.v1.balance_transactions.retrieve(one.id).status == "available"
    assert client.v1.balance.retrieve().available[0].amount == 934


@pytest.mark.parametrize(("amount", "currency", "fee"), [(500, "jpy", 15), (5120, "kwd", 440)])
def test_fees_keep_to_the_currencys_steps(
    client: stripe.StripeClient, sandbox: Sandbox, amount: int, currency: str, fee: int
) -> None:
    intent = paid(client, line_items=price(amount, currency))
    sandbox.advance(5)
    (one,) = client.v1.balance_transactions.list({"source": charge_of(client, intent).id}).data
    assert (one.fee, one.currency) == (fee, currency)


def test_the_account_is_a_test_account_that_can_charge(client: stripe.StripeClient) -> None:
    account = client.v1.accounts.retrieve_current()
    assert (account.object, account.charges_enabled) == ("account", True)
    assert account.id.startswith("acct_")


def test_lists_are_filtered_and_paged_both_ways(client: stripe.StripeClient) -> None:
    intents = [paid(client) for _ in range(3)]
    charges = [charge.id for charge in client.v1.charges.list().data]
    (one,) = client.v1.charges.list({"payment_intent": intents[0]}).data
    assert one.id == charges[2]
    older = client.v1.charges.list({"limit": 1, "starting_after": charges[0]})
    assert ([charge.id for charge in older.data], older.has_more) == ([charges[1]], True)
    newer = client.v1.charges.list({"limit": 1, "ending_before": charges[2]})
    assert ([charge.id for charge in newer.data], newer.has_more) == ([charges[1]], True)
    walked = [charge.id for charge in client.v1.charges.list({"limit": 1}).auto_paging_iter()]
    assert walked == charges


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=ten", "limit"),
        ("starting_after=ch_nothing", "starting_after"),
        ("created[gte]=soon", "created[gte]"),
        ("colour=red", "colour"),
        ("expand[]=data.colour", "expand"),
        ("expand=data", "expand"),
    ],
)
def test_bad_list_parameters_are_refused(
    client: stripe.StripeClient, sandbox: Sandbox, query: str, param: str
) -> None:
    paid(client)
    answer = requests.get(f"{sandbox.url}/v1/charges?{query}", headers=KEY, timeout=5)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_only_one_cursor_is_taken(client: stripe.StripeClient) -> None:
    charge = charge_of(client, paid(client)).id
    with pytest.raises(stripe.InvalidRequestError, match="only specify one"):
        client.v1.charges.list({"starting_after": charge, "ending_before": charge})


def test_events_are_filtered_by_how_their_delivery_went(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    sandbox.set(retry_schedule_s=[])
    client.v1.checkout.sessions.expire(client.v1.checkout.sessions.create(session_params()).id)
    until(lambda: client.v1.events.list({"delivery_success": True}).data)
    endpoint.status = 500
    client.v1.checkout.sessions.expire(client.v1.checkout.sessions.create(session_params()).id)
    (bad,) = until(lambda: client.v1.events.list({"delivery_success": False}).data)
    good = client.v1.events.list({"delivery_success": True}).data
    assert bad.id not in [event.id for event in good]
    wanted: Any = {"types": ["checkout.session.*"], "created": {"gte": bad.created - 60}}
    assert len(client.v1.events.list(wanted).data) == 2


def test_everything_can_be_expanded_in_a_list(client: stripe.StripeClient) -> None:
    paid(client)
    expand = ["data.payment_intent.latest_charge", "data.line_items"]
    (found,) = client.v1.checkout.sessions.list({"expand": expand}).data
    assert isinstance(found.payment_intent, stripe.PaymentIntent)
    assert isinstance(found.payment_intent.latest_charge, stripe.Charge)
    assert found.line_items is not None
    assert found.line_items.data[0].amount_total == 1250


def test_errors_carry_what_a_support_case_needs(sandbox: Sandbox) -> None:
    answer = requests.get(f"{sandbox.url}/v1/charges/ch_nothing", headers=KEY, timeout=5)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (404, "resource_missing")
    assert error["doc_url"].endswith("/resource-missing")
    assert answer.headers["Request-Id"] in error["request_log_url"]
    assert answer.headers["Stripe-Version"] == "2026-05-27.dahlia"
    keyed = KEY | {"Idempotency-Key": "k" * 256}
    too_long = requests.post(f"{sandbox.url}/v1/refunds", headers=keyed, timeout=5)
    assert too_long.json()["error"]["type"] == "idempotency_error"
    assert too_long.headers["Stripe-Should-Retry"] == "false"
