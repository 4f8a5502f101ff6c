"""Postgres, Stripe or the mail server are away for a while: afterwards all is right again."""

import json
import random
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
import requests
from flask_migrate import upgrade

from payflow import clock, sweep
from sandbox.demo.postgres import Postgres, free_port
from sandbox.desk.presets import PRESETS
from tests.http.conftest import FORM, hidden_fields, retold, sign
from tests.mail_servers import Hasty, Keeper, mail_server
from tests.stack import Web, Worker, until

MINUTE, SECOND, DAY = timedelta(minutes=1), timedelta(seconds=1), timedelta(days=1)
STATUS = "SELECT status FROM payments ORDER BY created_at"
DOWN = [{"on": "* /v1/*", "fault": "reset_before"}]


# --- Postgres --------------------------------------------------------------------------------


@pytest.fixture
def mortal_postgres(tmp_path_factory):
    # Else a commit is answered before it is written down.
    with Postgres(tmp_path_factory.mktemp("mortal-postgres"), durable=True) as server:
        server.create_database("payflow")
        yield server


@pytest.fixture
def mortal_site(mortal_postgres, installed, variables):
    """The whole of payflow on that Postgres, as it is deployed; its address."""
    url = f"http://127.0.0.1:{free_port()}"
    settings = variables | {
        "DATABASE_URL": mortal_postgres.url("payflow"), "PUBLIC_URL": url, "ALERT_EMAIL": "",
    }  # fmt: skip
    with installed(**settings).app_context():
        upgrade()
    worker = Worker(settings)
    web = Web(url, settings)
    yield url, worker
    worker.stop()
    web.stop()


def test_postgres_killed_under_load_loses_no_event_and_no_letter(
    mortal_site, mortal_postgres, world, mailbox
):
    """25 payments, 200 deliveries; a delivery that is not answered 2xx is made again, as Stripe
    does."""
    url, _ = mortal_site
    for _ in range(25):
        assert world.pay(open_checkout(url)).status_code == 303
    told = [*world.events("checkout.session.completed"), *world.events("payment_intent.succeeded")]
    assert len(told) == 50
    told += [retold(event) for event in told * 3]
    random.Random(7).shuffle(told)
    answers, some_delivered, back = Counter(), threading.Event(), threading.Event()

    def deliver(event):
        body = json.dumps(event)
        for _ in range(60):
            status = post(url, body)
            answers[status] += 1
            if status == 200:
                if answers[200] > 50:
                    some_delivered.set()
                return
            back.wait(1)  # a pause before the next try
        raise AssertionError(f"not delivered: {answers}")

    with ThreadPoolExecutor(8) as stripe:
        deliveries = [stripe.submit(deliver, event) for event in told]
        assert some_delivered.wait(30)
        mortal_postgres.process.kill()
        until(lambda: answers[500] + answers[503])
        mortal_postgres.stop()
        mortal_postgres.start()
        back.set()
        for one in deliveries:
            one.result(timeout=60)

    assert answers[200] == 200
    with psycopg.connect(mortal_postgres.url("payflow"), autocommit=True) as database:

        def ask(query):
            return database.execute(query).fetchall()

        assert ask("SELECT status, count(*) FROM payments GROUP BY 1") == [("paid", 25)]
        assert ask("SELECT outcome, count(*) FROM stripe_events GROUP BY 1") == [("recorded", 200)]
        assert ask("SELECT kind, count(*) FROM emails GROUP BY 1") == [("receipt", 25)]
        until(lambda: ask("SELECT state, count(*) FROM emails GROUP BY 1") == [("sent", 25)], 60)
    identifiers = Counter(
        value for one in mailbox.letters() for name, value in one["headers"] if name == "Message-ID"
    )
    assert len(identifiers) == 25


def test_the_worker_waits_for_a_database_that_is_away_for_longer(
    mortal_site, mortal_postgres, world, mailbox
):
    url, worker = mortal_site
    world.pay(open_checkout(url))
    mortal_postgres.process.kill()
    until(lambda: "has lost the database" in worker.output(), 40)
    mortal_postgres.stop()
    mortal_postgres.start()
    (event,) = world.events("checkout.session.completed")
    until(lambda: post(url, json.dumps(event)) == 200)
    until(lambda: world.letters(to="customer@example.com"), 60)
    assert worker.process.poll() is None


def test_a_worker_that_is_asked_to_stop_while_the_database_is_away_stops(
    mortal_site, mortal_postgres
):
    _, worker = mortal_site
    until(lambda: signs_of_life(mortal_postgres))
    mortal_postgres.process.kill()
    worker.process.terminate()
    assert worker.process.wait(60) == 0


def signs_of_life(server):
    with psycopg.connect(server.url("payflow"), autocommit=True) as database:
        return database.execute("SELECT 1 FROM procrastinate_workers").fetchall()


