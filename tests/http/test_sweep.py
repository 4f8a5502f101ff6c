"""The sweep: what no webhook told is found by asking, as seldom as will do, and told once."""

import threading
from datetime import timedelta

import pytest

from payflow import clock, gateway, reconcile, sweep
from payflow.record import found_by_sweep
from tests.http.conftest import foreign_session

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
STATUS = "SELECT status FROM payments ORDER BY created_at"
SESSIONS, EVENTS = "/v1/checkout/sessions/", "/v1/events"

pytestmark = pytest.mark.usefixtures("list_was_just_read")


@pytest.fixture
def sweep_now(app):
    """A sweep of the worker's, to its end."""

    def run(**how):
        report = sweep.run(**how)
        assert report.stopped == ""
        return report

    return run


# --- payments that are not settled -----------------------------------------------------------


def test_a_payment_that_no_webhook_told_of_is_found_paid_with_one_receipt(
    completed, rows, sweep_now, pass_time, mailbox, work
):
    completed()
    pass_time(5 * MINUTE + SECOND)
    sweep_now()
    assert rows("SELECT status, captured FROM payments") == [("paid", 1250)]
    pass_time(DAY)
    sweep_now()
    work()
    assert len(mailbox.letters(to="customer@example.com")) == 1


def test_a_payment_is_first_asked_about_after_five_minutes(submit, sweep_now, pass_time, asked):
    submit()
    pass_time(5 * MINUTE - 10 * SECOND)
    sweep_now()
    assert asked(SESSIONS) == []
    pass_time(11 * SECOND)
    sweep_now()
    assert len(asked(SESSIONS)) == 1


@pytest.mark.parametrize(
    ("age", "pause"),
    [
        (6 * MINUTE, 3 * MINUTE),
        (2 * HOUR, HOUR),
        (30 * HOUR, 15 * HOUR),
        (4 * DAY, DAY),
        (100 * DAY, DAY),
    ],
)
def test_the_pause_grows_with_the_payments_age_up_to_a_day(
    submit, sweep_now, pass_time, rows, asked, age, pause
):
    def sweep_beside_the_list():
        """Stripe's clock, by which that is read, stands still here."""
        rows("UPDATE sweep_state SET events_read_to = %s RETURNING 1", clock.now())
        sweep_now()

    submit()
    pass_time(age)
    sweep_beside_the_list()
    assert len(asked(SESSIONS)) == 1
    ((next_check,),) = rows("SELECT next_check_at FROM payments")
    assert next_check - clock.now() == pytest.approx(pause, abs=2 * SECOND)
    pass_time(pause - 5 * SECOND)
    sweep_beside_the_list()
    assert len(asked(SESSIONS)) == 1
    pass_time(6 * SECOND)
    sweep_beside_the_list()
    assert len(asked(SESSIONS)) == 2


def test_a_payment_of_a_minute_is_asked_about_again_after_two(submit, sweep_now, rows):
    submit()
    sweep_now(by_hand=True)
    ((next_check,),) = rows("SELECT next_check_at FROM payments")
    assert next_check - clock.now() == pytest.approx(2 * MINUTE, abs=2 * SECOND)


def test_a_settled_payment_is_asked_about_no_more(paid, sweep_now, move_clocks, asked, rows):
    for _ in range(3):
        move_clocks(9 * DAY)
        sweep_now()
    assert asked(SESSIONS) == []
    assert rows(STATUS) == [("paid",)]


def test_more_payments_than_a_page_holds_are_all_asked_about(
    completed, sweep_now, pass_time, rows, monkeypatch
):
    monkeypatch.setattr(sweep, "PAGE", 2)
    for _ in range(5):
        completed()
    pass_time(6 * MINUTE)
    sweep_now()
    assert rows(STATUS) == [("paid",)] * 5


