"""The sweep: what no webhook told is found by asking Stripe, and recorded the same way."""

from datetime import timedelta

import pytest

from payflow import clock, reconcile, sweep
from tests.http.conftest import retold

STATUS = "SELECT status, captured, refunded, found_by_sweep_at IS NOT NULL FROM payments"


@pytest.fixture
def flask(app):
    def run(*words):
        return app.test_cli_runner().invoke(args=list(words))

    return run


@pytest.fixture
def charge(at_stripe):
    return lambda: at_stripe("charges")["data"][0]["id"]


# --- payments --------------------------------------------------------------------------------


def test_a_payment_whose_webhook_never_came_is_found_and_counted(completed, rows, mailbox, work):
    completed()
    report = sweep.run(by_hand=True)
    assert [change.after.status for change in report.changes] == ["paid"]
    assert rows(STATUS) == [("paid", 1250, 0, True)]
    assert sweep.found_by_sweep() == 1
    work()
    assert len(mailbox.letters(to="customer@example.com")) == 1


def test_a_payment_told_by_webhook_is_not_counted(completed, deliver, rows):
    deliver(completed())
    sweep.run(by_hand=True)
    assert rows(STATUS) == [("paid", 1250, 0, False)]


def test_a_young_payment_is_asked_about_soon_and_an_old_one_once_a_day(submit, rows, pass_time):
    submit()
    pauses = []
    for waited in (timedelta(minutes=6), timedelta(hours=2), timedelta(days=3)):
        pass_time(waited)
        sweep.run()
        ((next_check,),) = rows("SELECT next_check_at FROM payments")
        pauses.append(round((next_check - clock.now()).total_seconds() / 60))
    assert pauses == [3, 63, 24 * 60]


def test_what_is_not_due_is_not_asked_about(submit, world, rows):
    submit()
    before = len(world.api_calls("/v1/checkout/sessions/"))
    sweep.run()
    assert len(world.api_calls("/v1/checkout/sessions/")) == before


def test_what_is_settled_is_not_asked_about_again(completed, deliver, rows):
    deliver(completed())
    assert rows("SELECT next_check_at FROM payments") == [(None,)]


def test_an_attempt_that_never_got_a_session_is_expired_and_a_later_event_is_adopted(
    completed, deliver, rows, pass_time, monkeypatch
):
    event = completed()
    rows(
        """UPDATE attempts SET session_id = NULL, session_url = NULL, session_status = NULL,
        session_payment_status = NULL, confirmed_at = NULL RETURNING 1"""
    )
    rows("UPDATE payments SET status = 'created' RETURNING 1")
    monkeypatch.setattr(sweep, "_read_events", lambda *_: None)
    pass_time(reconcile.LONGEST_REQUEST + timedelta(seconds=1))
    sweep.run(by_hand=True)
    assert rows(STATUS) == [("expired", 0, 0, False)] or rows(STATUS)[0][0] == "expired"
    deliver(event)
    assert rows("SELECT status FROM payments") == [("paid",)]


def test_a_delayed_failure_is_found_by_a_retrieval(submit, world, rows):
    world.debit(submit(currency="EUR").location, iban="AT861904300235473202")
    sweep.run(by_hand=True)
    assert rows("SELECT status FROM payments") == [("processing",)]
    world.at_desk("clock", advance_s=600)
    sweep.run(by_hand=True)
    assert rows("SELECT status FROM payments") == [("failed",)]


def test_no_such_session_at_stripe_changes_nothing(submit, world, rows):
    submit()
    rows("UPDATE attempts SET session_id = 'cs_test_gone' RETURNING 1")
    report = sweep.run(by_hand=True)
    assert (report.changes, report.stopped) == ([], "")
    assert rows("SELECT status FROM payments") == [("open",)]


# --- Stripe's list of events -----------------------------------------------------------------


