"""The customer's page, as a browser without JavaScript sends and reads it."""

import re
import threading
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
import requests
import stripe

from tests.sandbox.conftest import (
    Endpoint,
    Sandbox,
    card_form,
    page_after,
    pay,
    price,
    session_params,
)
from tests.stack import until


def page_of(url: str | None) -> str:
    assert url
    response = requests.get(url, timeout=5)
    assert response.status_code == 200
    return unescape(response.text)


def test_the_page_asks_for_what_is_due(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(session_params(customer_email="me@example.com"))
    page = page_of(made.url)
    for label in ("Email", "Card number", "Expiration", "CVC", "Cardholder name"):
        assert re.search(rf"<label for=\"\w+\">{label}</label>", page)
    assert re.search(r"<button[^>]*>Pay €12\.50</button>", page)
    assert "Invoice 2026-118" in page
    assert 'value="me@example.com"' in page
    assert 'href="http://127.0.0.1:9/back"' in page
    assert "This is not Stripe" in page


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (500, "jpy", "Pay ¥500"),
        (5120, "kwd", "Pay KWD\N{NO-BREAK SPACE}5.120"),
        (500, "isk", "Pay ISK\N{NO-BREAK SPACE}5"),
        (123456, "usd", "Pay $1,234.56"),
    ],
)
def test_amounts_are_written_in_their_currency(
    client: stripe.StripeClient, amount: int, currency: str, shown: str
) -> None:
    made = client.v1.checkout.sessions.create(session_params(line_items=price(amount, currency)))
    assert f">{shown}</button>" in page_of(made.url)