def open_checkout(url):
    """Fill in the form as a browser does; answers the address of Stripe's page."""
    browser = requests.Session()
    form = FORM | hidden_fields(browser.get(url, timeout=30).text)
    for _ in range(12):
        answer = browser.post(f"{url}/checkout", data=form, timeout=60, allow_redirects=False)
        if answer.status_code == 303:
            return answer.headers["Location"]
    raise AssertionError(answer.text)


def post(url, body):
    try:
        return requests.post(
            f"{url}/webhooks/stripe", data=body, headers=sign(body), timeout=30
        ).status_code
    except requests.RequestException:
        return None


# --- the mail server -------------------------------------------------------------------------


@pytest.fixture
def work_with(mailbox, installed, work, rows):
    """Do the work where letters go to the server on this port, at the time of their next try."""

    def run(port):
        rows("UPDATE procrastinate_jobs SET scheduled_at = NULL WHERE status = 'todo' RETURNING 1")
        with installed(MAIL_PORT=str(port), ALERT_EMAIL="").app_context():
            work()

    return run


@pytest.fixture
def receipts_owed(completed, deliver, rows):
    for number in range(3):
        assert deliver(completed(email=f"customer{number}@example.com")).status_code == 200
    rows("DELETE FROM emails WHERE kind = 'owner_paid' RETURNING 1")


@pytest.mark.usefixtures("receipts_owed")
def test_letters_that_were_owed_while_the_mail_server_was_down_leave_once_it_is_back(
    work_with, rows
):
    port = free_port()
    for tries in (1, 2, 3):
        work_with(port)
        assert rows("SELECT state, tries FROM emails") == [("queued", tries)] * 3
    taker = Hasty()  # and drops each connection at QUIT
    with mail_server(taker) as port:
        work_with(port)
        work_with(port)
    assert rows("SELECT state, tries FROM emails") == [("sent", 4)] * 3
    assert sorted(letter.rcpt_tos[0] for letter in taker.letters) == [
        f"customer{number}@example.com" for number in range(3)
    ]


class RefusingOne(Keeper):
    """Takes all letters but those to one recipient, who is not known."""

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == "customer1@example.com":
            return "550 5.1.1 No such user here"
        envelope.rcpt_tos.append(address)
        return "250 OK"


@pytest.mark.usefixtures("receipts_owed")
def test_a_letter_that_is_refused_for_good_is_listed_and_stops_no_other(work_with, rows, flask):
    taker = RefusingOne()
    with mail_server(taker) as port:
        work_with(port)
        work_with(port)
    assert len(taker.letters) == 2
    listed = flask("emails", "list", "--state", "failed").output
    (line,) = listed.splitlines()[1:]
    assert "customer1@example.com" in line
    assert "550 5.1.1 No such user here" in line
    assert "customer0@example.com" not in listed


# --- Stripe's API ----------------------------------------------------------------------------


def test_while_stripe_is_down_the_sweep_says_so_and_afterwards_all_is_right(
    completed, submit, world, flask, rows, pass_time, list_was_just_read
):
    completed()
    pass_time(6 * MINUTE)
    world.set(api_faults=DOWN)
    due = rows("SELECT next_check_at FROM payments")
    for words in (["reconcile"], ["reconcile", "--dry-run"]):
        answer = flask(*words, ends=2)
        assert "Stopped before the end. Stripe: " in answer.output
    assert sweep.run().stopped.startswith("Stripe: ")
    assert rows(STATUS) == [("open",)]
    # What was not answered is asked again at once, and not after another pause.
    assert rows("SELECT next_check_at FROM payments") == due

    page = submit(amount="7.00")
    assert page.status_code == 502
    assert 'value="7.00"' in page.text

    world.set(api_faults=[])
    assert sweep.run().stopped == ""
    assert rows(STATUS) == [("paid",), ("created",)]
    assert submit(amount="7.00").status_code == 303


@pytest.mark.parametrize("by_hand", [False, True])
def test_after_429_nothing_is_asked_before_the_time_that_stripe_has_named(
    completed, world, rows, pass_time, asked, list_was_just_read, by_hand
):
    completed(), completed()
    pass_time(6 * MINUTE)
    world.set(api_faults=[{"on": "GET /v1/*", "fault": "429", "seconds": 40, "times": 1}])
    assert sweep.run(by_hand=by_hand).stopped.startswith("Stripe: ")
    assert len(asked()) == 1
    pass_time(38 * SECOND)
    assert "pause" in sweep.run().stopped
    assert len(asked()) == 1
    pass_time(3 * SECOND)
    assert sweep.run().stopped == ""
    assert rows(STATUS) == [("paid",), ("paid",)]