def test_a_missed_refund_and_dispute_of_a_settled_payment_are_found(
    completed, deliver, at_stripe, charge, world, rows
):
    deliver(completed())
    at_stripe("refunds", "POST", charge=charge(), amount=500)
    world.at_desk("disputes", charge=charge(), amount=700)
    report = sweep.run(by_hand=True)
    assert rows(STATUS)[0][:3] == ("partially_refunded", 1250, 500)
    assert rows("SELECT dispute FROM payments") == [("needs_response",)]
    assert report.missed_events >= 2
    again = sweep.run(by_hand=True)
    assert (again.changes, again.missed_events) == ([], 0)


def test_several_events_of_one_object_ask_for_it_once(completed, deliver, at_stripe, charge, world):
    deliver(completed())
    at_stripe("refunds", "POST", charge=charge(), amount=500)
    sweep.run(by_hand=True)
    asked = [c["path"] for c in world.api_calls("/v1/") if c["method"] == "GET"]
    refunds = [path for path in asked if path.startswith("/v1/refunds/re_")]
    assert len(refunds) == len(set(refunds)) == 1


def test_an_event_that_is_on_its_way_is_left_to_the_webhook(completed, rows, pass_time):
    completed()
    sweep.run()
    assert rows("SELECT status FROM payments") == [("open",)]
    assert rows("SELECT events_read_to IS NOT NULL, events_missed FROM sweep_state") == [(True, 0)]


def test_events_are_read_every_ten_minutes_and_hourly_while_they_are_delivered(
    completed, deliver, world, pass_time
):
    def times_read():
        return len(world.api_calls("/v1/events"))

    # The stand-in's pages of our own tests' events are not the application's.
    event = completed()
    sweep.run()
    begun = times_read()
    pass_time(timedelta(minutes=9))
    sweep.run()
    assert times_read() == begun
    pass_time(timedelta(minutes=2))
    sweep.run()
    assert times_read() > begun
    deliver(event)
    again = times_read()
    pass_time(timedelta(minutes=30))
    sweep.run()
    assert times_read() == again
    pass_time(timedelta(minutes=31))
    sweep.run()
    assert times_read() > again


def test_after_a_long_gap_the_payments_of_half_a_year_are_walked(
    completed, deliver, at_stripe, charge, rows, pass_time, monkeypatch
):
    deliver(completed())
    sweep.run(by_hand=True)
    at_stripe("refunds", "POST", charge=charge(), amount=500)
    rows("UPDATE payments SET created_at = created_at - interval '40 days' RETURNING 1")
    # As if Stripe listed them no longer.
    rows("UPDATE sweep_state SET events_read_to = events_read_to - interval '26 days' RETURNING 1")
    monkeypatch.setattr(sweep.gateway, "list_events", lambda since: iter(()))
    report = sweep.run(by_hand=True)
    assert [change.after.refunded for change in report.changes] == [500]
    assert rows("SELECT walked_to FROM sweep_state") == [(None,)]


def test_another_integrations_events_cost_no_question(completed, world, rows, at_stripe):
    at_stripe(
        "checkout/sessions", "POST",
        **{"mode": "payment", "success_url": "https://shop.example", "line_items[0][quantity]": 1,
           "line_items[0][price_data][currency]": "eur",
           "line_items[0][price_data][unit_amount]": 500,
           "line_items[0][price_data][product_data][name]": "x"},
    )  # fmt: skip
    world.pay(at_stripe("checkout/sessions")["data"][0]["url"])
    report = sweep.run(by_hand=True)
    assert report.asked == 1
    assert rows("SELECT count(*) FROM stripe_events") == [(0,)]


# --- limits ----------------------------------------------------------------------------------


def test_stripes_wish_for_a_pause_is_honoured(completed, world, rows, pass_time):
    completed()
    world.set(api_faults=[{"on": "GET /v1/checkout/*", "fault": "429", "times": 1, "seconds": 90}])
    pass_time(timedelta(minutes=6))
    assert "Stripe" in sweep.run().stopped
    asked = len(world.api_calls())
    pass_time(timedelta(seconds=80))
    assert "pause" in sweep.run().stopped
    assert len(world.api_calls()) == asked
    pass_time(timedelta(minutes=5))
    assert sweep.run().stopped == ""
    assert rows(STATUS)[0][0] == "paid"


