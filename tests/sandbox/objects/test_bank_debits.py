"""SEPA Direct Debit: complete at once, paid or failed days later by the stand-in's clock."""

import re
from typing import Any

import pytest
import requests
import stripe

from tests.sandbox.conftest import Endpoint, Sandbox, page_after, price, session_params
from tests.stack import until

SUCCEEDS = "AT611904300234573201"
SUCCEEDS_LATE = "AT321904300235473204"
FAILS = "AT861904300235473202"
DISPUTED = "AT591904300235473203"


def debit(session: Any, iban: str, **changes: str) -> requests.Response:
    form = {
        "method": "sepa_debit",
        "email": "customer@example.com",
        "iban": iban,
        "account_name": "Test Customer",
        **changes,
    }
    return requests.post(session.url, data=form, allow_redirects=False, timeout=15)


def let_time_pass(sandbox: Sandbox, seconds: float) -> None:
    assert sandbox.post("/_sandbox/clock", json={"advance_s": seconds}).status_code == 200


def session_now(client: stripe.StripeClient, session_id: str) -> Any:
    return client.v1.checkout.sessions.retrieve(
        session_id, {"expand": ["payment_intent.latest_charge"]}
    )


@pytest.fixture
def slow(sandbox: Sandbox) -> Sandbox:
    """Banks answer only when the clock is moved."""
    sandbox.set(debit_delay_s=60)
    return sandbox


def test_a_debit_is_complete_and_unpaid_until_the_bank_answers(
    client: stripe.StripeClient, slow: Sandbox, endpoint: Endpoint
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    answer = debit(made, SUCCEEDS)
    assert answer.headers["Location"] == f"http://127.0.0.1:9/paid?session={made.id}"
    found = session_now(client, made.id)
    assert (found.status, found.payment_status) == ("complete", "unpaid")
    assert found.payment_intent.status == "processing"
    charge = found.payment_intent.latest_charge
    assert (charge.status, charge.paid, charge.amount_refunded) == ("pending", False, 0)
    assert charge.payment_method_details.sepa_debit.last4 == "3201"
    (told,) = until(lambda: endpoint.of_type("checkout.session.completed"))
    assert told.event["data"]["object"]["payment_status"] == "unpaid"
    until(lambda: endpoint.of_type("payment_intent.processing"))
    assert "The debit has been ordered" in requests.get(made.url or "", timeout=5).text


@pytest.mark.parametrize(
    ("iban", "after_s"), [(SUCCEEDS, 61), ("at61 1904 3002 3457 3201", 61), (SUCCEEDS_LATE, 181)]
)
def test_a_debit_that_succeeds_is_told_later(
    client: stripe.StripeClient, slow: Sandbox, endpoint: Endpoint, iban: str, after_s: int
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    debit(made, iban)
    let_time_pass(slow, after_s - 5)
    assert session_now(client, made.id).payment_status == "unpaid"
    let_time_pass(slow, 5)
    (told,) = until(lambda: endpoint.of_type("checkout.session.async_payment_succeeded"))
    assert told.event["data"]["object"]["payment_status"] == "paid"
    found = session_now(client, made.id)
    assert (found.payment_status, found.payment_intent.status) == ("paid", "succeeded")
    assert found.payment_intent.latest_charge.paid is True
    until(lambda: endpoint.of_type("payment_intent.succeeded"))


@pytest.mark.parametrize(
    ("iban", "code"),
    [
        (FAILS, "generic_could_not_process"),
        ("AT981904300002222227", "insufficient_funds"),
        ("AT981904300000343434", "charge_exceeds_source_limit"),
        ("AT601904300000121212", "charge_exceeds_weekly_limit"),
    ],
)
def test_a_debit_that_fails_leaves_the_session_complete_and_unpaid(
    client: stripe.StripeClient, slow: Sandbox, endpoint: Endpoint, iban: str, code: str
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    debit(made, iban)
    let_time_pass(slow, 61)
    until(lambda: endpoint.of_type("checkout.session.async_payment_failed"))
    until(lambda: endpoint.of_type("payment_intent.payment_failed"))
    found = session_now(client, made.id)
    assert (found.status, found.payment_status) == ("complete", "unpaid")
    assert found.payment_intent.status == "requires_payment_method"
    charge = found.payment_intent.latest_charge
    assert (charge.status, charge.failure_code) == ("failed", code)
    assert endpoint.of_type("checkout.session.async_payment_succeeded") == []
    page = requests.get(made.url or "", timeout=5).text
    assert "The debit failed" in page
    assert "has been ordered" not in page


def test_one_debit_succeeds_and_is_disputed(
    client: stripe.StripeClient, slow: Sandbox, endpoint: Endpoint
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    debit(made, DISPUTED)
    let_time_pass(slow, 120)
    until(lambda: endpoint.of_type("charge.dispute.created"))
    assert session_now(client, made.id).payment_intent.latest_charge.disputed is True


def test_an_account_in_germany_pays(client: stripe.StripeClient, slow: Sandbox) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    debit(made, "DE89 3704 0044 0532 0130 00")
    let_time_pass(slow, 61)
    charge = session_now(client, made.id).payment_intent.latest_charge
    assert charge.status == "succeeded"
    details = charge.payment_method_details.sepa_debit
    assert (details.country, details.bank_code, details.last4) == ("DE", "37040044", "3000")


@pytest.mark.parametrize(
    ("iban", "message"),
    [
        ("", "Your IBAN is incomplete."),
        ("AT61", "Your IBAN is incomplete."),
        ("AT611904300234573202", "Your IBAN is invalid."),
        ("GB82WEST12345698765432", "The sandbox plays only the test accounts"),
    ],
)
def test_a_mistake_in_the_iban_is_told_beside_it(
    client: stripe.StripeClient, iban: str, message: str
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    page = page_after(debit(made, iban))
    error = re.search(r'<p class="error" id="iban-error">([^<]*)</p>', page)
    assert error
    assert message in error[1]
    assert re.search(r'value="sepa_debit" checked', page)
    assert client.v1.checkout.sessions.retrieve(made.id).payment_intent is None


def test_debits_are_offered_in_euros_only_and_where_they_are_allowed(
    client: stripe.StripeClient,
) -> None:
    create = client.v1.checkout.sessions.create
    euros = create(session_params())
    assert euros.payment_method_types == ["card", "sepa_debit"]
    for made in (
        create(session_params(line_items=price(500, "usd"))),
        create(session_params(payment_method_types=["card"])),
    ):
        assert made.payment_method_types == ["card"]
        assert "IBAN" not in requests.get(made.url or "", timeout=5).text
        answer = debit(made, SUCCEEDS)  # no such method here: taken for a card's form
        assert "Your card number is incomplete." in page_after(answer)
    with pytest.raises(stripe.InvalidRequestError, match="invalid for one or more payment method"):
        create(session_params(line_items=price(500, "usd"), payment_method_types=["sepa_debit"]))


def test_a_page_for_debits_alone_asks_for_no_card(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(session_params(payment_method_types=["sepa_debit"]))
    page = requests.get(made.url or "", timeout=5).text
    assert '<label for="iban">IBAN</label>' in page
    assert "Card number" not in page
    assert debit(made, SUCCEEDS).status_code == 303