def test_when_the_days_questions_are_used_up_the_rest_waits_for_the_next_day(
    completed, rows, pass_time, asked, list_was_just_read, monkeypatch, flask
):
    monkeypatch.setattr(sweep, "READS_A_DAY", 2)
    monkeypatch.setattr(sweep, "READS_PER_PAYMENT", 0)
    for _ in range(3):
        completed()
    pass_time(6 * MINUTE)
    assert "as often as it may be today" in sweep.run().stopped
    assert len(asked()) == 2
    assert "as often as it may be today" in flask("reconcile", ends=2).output
    assert sweep.run().asked == 0
    assert len(asked()) == 2
    assert Counter(rows(STATUS)) == {("paid",): 2, ("open",): 1}
    pass_time(DAY)
    rows("UPDATE sweep_state SET events_read_to = %s RETURNING 1", clock.now())
    assert sweep.run().stopped == ""
    assert rows(STATUS) == [("paid",)] * 3


def test_the_day_has_ten_questions_for_each_payment_of_the_last_thirty_days(
    submit, rows, asked, monkeypatch, list_was_just_read
):
    monkeypatch.setattr(sweep, "READS_A_DAY", 1)
    submit()
    sweep.run(by_hand=True)
    rows("UPDATE sweep_state SET reads = 9 RETURNING 1")
    assert sweep.run(by_hand=True).stopped.startswith("Stripe was asked")
    rows("UPDATE payments SET created_at = created_at - interval '31 days' RETURNING 1")
    before = len(asked())
    assert sweep.run(by_hand=True).stopped.startswith("Stripe was asked")
    assert len(asked()) == before


# --- everything at once ----------------------------------------------------------------------


def hurried(rule):
    """The same fault, with less waiting."""
    return rule | {"seconds": {"timeout_after": 1, "delay": 0.3, "reorder": 1}.get(rule["fault"])}


@pytest.mark.parametrize("seed", [7])
def test_where_everything_goes_wrong_all_is_equal_to_stripe_in_the_end(
    site, world, rows, at_stripe, flask, seed
):
    switches: Mapping = PRESETS["everything-goes-wrong"].switches
    world.set(
        seed=seed, deliver=True, retry_schedule_s=[0.3] * 12,
        **{kind: [clean(hurried(rule)) for rule in rules] for kind, rules in switches.items()},
    )  # fmt: skip
    with ThreadPoolExecutor(5) as customers:
        pages = list(customers.map(lambda _: open_checkout(site), range(20)))
        list(customers.map(world.pay, pages[:17]))
    intents = [one["data"]["object"]["id"] for one in at_desk_events(world)]
    assert len(intents) == 17
    for number, intent in enumerate(intents[:6]):
        world.at_desk("refunds", payment_intent=intent, amount=100 + number)
    for intent in intents[5:8]:
        world.at_desk("disputes", payment_intent=intent)

    world.set(api_faults=[], delivery_faults=[])
    flask("reconcile")
    stripes = {truth["id"]: truth for truth in truths(at_stripe)}
    stored = rows(STORED)
    assert len(stored) == 20
    for payment_id, status, captured, refunded, dispute in stored:
        truth = stripes.get(payment_id, {"captured": 0, "refunded": 0, "dispute": None})
        assert (captured, refunded, dispute) == (
            truth["captured"], truth["refunded"], truth["dispute"]
        )  # fmt: skip
        assert (status in ("paid", "partially_refunded")) is (captured > 0)
    assert sum(captured > 0 for _, _, captured, _, _ in stored) == 17
    assert rows("SELECT count(*) FROM emails WHERE kind = 'receipt'") == [(17,)]
    # What still comes late changes nothing more, and each letter has come once.
    until(lambda: rows("SELECT 1 FROM emails WHERE state = 'queued'") == [], 40)
    assert rows(STORED) == stored
    identifiers = Counter(
        value for one in world.letters() for name, value in one["headers"] if name == "Message-ID"
    )
    assert set(identifiers.values()) == {1}


STORED = "SELECT id::text, status, captured, refunded, dispute FROM payments ORDER BY id"


def clean(rule):
    return {name: value for name, value in rule.items() if value is not None}


def at_desk_events(world):
    """The list of events meets the faults too: as often as it takes."""
    while True:
        try:
            return world.events("payment_intent.succeeded")
        except (requests.RequestException, KeyError, ValueError):
            continue


def truths(at_stripe):
    """What Stripe has of each payment: over all of its sessions."""
    found = {}
    for session in at_stripe("checkout/sessions?limit=100")["data"]:
        truth = found.setdefault(
            session["client_reference_id"],
            {"id": session["client_reference_id"], "captured": 0, "refunded": 0, "dispute": None},
        )
        if session["payment_intent"]:
            intent = at_stripe(
                f"payment_intents/{session['payment_intent']}?expand[]=latest_charge"
            )
            truth["captured"] += intent["amount_received"]
            truth["refunded"] += (intent["latest_charge"] or {}).get("amount_refunded", 0)
            for dispute in at_stripe(f"disputes?payment_intent={intent['id']}")["data"]:
                truth["dispute"] = dispute["status"]
    return found.values()