@pytest.mark.parametrize(
    "number",
    [
        "4242424242424242",
        "4000 0566 5566 5556",
        "5555555555554444",
        "378282246310005",
        "6011-1111-1111-1117",
        "3056930009020004",
        "3566002020360505",
        "6200000000000005",
        "5200828282828210",
        "5105105105105100",
        "371449635398431",
        "6011000990139424",
    ],
)
def test_a_good_card_pays_and_leads_back_to_the_merchant(
    client: stripe.StripeClient, number: str
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    answer = pay(made, number)
    assert answer.status_code == 303
    assert answer.headers["Location"] == f"http://127.0.0.1:9/paid?session={made.id}"
    found = client.v1.checkout.sessions.retrieve(made.id)
    assert (found.status, found.payment_status, found.url) == ("complete", "paid", None)
    assert found.customer_details is not None
    assert found.customer_details.email == "customer@example.com"
    assert found.customer_details.name == "Test Customer"


@pytest.mark.parametrize(
    ("number", "code", "decline_code", "message"),
    [
        ("4000000000000002", "card_declined", "generic_decline", "Your card was declined."),
        ("4000000000009995", "card_declined", "insufficient_funds", "insufficient funds"),
        ("4000000000009987", "card_declined", "lost_card", "Your card was declined."),
        ("4000000000009979", "card_declined", "stolen_card", "Your card was declined."),
        ("4000000000000069", "expired_card", None, "Your card has expired."),
        ("4000000000000127", "incorrect_cvc", None, "security code is incorrect"),
        ("4000000000000119", "processing_error", None, "error occurred while processing"),
        ("4000000000006975", "card_declined", "card_velocity_exceeded", "too frequently"),
        ("4000000000000341", "card_declined", "generic_decline", "Your card was declined."),
        ("4100000000000019", "card_declined", "fraudulent", "Your card was declined."),
    ],
)
def test_a_declined_card_leaves_the_session_open(
    client: stripe.StripeClient,
    endpoint: Endpoint,
    number: str,
    code: str,
    decline_code: str | None,
    message: str,
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    answer = pay(made, number)
    page = page_after(answer)
    assert message in page
    assert f'value="{number}"' in page
    found = client.v1.checkout.sessions.retrieve(made.id, {"expand": ["payment_intent"]})
    assert (found.status, found.payment_status, found.url) == ("open", "unpaid", made.url)
    told = until(lambda: endpoint.of_type("payment_intent.payment_failed"))
    intent = told[0].event["data"]["object"]
    assert intent["last_payment_error"]["code"] == code
    assert intent["last_payment_error"].get("decline_code") == decline_code
    assert (intent["id"], intent["status"]) == (found.payment_intent.id, "requires_payment_method")


def test_a_number_that_may_be_real_is_neither_played_nor_kept(
    client: stripe.StripeClient,
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    page = page_after(pay(made, "4111 1111 1111 1111", cvc="987"))
    assert "The sandbox plays only the test cards that its README lists" in page
    assert "4111" not in page
    assert 'value="987"' not in page
    assert 'value="customer@example.com"' in page
    form = {"method": "sepa_debit", "iban": "GB82WEST12345698765432", "account_name": "A"}
    page = page_after(pay(made, **form))
    assert "The sandbox plays only the test accounts that its README lists" in page
    assert "98765432" not in page


def test_the_message_stays_until_the_next_try(client: stripe.StripeClient) -> None:
    """Back, Forward and Reload ask for the page, and send nothing."""
    made = client.v1.checkout.sessions.create(session_params())
    answer = pay(made, "4000000000009995")
    assert made.url
    assert made.url.endswith(answer.headers["Location"])
    for _ in range(2):
        assert "insufficient funds" in page_of(made.url)
    assert len(client.v1.charges.list().data) == 1
    assert "insufficient funds" not in page_after(pay(made, cvc="1"))


def test_the_next_card_uses_the_same_payment_intent(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    pay(made, "4000000000000002")
    declined = client.v1.checkout.sessions.retrieve(made.id).payment_intent
    assert pay(made).status_code == 303
    found = client.v1.checkout.sessions.retrieve(made.id, {"expand": ["payment_intent"]})
    assert found.payment_intent.id == declined
    assert found.payment_intent.last_payment_error is None
    charges = client.v1.charges.list().data
    assert [charge.status for charge in charges] == ["succeeded", "failed"]


LAST_MONTH = (datetime.now(UTC).replace(day=1) - timedelta(days=1)).strftime("%m / %y")


@pytest.mark.parametrize(
    ("field", "typed", "message"),
    [
        ("number", "4242424242424241", "Your card number is invalid."),
        ("number", "4242", "Your card number is incomplete."),
        ("number", "", "Your card number is incomplete."),
        ("expiration", "12 / 20", "Your card's expiration year is in the past."),
        ("expiration", LAST_MONTH, "in the past."),
        ("expiration", "13 / 34", "Your card's expiration date is invalid."),
        ("expiration", "12", "Your card's expiration date is incomplete."),
        ("cvc", "12", "Your card's security code is incomplete."),
        ("cvc", "12345", "Your card's security code is incomplete."),
        ("email", "nobody", "Your email is invalid."),
        ("email", "", "Enter your email."),
        ("name", "", "Enter the name on the card."),
    ],
)
def test_a_mistake_is_told_beside_its_field_and_what_was_typed_is_kept(
    client: stripe.StripeClient, field: str, typed: str, message: str
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    answer = pay(made, **({"number": typed} if field == "number" else {field: typed}))
    page = page_after(answer)
    error = re.search(rf'<p class="error" id="{field}-error">([^<]*)</p>', page)
    assert error
    assert message in error[1]
    kept = card_form() | {field: typed}
    assert all(f'value="{value}"' in page for value in kept.values())
    assert client.v1.checkout.sessions.retrieve(made.id).payment_intent is None


@pytest.mark.parametrize("typed", ["12/34", "12 / 34", "1234", "12/2034", "1/34"])
def test_expiries_are_read_as_people_type_them(client: stripe.StripeClient, typed: str) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    assert pay(made, expiration=typed).status_code == 303


def test_pressing_pay_many_times_at_once_pays_once(
    client: stripe.StripeClient, endpoint: Endpoint
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    answers: list[int] = []
    clicks = [
        threading.Thread(target=lambda: answers.append(pay(made).status_code)) for _ in range(8)
    ]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()
    assert answers == [303] * 8
    assert len(client.v1.charges.list().data) == 1
    assert len(endpoint.of_type("checkout.session.completed")) == 1


def test_a_paid_session_says_so_and_leads_back(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    pay(made)
    page = page_of(made.url)
    assert "This has been paid" in page
    assert f'href="http://127.0.0.1:9/paid?session={made.id}"' in page
    assert "<form" not in page


def test_an_expired_session_says_so_and_takes_no_card(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    client.v1.checkout.sessions.expire(made.id)
    assert "This page has expired" in page_of(made.url)
    page = page_after(pay(made))
    assert "This page has expired" in page
    assert 'href="http://127.0.0.1:9/back"' in page
    assert client.v1.charges.list().data == []


def test_an_expired_session_without_a_way_back_says_whom_to_ask(
    client: stripe.StripeClient,
) -> None:
    params = session_params(branding_settings={"display_name": "Harbour Studio"})
    del params["cancel_url"]
    made = client.v1.checkout.sessions.create(params)
    client.v1.checkout.sessions.expire(made.id)
    page = page_of(made.url)
    assert "Ask Harbour Studio for a new link." in page
    assert "Go back" not in page


def test_an_unknown_session_is_a_plain_404(sandbox: Sandbox) -> None:
    answer = sandbox.get("/c/pay/cs_test_nothing")
    assert answer.status_code == 404
    assert "no such payment page" in answer.text


def test_what_strangers_type_is_escaped(client: stripe.StripeClient) -> None:
    evil = "<script>alert(1)</script>\"'"
    items = price(500, "eur")
    items[0]["price_data"]["product_data"]["name"] = evil
    made = client.v1.checkout.sessions.create(session_params(line_items=items))
    assert made.url
    pay(made, name=evil, email=evil)
    index = requests.get(made.url.split("/c/")[0] + "/", timeout=5)
    for page in (requests.get(made.url, timeout=5).text, index.text):
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert" in page


def test_no_page_can_load_or_run_anything_foreign(client: stripe.StripeClient) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    assert made.url
    answer = requests.get(made.url, timeout=5)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["Cache-Control"] == "no-store"
    assert not re.search(r'(src|href)="(https?:)?//(?!127\.0\.0\.1)', answer.text)