def test_no_transaction_is_open_while_stripe_is_asked(
    app, completed, deliver, pass_time, world, rows, at_stripe
):
    """A payment, an event, an object and a walk: each way of asking, with slow answers."""
    deliver(completed())
    at_stripe("refunds", "POST", charge=at_stripe("charges")["data"][0]["id"])
    completed()
    pass_time(6 * MINUTE)
    world.set(api_faults=[{"on": "GET /v1/*", "fault": "delay", "seconds": 0.5}])
    reports = []

    def run():
        with app.app_context():
            reports.append(sweep.run())

    rows("UPDATE sweep_state SET events_read_to = NULL RETURNING 1")
    rows(
        """UPDATE payments SET created_at = created_at - interval '40 days'
        WHERE status = 'paid' RETURNING 1"""
    )
    running = threading.Thread(target=run)
    running.start()
    held = []
    while running.is_alive():
        held += rows(
            """SELECT state, query FROM pg_stat_activity WHERE application_name = 'payflow'
            AND state LIKE 'idle in transaction%%' AND now() - state_change > interval '0.4 s'"""
        )
    running.join()
    assert held == []
    assert reports[0].stopped == ""
    assert reports[0].asked >= 4
    assert rows(STATUS) == [("refunded",), ("paid",)]


def test_an_attempt_that_never_got_a_session_is_expired_and_adopted_if_it_did(
    submit, world, at_stripe, sweep_now, pass_time, rows, deliver
):
    """Nobody was given the address of its page; should somebody have paid there, it counts."""
    world.set(api_faults=[{"on": "POST /v1/checkout/sessions", "fault": "reset_after", "times": 3}])
    assert submit().status_code == 502
    assert rows(STATUS) == [("created",)]
    pass_time(6 * MINUTE)
    sweep_now()
    assert rows("SELECT status, next_check_at FROM payments") == [("expired", None)]
    assert len(world.api_calls("/v1/checkout/sessions")) == 3 + 0  # it makes none itself

    (session,) = at_stripe("checkout/sessions")["data"]
    assert world.pay(session["url"]).status_code == 303
    assert deliver(world.events("checkout.session.completed")[0]).status_code == 200
    assert rows(STATUS) == [("paid",)]
    assert rows("SELECT session_id FROM attempts") == [(session["id"],)]


def test_an_attempt_that_was_abandoned_is_not_counted_as_found(
    submit, world, sweep_now, pass_time, rows
):
    """Stripe has told nothing of it, so no webhook was missed."""
    world.set(
        api_faults=[{"on": "POST /v1/checkout/sessions", "fault": "reset_before", "times": 3}]
    )
    submit()
    pass_time(6 * MINUTE)
    sweep_now()
    assert rows(STATUS) == [("expired",)]
    assert found_by_sweep() == 0


def test_a_payment_found_by_a_sweep_is_counted_for_good(
    completed, deliver, sweep_now, pass_time, rows
):
    event = completed()
    pass_time(6 * MINUTE)
    sweep_now()
    ((found_at,),) = rows("SELECT found_by_sweep_at FROM payments")
    assert found_at == pytest.approx(clock.now(), abs=5 * SECOND)
    assert deliver(event).status_code == 200
    assert found_by_sweep() == 1


def test_a_payment_found_by_a_webhook_is_not_counted(paid, sweep_now, pass_time, rows):
    pass_time(6 * MINUTE)
    sweep_now(by_hand=True)
    assert rows("SELECT status, found_by_sweep_at FROM payments") == [("paid", None)]
    assert found_by_sweep() == 0


def test_a_session_that_stripe_does_not_know_changes_nothing_and_stops_no_other(
    completed, sweep_now, pass_time, rows
):
    completed(), completed()
    ((first,), _) = rows("SELECT payment_id FROM attempts ORDER BY payment_id")
    rows("UPDATE attempts SET session_id = 'cs_gone' WHERE payment_id = %s RETURNING 1", first)
    pass_time(6 * MINUTE)
    sweep_now()
    assert rows("SELECT status FROM payments WHERE id = %s", first) == [("open",)]
    assert rows("SELECT status FROM payments WHERE id <> %s", first) == [("paid",)]


