"""When Stripe refuses, can't be reached, takes long, or a process dies while asking it."""

import contextvars
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib import import_module
from uuid import UUID

import pytest

from payflow import gateway
from sandbox.demo.postgres import free_port
from tests.http.conftest import FORM, hidden_fields
from tests.stack import until

CREATE = "/v1/checkout/sessions"


@pytest.fixture
def cut_off(installed, client):
    """Send a form, in the same browser, to an application that can't reach Stripe."""
    app = installed(STRIPE_API_BASE=f"http://127.0.0.1:{free_port()}")

    def post(form):
        browser = app.test_client()
        browser.set_cookie("payflow", client.get_cookie("payflow").value)
        return browser.post("/checkout", data=form)

    return post


def test_a_refusal_of_stripes_is_shown_in_its_words(fill_in, send, rows, world):
    answer = send(fill_in(amount="1000000.00"))
    assert answer.status_code == 502
    assert "Stripe did not accept this payment" in answer.text
    assert "€999,999.99" in answer.text
    assert "Nothing has been charged" in answer.text
    assert 'value="1000000.00"' in answer.text
    assert 'value="Invoice 2026-118"' in answer.text
    assert rows("SELECT status FROM payments") == [("created",)]


def test_a_refusal_that_is_our_own_fault_is_not_shown_in_stripes_words(
    fill_in, send, world, pass_time
):
    pass_time(timedelta(hours=1))  # ahead of Stripe's, so that the session would live too long
    answer = send(fill_in())
    assert answer.status_code == 502
    assert "This payment can’t be opened at the moment" in answer.text
    assert "Nothing has been charged" in answer.text
    assert "expires_at" not in answer.text
    assert 'value="12.50"' in answer.text
    assert [call["status"] for call in world.api_calls(CREATE)] == [400]


def test_after_a_refusal_a_mended_form_is_accepted(client, fill_in, send, rows):
    page = send(fill_in(amount="1000000.00")).text
    answer = client.post("/checkout", data=FORM | hidden_fields(page))
    assert answer.status_code == 303
    assert rows("SELECT amount FROM payments WHERE status = 'open'") == [(1250,)]


def test_after_a_refusal_the_same_form_is_asked_under_a_new_key(fill_in, send, rows, world):
    """Stripe would answer the same again to the old one, however long ago the cause was mended."""
    form = fill_in(amount="1000000.00")
    assert [send(form).status_code, send(form).status_code] == [502, 502]
    keys = [call["idempotency_key"] for call in world.api_calls(CREATE)]
    assert len(keys) == len(set(keys)) == 2
    assert rows("SELECT count(*) FROM payments") == [(1,)]


def test_when_stripe_cannot_be_reached_the_page_says_so_and_keeps_the_input(
    cut_off, fill_in, send, rows, world
):
    form = fill_in(reference="A-7")
    answer = cut_off(form)
    assert answer.status_code == 502
    assert "Stripe can’t be reached at the moment" in answer.text
    assert "Nothing has been charged" in answer.text
    assert "Try again</button>" in answer.text
    for value in ("12.50", "Invoice 2026-118", "A-7", "A. Customer", "customer@example.com"):
        assert f'value="{value}"' in answer.text
    assert rows("SELECT status, session_id FROM payments, attempts") == [("created", None)]

    later = send(FORM | {"reference": "A-7"} | hidden_fields(answer.text))
    assert later.status_code == 303
    assert later.location.startswith(f"{world.url}/c/pay/")
    assert rows("SELECT status FROM payments") == [("open",)]
    ((attempt_id,),) = rows("SELECT id FROM attempts")
    (call,) = world.api_calls(CREATE)
    assert UUID(call["idempotency_key"]) == attempt_id


@pytest.mark.parametrize("fault", ["500", "500_after", "429", "reset_before", "reset_after"])
def test_in_every_trouble_of_stripes_the_page_says_what_it_means_and_the_next_click_goes_on(
    fill_in, send, rows, world, fault
):
    form = fill_in()
    world.set(api_faults=[{"on": "POST /v1/checkout/sessions", "fault": fault}])
    answer = send(form)
    assert answer.status_code == 502
    assert "Stripe can’t be reached at the moment" in answer.text
    assert "Nothing has been charged" in answer.text
    assert "Try again</button>" in answer.text
    for value in ("12.50", "Invoice 2026-118", "A. Customer", "customer@example.com"):
        assert f'value="{value}"' in answer.text
    assert rows("SELECT status FROM payments") == [("created",)]
    world.set(api_faults=[])
    assert send(form).location.startswith(f"{world.url}/c/pay/")
    assert rows("SELECT status FROM payments") == [("open",)]
    assert rows("SELECT count(*) FROM attempts WHERE session_status = 'open'") == [(1,)]


