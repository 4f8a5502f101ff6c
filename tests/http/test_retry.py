"""Trying again from the payment's page."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from sandbox.demo.postgres import free_port
from tests.http.conftest import hidden_fields, retold

CREATE = "/v1/checkout/sessions"
FAILED = "checkout.session.async_payment_failed"
SUCCEEDED = "checkout.session.async_payment_succeeded"
NOBODYS = "7d0a2b4e-0000-4000-8000-000000000001"
UNPAID = {"status": "complete", "payment_status": "unpaid"}
ATTEMPTS = "SELECT number, session_status, superseded_at IS NULL FROM attempts ORDER BY number"


@pytest.fixture
def token(client):
    """The CSRF token that this browser's forms carry."""
    return lambda: hidden_fields(client.get("/").text)["csrf_token"]


@pytest.fixture
def retry(client, page_of, token):
    return lambda: client.post(f"{page_of()}/retry", data={"csrf_token": token()})


@pytest.fixture
def expire(rows, at_stripe, world, deliver):
    """Let the session expire at Stripe, and have us told."""

    def expire_and_tell():
        ((session_id,),) = rows("SELECT session_id FROM attempts WHERE superseded_at IS NULL")
        at_stripe(f"checkout/sessions/{session_id}/expire", "POST")
        assert deliver(world.events("checkout.session.expired")[0]).status_code == 200

    return expire_and_tell


def calls_to_create(world):
    return [call for call in world.api_calls(CREATE) if call["path"] == CREATE]


@pytest.mark.parametrize("query", ["", "?from=back"])
def test_the_page_of_an_unpaid_payment_offers_to_go_on(client, submit, page_of, world, query):
    location = submit().location
    page = client.get(page_of() + query).text
    assert f'action="{page_of()}/retry"' in page
    answer = client.post(f"{page_of()}/retry", data=hidden_fields(page))
    assert answer.status_code == 303
    assert answer.location == location


def test_an_open_session_is_gone_back_to_without_asking_stripe(submit, retry, rows, world):
    location = submit().location
    assert retry().location == retry().location == location
    assert rows("SELECT count(*) FROM attempts") == [(1,)]
    assert len(world.api_calls()) == 1


def test_a_declined_card_leaves_the_session_open_for_another(submit, retry, world, rows):
    location = submit().location
    world.pay(location, card="4000000000000002")
    assert retry().location == location
    assert rows("SELECT status FROM payments") == [("open",)]


def test_after_an_expiry_a_new_attempt_gets_a_new_session(submit, expire, retry, rows, world):
    first = submit().location
    expire()
    answer = retry()
    assert answer.status_code == 303
    assert answer.location.startswith(f"{world.url}/c/pay/")
    assert answer.location != first
    assert rows(ATTEMPTS) == [(1, "expired", False), (2, "open", True)]
    assert rows("SELECT status FROM payments") == [("open",)]
    keys = [call["idempotency_key"] for call in calls_to_create(world)]
    assert [(key,) for key in keys] == rows("SELECT id::text FROM attempts ORDER BY number")


def test_the_second_attempt_is_paid_and_one_receipt_is_owed(
    submit, expire, retry, rows, world, deliver
):
    submit()
    expire()
    world.pay(retry().location)
    deliver(world.events("checkout.session.completed")[0])
    assert rows("SELECT status FROM payments") == [("paid",)]
    assert rows("SELECT kind FROM emails ORDER BY kind") == [("owner_paid",), ("receipt",)]


def test_eight_clicks_after_an_expiry_make_one_new_attempt(
    app, client, submit, expire, page_of, token, rows, world
):
    submit()
    expire()
    address, form, barrier = f"{page_of()}/retry", {"csrf_token": token()}, Barrier(8)
    tabs = [app.test_client() for _ in range(8)]
    for tab in tabs:
        tab.set_cookie("payflow", client.get_cookie("payflow").value)
    world.set(api_delay_s=0.3)

    def click(tab):
        barrier.wait()
        return tab.post(address, data=form)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(click, tabs))
    assert [answer.status_code for answer in answers] == [303] * 8
    assert len({answer.location for answer in answers}) == 1
    assert rows(ATTEMPTS) == [(1, "expired", False), (2, "open", True)]
    assert len(calls_to_create(world)) == 2