# --- Stripe's list of events -----------------------------------------------------------------

MISSED = "SELECT id, outcome, tries, payload IS NULL FROM stripe_events WHERE tries = 0"


def read_from(world):
    """Since when the list of events was asked for, each time."""
    return [
        int(call["parameters"]["created"]["gte"])
        for call in world.api_calls("/v1/events")
        if call["stripe_version"] and call["parameters"]
    ]


def test_the_list_is_read_from_ten_minutes_before_the_last_success(
    sweep_now, move_clocks, world, rows
):
    ((read_to,),) = rows("SELECT events_read_to FROM sweep_state")
    move_clocks(11 * MINUTE)
    world.set(api_faults=[{"on": "GET /v1/events", "fault": "reset_before", "times": 3}])
    assert sweep.run().stopped.startswith("Stripe: ")
    assert rows("SELECT events_read_to FROM sweep_state") == [(read_to,)]
    move_clocks(11 * MINUTE)
    sweep_now()
    assert set(read_from(world)) == {int((read_to - 10 * MINUTE).timestamp())}
    assert rows("SELECT events_read_to FROM sweep_state")[0][0] == pytest.approx(
        read_to + 22 * MINUTE, abs=10 * SECOND
    )


def test_the_list_is_read_every_ten_minutes(sweep_now, pass_time, world):
    pass_time(10 * MINUTE - 10 * SECOND)
    sweep_now()
    assert len(read_from(world)) == 0
    pass_time(11 * SECOND)
    sweep_now()
    assert len(read_from(world)) == 1


def test_while_deliveries_arrive_the_list_is_read_hourly(paid, sweep_now, pass_time, world):
    pass_time(HOUR - 10 * SECOND)
    sweep_now()
    assert read_from(world) == []
    pass_time(11 * SECOND)
    sweep_now()
    assert len(read_from(world)) == 1


def test_where_the_list_told_of_events_that_had_not_come_it_is_read_every_ten_minutes(
    paid, sweep_now, pass_time, world, rows, deliver
):
    rows("UPDATE sweep_state SET events_missed = 1 RETURNING 1")
    pass_time(10 * MINUTE + SECOND)
    sweep_now()
    assert len(read_from(world)) == 1


def test_an_event_younger_than_five_minutes_is_on_its_way_unless_asked_for_by_hand(
    paid, sweep_now, move_clocks, world, rows, asked, intent
):
    move_clocks(2 * HOUR)
    world.at_desk("refunds", payment_intent=intent())
    sweep_now()
    assert asked("/v1/refunds/") == []
    assert rows(STATUS) == [("paid",)]
    sweep_now(by_hand=True)
    assert rows(STATUS) == [("refunded",)]


def test_what_was_too_young_is_found_by_the_next_reading(
    paid, sweep_now, move_clocks, world, rows, intent
):
    move_clocks(2 * HOUR)
    world.at_desk("refunds", payment_intent=intent())
    sweep_now()
    move_clocks(10 * MINUTE + SECOND)
    sweep_now()
    assert rows(STATUS) == [("refunded",)]


def test_a_missed_refund_of_a_settled_payment_is_found_and_twins_ask_once(
    paid, sweep_now, move_clocks, world, rows, asked, intent, deliver
):
    move_clocks(DAY)
    world.at_desk("refunds", payment_intent=intent(), amount=400)
    move_clocks(6 * MINUTE)
    report = sweep_now()
    assert rows("SELECT status, refunded FROM payments") == [("partially_refunded", 400)]
    ((refund_id,),) = rows("SELECT refund_id FROM refunds")
    assert asked("/v1/refunds/") == [f"/v1/refunds/{refund_id}"]

    # What had not come is noted, and so missed once only; should it come yet, it is a repeat.
    missed = rows(MISSED)
    told = [*world.events("refund.created"), *world.events("charge.refunded")]
    assert {(one["id"], "recorded", 0, True) for one in told} <= set(missed)
    assert report.missed_events == len(missed)
    before = rows("SELECT * FROM refunds"), rows("SELECT count(*) FROM timeline_entries")
    for one in told:
        assert deliver(one).status_code == 200
    assert (rows("SELECT * FROM refunds"), rows("SELECT count(*) FROM timeline_entries")) == before
    move_clocks(HOUR)
    assert sweep_now().missed_events == 0
    assert len(asked("/v1/refunds/")) == 1