def test_a_stripe_that_answers_too_slowly_is_given_up_and_asked_for_the_same_again(
    installed, client, fill_in, send, rows, world, monkeypatch
):
    """It made the session all the same: the next click is given that one."""
    monkeypatch.setattr(gateway, "TIMEOUT", 0.4)
    monkeypatch.setattr(gateway, "NETWORK_RETRIES", 0)
    impatient = installed().test_client()
    form = fill_in()
    impatient.set_cookie("payflow", client.get_cookie("payflow").value)
    world.set(api_faults=[{"on": "POST /v1/checkout/sessions", "fault": "timeout_after"}])
    answer = impatient.post("/checkout", data=form)
    assert answer.status_code == 502
    assert "Stripe can’t be reached at the moment" in answer.text
    assert "Nothing has been charged" in answer.text
    assert 'value="Invoice 2026-118"' in answer.text
    world.set(api_faults=[])
    assert send(form).status_code == 303
    first, second = world.api_calls(CREATE)
    assert first["idempotency_key"] == second["idempotency_key"]
    assert rows("SELECT status FROM payments") == [("open",)]


def test_a_key_that_stripe_refuses_is_told_as_our_fault_and_forgotten_once_it_is_mended(
    fill_in, send, rows, world
):
    form = fill_in()
    world.set(api_faults=[{"on": "POST /v1/checkout/sessions", "fault": "401", "times": 1}])
    answer = send(form)
    assert answer.status_code == 502
    assert "This payment can’t be opened at the moment" in answer.text
    assert "Nothing has been charged. The fault is on our side" in answer.text
    assert "API Key" not in answer.text
    assert 'value="Invoice 2026-118"' in answer.text
    assert rows("SELECT status FROM payments") == [("created",)]
    assert send(form).status_code == 303
    assert rows("SELECT status FROM payments") == [("open",)]


def test_a_change_while_stripe_cannot_be_reached_leaves_the_first_payment_as_it_is(
    cut_off, fill_in, send, rows
):
    """Its session can't be closed, so that a second one could be paid beside it."""
    form = fill_in()
    first = send(form)
    assert cut_off(form | {"amount": "20.00"}).status_code == 502
    assert rows("SELECT amount, status, replaced_at FROM payments") == [(1250, "open", None)]
    assert send(form).location == first.location


def test_a_process_that_died_while_asking_is_taken_over_with_the_same_request(
    cut_off, fill_in, send, rows, world, pass_time
):
    form = fill_in()
    cut_off(form)
    rows("UPDATE attempts SET claimed_at = now() RETURNING 1")
    ((attempt_id, parameters),) = rows("SELECT id, parameters FROM attempts")
    pass_time(timedelta(seconds=gateway.LONGEST_CALL + 1))
    assert send(form).status_code == 303
    (call,) = world.api_calls(CREATE)
    assert UUID(call["idempotency_key"]) == attempt_id
    assert as_sent(parameters) == call["parameters"]
    assert rows("SELECT count(*) FROM attempts") == [(1,)]