def test_a_session_past_its_time_that_was_paid_is_shown_as_paid(
    client, submit, retry, page_of, rows, world
):
    """Nobody has told us of the payment; Stripe is asked before anything is paid twice."""
    world.pay(submit().location)
    rows("UPDATE attempts SET expires_at = now() RETURNING 1")
    answer = retry()
    assert answer.status_code == 303
    assert answer.location == page_of()
    assert 'data-payment-status="paid"' in client.get(answer.location).text
    assert rows("SELECT count(*) FROM attempts") == [(1,)]
    assert rows("SELECT kind FROM emails ORDER BY kind") == [("owner_paid",), ("receipt",)]


def test_a_session_past_its_time_that_is_still_open_at_stripe_is_closed_first(
    submit, retry, rows, at_stripe
):
    first = submit().location
    ((session_id,),) = rows("SELECT session_id FROM attempts")
    rows("UPDATE attempts SET expires_at = now() RETURNING 1")
    assert retry().location != first
    assert at_stripe(f"checkout/sessions/{session_id}")["status"] == "expired"
    assert rows(ATTEMPTS) == [(1, "expired", False), (2, "open", True)]


def test_a_delayed_payment_that_failed_is_tried_anew(completed, deliver, retry, rows, world):
    event = completed()
    deliver(retold(event, FAILED, **UNPAID))
    assert rows("SELECT status FROM payments") == [("failed",)]
    answer = retry()
    assert answer.location.startswith(f"{world.url}/c/pay/")
    assert rows(ATTEMPTS) == [(1, "complete", False), (2, "open", True)]
    assert rows("SELECT status FROM payments") == [("open",)]


@pytest.mark.parametrize(
    ("changes", "status"),
    [({}, "paid"), (UNPAID, "processing"), ({"amount_total": 1}, "review")],
)
def test_what_was_paid_or_may_yet_be_is_not_paid_again(
    completed, deliver, retry, page_of, rows, world, changes, status
):
    deliver(retold(completed(), **changes))
    answer = retry()
    assert answer.status_code == 303
    assert answer.location == page_of()
    assert rows("SELECT status FROM payments") == [(status,)]
    assert len(world.api_calls(CREATE)) == 1


def test_a_payment_that_an_earlier_attempt_has_paid_after_all_is_not_paid_again(
    completed, deliver, retry, page_of, rows
):
    """A bank can take back its no; by then the customer has begun a second attempt."""
    event = completed()
    deliver(retold(event, FAILED, **UNPAID))
    retry()
    deliver(retold(event, SUCCEEDED))
    assert rows("SELECT status FROM payments") == [("paid",)]
    assert retry().location == page_of()


def test_trying_again_needs_our_token(client, submit, page_of, rows):
    submit()
    answer = client.post(f"{page_of()}/retry")
    assert answer.status_code == 400
    assert "Please press the button once more" in answer.text
    assert f'href="{page_of()}"' in answer.text
    assert client.post(f"{page_of()}/retry", data={"csrf_token": "forged"}).status_code == 400


def test_trying_again_is_no_matter_of_a_link(client, submit, page_of):
    submit()
    assert client.get(f"{page_of()}/retry").status_code == 405


@pytest.mark.parametrize("name", [NOBODYS, "7", "nope", "%00", "0" * 36])
def test_a_payment_that_is_not_there_can_not_be_tried_again(client, token, name):
    answer = client.post(f"/payments/{name}/retry", data={"csrf_token": token()})
    assert answer.status_code == 404
    assert "This page does not exist" in answer.text


def test_when_stripe_cannot_be_reached_the_page_says_so_and_the_next_click_goes_on(
    client, submit, expire, page_of, token, retry, rows, installed, world
):
    submit()
    expire()
    cut_off = installed(STRIPE_API_BASE=f"http://127.0.0.1:{free_port()}").test_client()
    form = {"csrf_token": token()}
    cut_off.set_cookie("payflow", client.get_cookie("payflow").value)
    answer = cut_off.post(f"{page_of()}/retry", data=form)
    assert answer.status_code == 502
    assert "Nothing has been charged by this" in answer.text
    assert retry().location.startswith(f"{world.url}/c/pay/")
    assert rows(ATTEMPTS) == [(1, "expired", False), (2, "open", True)]