def test_a_missed_dispute_of_a_settled_payment_is_found(
    paid, sweep_now, move_clocks, world, rows, intent
):
    move_clocks(DAY)
    dispute = world.at_desk("disputes", payment_intent=intent())
    move_clocks(6 * MINUTE)
    sweep_now()
    assert rows("SELECT status, dispute FROM payments") == [("paid", "needs_response")]
    assert rows("SELECT kind, about FROM emails WHERE kind = 'owner_dispute'") == [
        ("owner_dispute", dispute["id"])
    ]


def test_a_foreign_objects_event_costs_no_question(
    world, at_stripe, sweep_now, move_clocks, rows, asked
):
    """Another program uses the same Stripe account; its refunds alone have to be asked about."""
    foreign = foreign_session(at_stripe)
    world.pay(foreign["url"])
    move_clocks(16 * MINUTE)
    assert sweep_now().asked == 1
    assert asked() == ["/v1/events"]
    assert rows("SELECT count(*) FROM stripe_events") == [(0,)]


def test_a_foreign_refund_is_asked_about_once_and_forgotten(
    world, at_stripe, sweep_now, move_clocks, rows, asked
):
    foreign = foreign_session(at_stripe)
    world.pay(foreign["url"])
    intent = at_stripe(f"checkout/sessions/{foreign['id']}")["payment_intent"]
    world.at_desk("refunds", payment_intent=intent)
    for _ in range(2):
        move_clocks(16 * MINUTE)
        assert sweep_now().missed_events == 0
    assert len(asked("/v1/refunds/")) == len(asked("/v1/payment_intents/")) == 1
    assert rows("SELECT DISTINCT outcome, payload IS NULL FROM stripe_events") == [
        ("foreign", True)
    ]


def test_one_object_that_stripe_refuses_to_tell_stops_no_other(
    completed, deliver, sweep_now, move_clocks, world, rows, at_stripe
):
    refunds = []
    for _ in range(2):
        event = completed()
        deliver(event)
        deliver(world.events("payment_intent.succeeded")[0])
        intent = event["data"]["object"]["payment_intent"]
        refunds.append(world.at_desk("refunds", payment_intent=intent)["id"])
    move_clocks(HOUR + MINUTE)
    # Of the newer one, which is told first, neither itself nor its charge can be asked for.
    charge = at_stripe(f"refunds/{refunds[1]}")["charge"]
    refused = [f"GET /v1/refunds/{refunds[1]}", f"GET /v1/charges/{charge}"]
    world.set(api_faults=[{"on": one, "fault": "402"} for one in refused])
    sweep_now()
    assert rows(STATUS) == [("refunded",), ("paid",)]

    # The list is not read so far back again, but what it told is kept, and asked about.
    world.set(api_faults=[])
    move_clocks(11 * MINUTE)
    sweep_now()
    reconcile.match_events()
    assert rows(STATUS) == [("refunded",), ("refunded",)]


# --- the walk --------------------------------------------------------------------------------


@pytest.mark.parametrize(("gap", "walks"), [(24, False), (26, True)])
def test_after_a_gap_of_more_than_25_days_all_payments_of_half_a_year_are_asked_about(
    paid, sweep_now, move_clocks, asked, rows, gap, walks
):
    move_clocks(gap * DAY)
    sweep_now()
    assert len(asked(SESSIONS)) == int(walks)
    assert rows("SELECT walked_to FROM sweep_state") == [(None,)]


