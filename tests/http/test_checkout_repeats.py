"""The same form sent again: by a double click, by going back, with other content, after paying."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest

CREATE = "/v1/checkout/sessions"


@pytest.fixture
def send_at_once(app, client):
    """Send forms from as many tabs of one browser at the same time."""

    def send(*forms):
        tabs, barrier = [], Barrier(len(forms))
        for _ in forms:
            tabs.append(app.test_client())
            tabs[-1].set_cookie("payflow", client.get_cookie("payflow").value)

        def post(tab, form):
            barrier.wait()
            return tab.post("/checkout", data=form)

        with ThreadPoolExecutor(len(forms)) as threads:
            return list(threads.map(post, tabs, forms))

    return send


def session_of(rows, status):
    query = """SELECT session_id FROM attempts JOIN payments ON payments.id = payment_id
               WHERE status = %s"""
    ((session_id,),) = rows(query, status)
    return session_id


def test_the_same_form_sent_twice_makes_one_payment(fill_in, send, rows, world):
    form = fill_in()
    first, second = send(form), send(form)
    assert first.status_code == second.status_code == 303
    assert first.location == second.location
    assert rows("SELECT count(*) FROM payments") == [(1,)]
    assert len(world.api_calls(CREATE)) == 1


def test_a_form_sent_by_eight_clicks_at_once_makes_one_payment(fill_in, send_at_once, rows, world):
    world.set(api_delay_s=0.3)
    answers = send_at_once(*[fill_in()] * 8)
    assert [answer.status_code for answer in answers] == [303] * 8
    assert len({answer.location for answer in answers}) == 1
    assert answers[0].location.startswith(f"{world.url}/c/pay/")
    assert rows("SELECT count(*) FROM payments") == [(1,)]
    assert rows("SELECT count(*) FROM attempts") == [(1,)]
    assert len(world.api_calls(CREATE)) == 1


def test_two_contents_of_one_form_sent_at_once_leave_one_current_payment(
    fill_in, send, send_at_once, rows
):
    """Whichever comes last holds, and neither is answered by an error."""
    form = fill_in()
    send(form)
    answers = send_at_once(form | {"amount": "20.00"}, form | {"amount": "30.00"})
    assert [answer.status_code for answer in answers] == [303, 303]
    assert rows("SELECT count(*) FROM payments WHERE replaced_at IS NULL") == [(1,)]
    open_ones = """SELECT replaced_at FROM attempts JOIN payments ON payments.id = payment_id
                   WHERE session_status = 'open'"""
    assert rows(open_ones) == [(None,)]


def test_going_back_and_changing_the_amount_closes_the_first_session(
    fill_in, send, rows, at_stripe
):
    form = fill_in()
    first, second = send(form), send(form, amount="20.00")
    assert second.status_code == 303
    assert second.location != first.location
    payments = rows("SELECT amount, status, replaced_at IS NULL FROM payments ORDER BY created_at")
    assert payments == [(1250, "expired", False), (2000, "open", True)]
    session = at_stripe(f"checkout/sessions/{session_of(rows, 'expired')}")
    assert session["status"] == "expired"


@pytest.mark.parametrize(
    "change",
    [
        {"currency": "GBP"},
        {"description": "Invoice 2026-119"},
        {"reference": "A-7"},
        {"name": "B. Customer"},
        {"email": "other@example.com"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_is_changed_makes_another_payment(fill_in, send, rows, change):
    form = fill_in()
    first, second = send(form), send(form, **change)
    assert second.location != first.location
    assert rows("SELECT count(*) FROM payments WHERE replaced_at IS NULL") == [(1,)]
    assert rows("SELECT count(*) FROM payments") == [(2,)]


def test_the_changed_form_sent_twice_makes_no_third_payment(fill_in, send, rows):
    form = fill_in()
    send(form)
    second, third = send(form, amount="20.00"), send(form, amount="20.00")
    assert second.location == third.location
    assert rows("SELECT count(*) FROM payments") == [(2,)]


def test_changing_the_form_after_having_paid_leaves_that_payment_paid(
    fill_in, send, rows, world, at_stripe
):
    """Nobody has told us of the payment yet: Stripe does, when its session is to be closed."""
    form = fill_in()
    world.pay(send(form).location)
    second = send(form, amount="20.00")
    assert second.status_code == 303
    payments = rows("SELECT amount, status FROM payments ORDER BY created_at")
    assert payments == [(1250, "paid"), (2000, "open")]
    assert rows("SELECT kind FROM emails ORDER BY kind") == [("owner_paid",), ("receipt",)]
    session = at_stripe(f"checkout/sessions/{session_of(rows, 'paid')}")
    assert (session["status"], session["payment_status"]) == ("complete", "paid")


def test_a_paid_form_sent_again_leads_to_its_payments_page(fill_in, send, rows, world, deliver):
    form = fill_in()
    world.pay(send(form).location)
    deliver(world.events("checkout.session.completed")[0])
    again = send(form)
    assert again.status_code == 303
    ((payment_id,),) = rows("SELECT id FROM payments")
    assert again.location == f"/payments/{payment_id}"
    assert len(world.api_calls(CREATE)) == 1


def test_a_form_whose_session_expired_gets_another_session(fill_in, send, rows, world, at_stripe):
    form = fill_in()
    first = send(form)
    session_id = session_of(rows, "open")
    at_stripe(f"checkout/sessions/{session_id}/expire", "POST")
    rows("UPDATE attempts SET expires_at = now() RETURNING 1")
    second = send(form)
    assert second.status_code == 303
    assert second.location not in ("", first.location)
    attempts = rows(
        "SELECT number, session_status, superseded_at IS NULL FROM attempts ORDER BY number"
    )
    assert attempts == [(1, "expired", False), (2, "open", True)]
    assert rows("SELECT status FROM payments") == [("open",)]


def test_a_form_sent_again_after_a_day_goes_on_with_the_same_payment(
    fill_in, send, rows, world, pass_time
):
    form = fill_in()
    first = send(form)
    world.at_desk("clock", advance_s=25 * 3600)
    pass_time(timedelta(hours=25))
    second = send(form)
    assert second.status_code == 303
    assert second.location.startswith(f"{world.url}/c/pay/")
    assert second.location != first.location
    assert rows("SELECT count(*) FROM payments") == [(1,)]
    assert rows("SELECT session_status FROM attempts ORDER BY number") == [("expired",), ("open",)]


def test_the_form_of_another_browser_is_another_payment(app, fill_in, send, rows):
    """A nonce says nothing without the cookie it came with."""
    form = fill_in()
    send(form)
    stranger = app.test_client()
    theirs = form | {"csrf_token": token_of(stranger)}
    assert stranger.post("/checkout", data=theirs).status_code == 303
    assert rows("SELECT count(*) FROM payments WHERE replaced_at IS NULL") == [(2,)]


def token_of(browser):
    page = browser.get("/").text
    return page.split('name="csrf_token"', 1)[1].split('value="', 1)[1].split('"', 1)[0]


def test_a_payment_that_was_replaced_cannot_be_opened_again(client, fill_in, send, rows, world):
    form = fill_in()
    send(form)
    ((replaced,),) = rows("SELECT id FROM payments")
    send(form, amount="20.00")
    page = client.get(f"/payments/{replaced}").text
    assert "You have changed this payment" in page
    assert "/retry" not in page

    calls = len(world.api_calls(CREATE))
    answer = client.post(f"/payments/{replaced}/retry", data={"csrf_token": form["csrf_token"]})
    assert answer.location == f"/payments/{replaced}"
    assert len(world.api_calls(CREATE)) == calls


def test_changed_content_closes_a_session_that_is_just_being_made(
    fill_in, send_at_once, world, rows
):
    """Whichever of the two comes first, one session stays open: the current payment's."""
    form = fill_in()
    world.set(api_delay_s=0.5)
    send_at_once(form, form | {"amount": "20.00"})
    sessions = """SELECT replaced_at IS NULL, session_status FROM attempts
                  JOIN payments ON payments.id = payment_id ORDER BY replaced_at NULLS FIRST"""
    assert rows(sessions) == [(True, "open"), (False, "expired")]


def test_a_session_is_closed_though_our_clock_says_it_is_over(fill_in, send, rows, pass_time):
    form = fill_in()
    send(form)
    pass_time(timedelta(hours=24))  # ours is wrong: at Stripe the session can still be paid
    # The new one is refused, for it would live too long by Stripe's clock; the old one is closed.
    assert send(form, amount="20.00").status_code == 502
    assert rows("SELECT session_status FROM attempts WHERE session_id IS NOT NULL") == [
        ("expired",)
    ]