def as_sent(value):
    """A form-encoded request knows texts only."""
    if isinstance(value, dict):
        return {key: as_sent(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_sent(item) for item in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_an_answer_that_was_lost_is_asked_for_again_and_is_the_same(fill_in, send, rows, world):
    """The process dies between Stripe's answer and our commit."""
    form = fill_in()
    first = send(form)
    rows(
        """UPDATE attempts SET session_id = NULL, session_url = NULL, session_status = NULL,
           session_payment_status = NULL, claimed_at = NULL RETURNING 1"""
    )
    assert send(form).location == first.location
    created, repeated = world.api_calls(CREATE)
    assert created["idempotency_key"] == repeated["idempotency_key"]
    assert created["parameters"] == repeated["parameters"]
    assert repeated["replayed"] is True


def test_a_key_that_stripe_may_have_forgotten_is_not_used_again(
    cut_off, fill_in, send, rows, world
):
    form = fill_in()
    cut_off(form)
    ((forgotten,),) = rows(
        "UPDATE attempts SET created_at = created_at - interval '23 hours 1 minute' RETURNING id"
    )
    assert send(form).status_code == 303
    (call,) = world.api_calls(CREATE)
    assert UUID(call["idempotency_key"]) != forgotten
    assert rows("SELECT number, session_status FROM attempts ORDER BY number") == [
        (1, None),
        (2, "open"),
    ]


def test_while_stripe_takes_long_a_second_click_is_told_where_to_go_on(
    fill_in, send, rows, world, monkeypatch
):
    # The clock again: the seconds that a customer waits.
    monkeypatch.setattr(import_module("payflow.checkout"), "WAIT", 0.3)
    world.set(api_delay_s=2)
    form = fill_in()
    with ThreadPoolExecutor() as threads:
        first = threads.submit(send, form)
        until(lambda: world.api_calls(CREATE))
        second = send(form)
        assert second.status_code == 503
        assert "Your payment is still being opened" in second.text
        ((payment_id,),) = rows("SELECT id FROM payments")
        assert f'href="/payments/{payment_id}"' in second.text
        assert first.result().status_code == 303
    assert len(world.api_calls(CREATE)) == 1


def test_a_refusal_that_comes_after_the_claim_has_passed_on_changes_nothing(
    fill_in, send, rows, world
):
    """Else the session of the request that took over would be superseded, and a second one made."""
    form = fill_in(amount="1000000.00")  # refused, a second late
    world.set(api_delay_s=1)
    with ThreadPoolExecutor() as customer:
        click = customer.submit(contextvars.copy_context().run, send, form)
        until(lambda: rows("SELECT 1 FROM attempts WHERE claimed_at IS NOT NULL"))
        rows("UPDATE attempts SET claimed_at = claimed_at + interval '1 min' RETURNING id")
        assert click.result().status_code == 502
    assert rows("SELECT count(*), count(claimed_at) FROM attempts") == [(1, 1)]


def test_a_test_payment_is_not_opened_with_a_live_key(submit, rows, installed, world):
    """Whoever goes live leaves test payments behind, whose pages still say what they are."""
    submit()
    ((payment_id,),) = rows("SELECT id FROM payments")
    live = installed(
        STRIPE_SECRET_KEY="sk_live_payflow_tests",
        STRIPE_API_BASE="",
        PUBLIC_URL="https://pay.northlight.example",
    ).test_client()
    page = live.get(f"/payments/{payment_id}").text
    assert "Test mode" in page
    assert "/retry" not in page
    token = hidden_fields(live.get("/").text)["csrf_token"]
    answer = live.post(f"/payments/{payment_id}/retry", data={"csrf_token": token})
    assert answer.location == f"/payments/{payment_id}"


def test_while_the_session_before_cannot_be_closed_no_other_is_opened(fill_in, send, rows, world):
    """Stripe fails to expire it, and says that it is open still: two could be paid."""
    form = fill_in()
    send(form)
    world.set(api_faults=[{"on": "POST /v1/checkout/sessions/*/expire", "fault": "500"}])
    assert send(form, amount="20.00").status_code == 502
    assert rows("SELECT amount, status FROM payments") == [(1250, "open")]

    world.set(api_faults=[])
    assert send(form, amount="20.00").status_code == 303
    assert rows("SELECT amount, status FROM payments WHERE replaced_at IS NULL") == [(2000, "open")]


@pytest.mark.parametrize("fault", ["500", "500_after", "429", "reset_before", "reset_after"])
def test_whatever_becomes_of_the_first_answer_one_session_can_be_paid(
    fill_in, send, rows, world, fault
):
    form = fill_in()
    world.set(api_faults=[{"on": "POST /v1/checkout/sessions", "fault": fault, "times": 2}])
    answers = [send(form) for _ in range(3)]
    assert answers[-1].status_code == 303
    assert rows("SELECT count(*) FROM payments") == [(1,)]
    assert rows("SELECT count(*) FROM attempts WHERE session_status = 'open'") == [(1,)]