def test_what_the_list_does_not_tell_any_more_the_walk_finds(
    paid, sweep_now, move_clocks, world, rows, asked, intent
):
    world.at_desk("refunds", payment_intent=intent(), amount=300)
    world.at_desk("disputes", payment_intent=intent(), inquiry=True)
    move_clocks(31 * DAY)
    sweep_now()
    assert rows("SELECT status, refunded FROM payments") == [("partially_refunded", 300)]
    assert rows("SELECT dispute IS NOT NULL FROM payments") == [(True,)]


def test_a_payment_older_than_half_a_year_is_walked_past(paid, sweep_now, move_clocks, asked):
    move_clocks(181 * DAY)
    sweep_now()
    assert asked(SESSIONS) == []


def test_the_walk_goes_on_where_it_stopped(
    completed, deliver, move_clocks, asked, rows, monkeypatch
):
    """Stopped by the day's budget, or by whatever; no payment is asked about twice."""
    monkeypatch.setattr(sweep, "PAGE", 2)
    monkeypatch.setattr(sweep, "READS_PER_PAYMENT", 0)
    for _ in range(5):
        deliver(completed())
    monkeypatch.setattr(sweep, "STRETCH", 40 * DAY)
    move_clocks(31 * DAY)
    for budget, walked in ((14, 3), (10, 5)):
        monkeypatch.setattr(sweep, "READS_A_DAY", budget)
        report = sweep.run()
        assert ("as often as it may" in report.stopped) is (walked < 5)
        assert len(set(asked(SESSIONS))) == len(asked(SESSIONS)) == walked
        move_clocks(DAY)
    assert rows("SELECT walked_to FROM sweep_state") == [(None,)]


# --- what the day's questions suffice for ----------------------------------------------------


@pytest.fixture
def questions(monkeypatch):
    """Let the day have so few questions, and a page of the list two events."""

    def allow(count):
        monkeypatch.setattr(sweep, "READS_A_DAY", count)
        monkeypatch.setattr(sweep, "READS_PER_PAYMENT", 0)
        monkeypatch.setattr(gateway, "PAGE", 2)

    return allow


def foreign_events(at_stripe, count):
    for _ in range(count):
        at_stripe(f"checkout/sessions/{foreign_session(at_stripe)['id']}/expire", "POST")


def test_a_list_too_long_for_one_days_questions_is_read_to_its_end_on_later_days(
    paid, intent, world, at_stripe, move_clocks, rows, questions
):
    """Another program on the same account: nothing of ours was lost among its events."""
    questions(12)
    rows("UPDATE sweep_state SET events_read_to = NULL RETURNING 1")
    world.at_desk("refunds", payment_intent=intent())
    for _ in range(3):
        move_clocks(DAY)
        foreign_events(at_stripe, count=8)
    for _ in range(5):
        stopped = sweep.run().stopped
        move_clocks(HOUR * 23)
    assert (rows(STATUS), stopped) == ([("refunded",)], "")


def test_what_the_list_tells_from_before_the_first_payment_is_not_read(
    submit, at_stripe, pass_time, rows, questions, sweep_now
):
    foreign_events(at_stripe, count=12)
    submit()
    rows("UPDATE payments SET created_at = now() + interval '1 hour' RETURNING 1")
    rows("UPDATE sweep_state SET events_read_to = NULL RETURNING 1")
    pass_time(2 * HOUR)
    questions(8)
    assert sweep_now().asked < 4


