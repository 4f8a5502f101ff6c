"""What the sweep is bound by: Stripe's wish for a pause, the day's budget, Stripe being down."""

from datetime import timedelta

from payflow import sweep

STATUS = "SELECT status, captured, refunded, found_by_sweep_at IS NOT NULL FROM payments"


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


def test_where_stripe_cannot_be_asked_the_command_says_so(flask, completed, world, rows):
    completed()
    world.set(api_faults=[{"on": "GET /v1/*", "fault": "500"}])
    for words in (("reconcile",), ("reconcile", "--dry-run")):
        assert "Stopped before the end." in flask(*words, ends=2).output
    world.set(api_faults=[])
    flask("reconcile")
    assert rows(STATUS)[0][0] == "paid"


def test_a_delayed_failure_is_found_by_a_retrieval(submit, world, rows):
    world.pay_by_debit(submit(currency="EUR").location, iban="AT861904300235473202")
    sweep.run(by_hand=True)
    assert rows("SELECT status FROM payments") == [("processing",)]
    world.at_desk("clock", advance_s=600)
    sweep.run(by_hand=True)
    assert rows("SELECT status FROM payments") == [("failed",)]