def test_the_daily_budget_ends_the_questions_until_the_next_day(completed, rows, pass_time):
    completed()
    sweep.run()
    rows("UPDATE sweep_state SET reads = 300, reads_on = current_date RETURNING 1")
    assert "as often as it may be today" in sweep.run(by_hand=True).stopped
    assert rows(STATUS)[0][0] == "open"
    pass_time(timedelta(days=1))
    assert sweep.run(by_hand=True).stopped == ""
    assert rows(STATUS)[0][0] == "paid"


# --- by hand ---------------------------------------------------------------------------------


def test_a_dry_run_prints_every_difference_and_stores_nothing(flask, completed, rows, world):
    assert flask("reconcile", "--dry-run").exit_code == 0
    completed()
    before = rows("SELECT * FROM payments"), rows("SELECT * FROM attempts")
    told = flask("reconcile", "--dry-run")
    assert told.exit_code == 1
    assert "open → paid" in told.output
    assert (rows("SELECT * FROM payments"), rows("SELECT * FROM attempts")) == before
    assert rows("SELECT count(*) FROM emails") == [(0,)]
    assert flask("reconcile").exit_code == 0
    assert rows(STATUS)[0][0] == "paid"
    assert flask("reconcile", "--dry-run").exit_code == 0


def test_where_stripe_cannot_be_asked_the_command_says_so(flask, completed, world, rows):
    completed()
    world.set(api_faults=[{"on": "GET /v1/*", "fault": "500"}])
    for words in (("reconcile",), ("reconcile", "--dry-run")):
        told = flask(*words)
        assert told.exit_code == 2
        assert "Stopped before the end." in told.output
    world.set(api_faults=[])
    assert flask("reconcile").exit_code == 0
    assert rows(STATUS)[0][0] == "paid"


# --- the operator is told --------------------------------------------------------------------


def test_the_operator_is_told_once_a_day_that_events_do_not_arrive(
    completed, rows, pass_time, world, work, mailbox, monkeypatch
):
    monkeypatch.setattr(sweep, "GRACE", timedelta())
    completed()
    sweep.run()
    rows("UPDATE sweep_state SET events_read_to = NULL RETURNING 1")
    completed()
    sweep.run()
    assert rows("SELECT kind, payment_id FROM emails WHERE kind ~ 'webhooks'") == [
        ("owner_webhooks", None)
    ]
    work()
    subjects = [letter["subject"] for letter in mailbox.letters(to="owner@northlight.example")]
    assert subjects.count("Stripe’s events don’t arrive as they should") == 1


def test_an_event_of_the_other_mode_is_refused_and_told(completed, deliver, rows, mailbox, work):
    event = completed() | {"livemode": True}
    assert deliver(event).status_code == 400
    assert deliver(retold(event)).status_code == 400
    work()
    (letter,) = mailbox.letters(to="owner@northlight.example")
    assert "of the other mode" in letter["text"]
    assert rows("SELECT status FROM payments") == [("open",)]


# --- the customer's page ---------------------------------------------------------------------


def test_a_page_that_waits_has_stripe_asked_from_the_third_poll_on(
    completed, client, rows, work, pass_time
):
    completed()
    ((payment_id,),) = rows("SELECT id FROM payments")

    def poll(count):
        return client.get(f"/payments/{payment_id}/status?from=stripe&polls={count}").text

    def queued():
        return rows("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'check_payment'")

    poll(1), poll(2)
    assert queued() == [(0,)]
    poll(3), poll(4)
    assert queued() == [(1,)]
    work()
    assert 'data-payment-status="paid"' in poll(5)
    assert rows(STATUS) == [("paid", 1250, 0, False)]


def test_a_page_has_stripe_asked_thirty_times_at_most(submit, client, rows, pass_time):
    submit()
    ((payment_id,),) = rows("SELECT id FROM payments")
    for count in range(3, 40):
        pass_time(timedelta(seconds=11))
        client.get(f"/payments/{payment_id}/status?from=stripe&polls={count}")
    assert rows("SELECT page_checks FROM payments") == [(reconcile.PAGE_CHECKS,)]
    assert rows("SELECT count(*) FROM procrastinate_jobs") == [(reconcile.PAGE_CHECKS,)]
