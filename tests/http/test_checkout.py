"""From the form to Stripe's page."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from payflow import gateway
from tests.stack import until

CREATE = "/v1/checkout/sessions"


@pytest.fixture
def asked(submit, world):
    """What Stripe is asked for when the form has been sent."""

    def ask(**changes):
        assert submit(**changes).status_code == 303
        (call,) = world.api_calls(CREATE)
        return call

    return ask


def test_a_filled_in_form_leads_to_stripes_page(submit, rows, world):
    answer = submit()
    assert answer.status_code == 303
    assert answer.location.startswith(f"{world.url}/c/pay/cs_test_")
    assert rows("SELECT status, amount, currency FROM payments") == [("open", 1250, "eur")]


def test_what_was_typed_is_kept_with_the_payment(submit, rows):
    submit(
        amount="1,250.00",
        currency="usd",
        description="  Invoice 2026-118 ",
        reference=" A-7 ",
        name=" A. Customer ",
        email=" Customer@Example.COM ",
    )
    query = "SELECT amount, currency, description, reference, name, email FROM payments"
    assert rows(query) == [
        (125000, "usd", "Invoice 2026-118", "A-7", "A. Customer", "Customer@example.com")
    ]


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [("12.50", "EUR", 1250), ("500", "JPY", 500), ("5.12", "KWD", 5120), ("0.50", "usd", 50)],
)
def test_stripe_is_asked_for_the_amount_in_its_own_units(asked, amount, currency, minor):
    (item,) = asked(amount=amount, currency=currency)["parameters"]["line_items"]
    assert item["price_data"]["unit_amount"] == str(minor)
    assert item["price_data"]["currency"] == currency.lower()
    assert item["quantity"] == "1"


def test_the_payment_is_committed_before_stripe_is_asked(submit, world, rows):
    world.set(api_delay_s=1.5)
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(submit)
        until(lambda: world.api_calls(CREATE))
        assert not answer.done()
        query = "SELECT status, session_id FROM payments JOIN attempts ON payment_id = payments.id"
        assert rows(query) == [("created", None)]
        assert rows("SELECT claimed_at IS NOT NULL FROM attempts") == [(True,)]
        assert rows("SELECT pid FROM pg_stat_activity WHERE state ~ '^idle in'") == []
        assert answer.result().status_code == 303


def test_our_ids_travel_with_the_session_and_with_the_payment_intent(asked, rows):
    call = asked()
    ((payment_id, attempt_id),) = rows("SELECT payment_id, id FROM attempts")
    mark = {"payflow_payment_id": str(payment_id), "payflow_attempt_id": str(attempt_id)}
    assert call["parameters"]["metadata"] == mark
    assert call["parameters"]["payment_intent_data"]["metadata"] == mark
    assert call["parameters"]["client_reference_id"] == str(payment_id)


def test_the_attempts_id_is_the_idempotency_key(asked, rows):
    key = asked()["idempotency_key"]
    assert rows("SELECT id FROM attempts") == [(UUID(key),)]


def test_stripe_is_asked_in_one_version_of_its_api(asked):
    assert asked()["stripe_version"] == gateway.API_VERSION


def test_the_customer_pays_in_the_currency_that_was_asked_for(asked):
    assert asked()["parameters"]["adaptive_pricing"] == {"enabled": "false"}


def test_stripe_sends_no_receipt_beside_ours(asked):
    parameters = asked()["parameters"]
    assert parameters["customer_email"] == "customer@example.com"
    assert "receipt_email" not in parameters["payment_intent_data"]


def test_the_two_ways_back_are_told_apart(asked, rows, public_url):
    parameters = asked()["parameters"]
    ((payment_id,),) = rows("SELECT id FROM payments")
    page = f"{public_url}/payments/{payment_id}"
    assert parameters["success_url"] == f"{page}?from=stripe"
    assert parameters["cancel_url"] == f"{page}?from=back"


def test_the_session_lives_as_long_as_stripe_lets_it(asked, rows):
    expires_at = datetime.fromtimestamp(int(asked()["parameters"]["expires_at"]), UTC)
    ((stored, created_at),) = rows("SELECT expires_at, created_at FROM attempts")
    assert expires_at == stored.replace(microsecond=0)
    assert timedelta(hours=23) < stored - created_at < timedelta(hours=24)


def test_what_stripe_answered_is_kept_with_the_attempt(submit, rows):
    answer = submit()
    query = "SELECT session_url, session_status, session_payment_status, number FROM attempts"
    assert rows(query) == [(answer.location, "open", "unpaid", 1)]
    assert rows("SELECT session_id FROM attempts")[0][0] in answer.location


def test_the_timeline_begins_with_the_customer_and_stripes_answer(submit, rows):
    submit()
    entries = rows("SELECT subject, happened, source FROM timeline_entries ORDER BY id")
    ((session_id,),) = rows("SELECT session_id FROM attempts")
    assert entries == [
        ("payment", "created", "the customer"),
        (session_id, "session open, unpaid", "checkout"),
        ("payment", "open", "checkout"),
    ]


def test_two_forms_make_two_payments(submit, rows):
    submit()
    submit()
    assert rows("SELECT count(*), count(DISTINCT receipt_number) FROM payments") == [(2, 2)]


def test_the_receipt_number_has_no_letters_that_are_mistaken_for_others(submit, rows):
    submit()
    ((number,),) = rows("SELECT receipt_number FROM payments")
    assert len(number) == 9
    assert not set("01OIL") & set(number)