@pytest.mark.parametrize("busy", ["list", "walk"])
def test_neither_the_list_nor_the_walk_uses_up_what_waiting_payments_need(
    completed, deliver, at_stripe, pass_time, rows, questions, busy
):
    for _ in range(6):
        deliver(completed())
    questions(12)
    if busy == "walk":
        rows("UPDATE payments SET created_at = created_at - interval '27 days' RETURNING 1")
        rows("UPDATE sweep_state SET events_read_to = now() - interval '26 days' RETURNING 1")
    else:
        foreign_events(at_stripe, count=20)
        rows("UPDATE sweep_state SET events_read_to = NULL RETURNING 1")
    assert sweep.run().stopped != ""
    completed()
    pass_time(6 * MINUTE)
    assert sweep.run().asked == 1
    assert set(rows(STATUS)) == {("paid",)}


# --- a dry run -------------------------------------------------------------------------------

ALL = (
    "payments", "attempts", "stripe_events", "refunds", "disputes", "emails", "timeline_entries",
    "procrastinate_jobs",
)  # fmt: skip


@pytest.fixture
def stored(rows):
    """All that is stored, but how often Stripe was asked."""
    return lambda: {table: sorted(map(str, rows(f"SELECT * FROM {table}"))) for table in ALL}


def test_a_dry_run_prints_every_difference_and_stores_nothing(
    completed, submit, deliver, flask, world, stored, rows, at_stripe
):
    paid = completed(amount="21.00")
    completed(amount="33.00")
    submit(amount="44.00")
    deliver(paid)
    at_stripe("refunds", "POST", payment_intent=paid["data"]["object"]["payment_intent"])
    before = stored()
    told = flask("reconcile", "--dry-run", ends=1).output
    assert stored() == before
    receipts = dict(rows("SELECT amount, receipt_number FROM payments"))
    assert f"{receipts[2100]}  paid → refunded" in told
    assert f"{receipts[3300]}  open → paid" in told
    assert receipts[4400] not in told
    assert "2 would change" in told

    assert "2 changed" in flask("reconcile").output
    assert "0 would change" in flask("reconcile", "--dry-run").output
    assert rows(STATUS) == [("refunded",), ("paid",), ("open",)]


def test_a_dry_run_postpones_no_question(submit, flask, rows, stored):
    submit()
    before = stored()
    assert "0 would change" in flask("reconcile", "--dry-run").output
    assert stored() == before


# --- what the operator is told ---------------------------------------------------------------

ALERTS = "SELECT about, recipient, payment_id FROM emails WHERE kind = 'owner_webhooks' ORDER BY 1"


def test_the_operator_is_told_once_a_day_that_events_did_not_come(
    paid, sweep_now, move_clocks, world, rows, intent, mailbox, work
):
    move_clocks(DAY)
    for amount, day, alerts in ((100, timedelta(), 1), (200, timedelta(), 1), (300, DAY, 2)):
        move_clocks(day)
        world.at_desk("refunds", payment_intent=intent(), amount=amount)
        move_clocks(16 * MINUTE)
        assert sweep_now().missed_events > 0
        assert len(rows(ALERTS)) == alerts
    assert [row[1:] for row in rows(ALERTS)] == [("owner@northlight.example", None)] * 2
    work()
    told = [one for one in mailbox.letters() if one["subject"].startswith("Stripe’s events")]
    assert len(told) == 2
    assert "Payments found by asking, in all" in told[0]["text"]


def test_what_is_found_by_hand_alerts_nobody(paid, sweep_now, world, rows, intent):
    world.at_desk("refunds", payment_intent=intent())
    assert sweep_now(by_hand=True).missed_events > 0
    assert rows(ALERTS) == []


def test_an_event_of_the_wrong_mode_is_told_to_the_operator_once_a_day(
    completed, deliver, rows, pass_time
):
    event = completed() | {"livemode": True}
    for _ in range(3):
        assert deliver(event).status_code == 400
    assert len(rows(ALERTS)) == 1
    assert rows(ALERTS)[0][0].startswith("wrong mode, ")
    assert rows("SELECT count(*) FROM stripe_events") == [(0,)]
    pass_time(DAY)
    deliver(event)
    assert len(rows(ALERTS)) == 2
