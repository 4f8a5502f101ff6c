"""What the operator does by hand, and how it is answered."""

import os
import signal
from datetime import timedelta

import psycopg
import pytest

from payflow import clock
from payflow.db import db
from sandbox.demo.postgres import free_port
from tests.http.conftest import hidden_fields, retold
from tests.stack import Program, until

PAID = "SELECT status, captured, refunded FROM payments"


# --- looking ---------------------------------------------------------------------------------


def test_payments_are_listed_newest_first_and_by_status(flask, submit, paid, rows):
    submit(amount="7.00")
    lines = flask("payments", "list").output.splitlines()
    assert lines[0].split()[:2] == ["RECEIPT", "CREATED"]
    assert ["€7.00" in lines[1], "€12.50" in lines[2]] == [True, True]
    assert "€7.00" not in flask("payments", "list", "--status", "paid").output


def test_of_an_open_payment_the_list_says_that_a_card_was_declined(
    flask, submit, world, receipt, rows
):
    page = submit().location
    assert flask("payments", "list").output.count("open ") == 1
    world.pay(page, card="4000000000000002")
    flask("payments", "sync", receipt())
    assert "  open, declined  €12.50" in flask("payments", "list").output
    assert "open, declined" in flask("payments", "list", "--status", "open").output
    world.pay(page)
    flask("payments", "sync", receipt())
    assert "  paid    €12.50" in flask("payments", "list").output


def test_a_payment_is_shown_with_all_that_is_known(flask, paid, receipt):
    shown = flask("payments", "show", receipt().lower().replace("-", "")).output
    for words in (
        f"{receipt()}  paid  €12.50",
        paid["data"]["object"]["id"],
        paid["data"]["object"]["payment_intent"],
        "session complete, paid",
        f"event {paid['id']}",
        "owner_paid",
        "customer@example.com",
    ):
        assert words in shown


def test_amounts_are_shown_as_people_write_them(flask, paid, receipt, world, at_stripe):
    """Minor units would be read as a hundred times as much."""
    flask("refund", receipt(), "--amount", "5.00")
    world.at_desk("disputes", charge=at_stripe("charges")["data"][0]["id"])
    flask("payments", "sync", receipt())
    shown = flask("payments", "show", receipt()).output
    told = dict(line.split(maxsplit=1) for line in shown.splitlines() if line.startswith("  "))
    assert (told["captured"], told["refunded"], told["received"]) == ("€12.50", "€5.00", "€12.50")
    assert told["withdrawn"] == "€7.50"


def test_a_list_of_nothing_says_so(flask):
    assert flask("payments", "list").output == "None.\n"


def test_an_unknown_receipt_is_told_in_a_sentence(flask):
    refused = flask("payments", "show", "NONE-SUCH", ends=1)
    assert refused.output == "Error: There is no payment NONE-SUCH.\n"


# --- asking and deciding ---------------------------------------------------------------------


def test_sync_asks_stripe_and_says_what_changed(flask, completed, receipt, rows):
    completed()
    told = flask("payments", "sync", receipt()).output
    assert told == f"{receipt()}  open → paid  session complete, paid; €12.50 received\n"
    assert rows(PAID) == [("paid", 1250, 0)]
    assert "nothing new" in flask("payments", "sync", receipt()).output


def test_cancel_closes_the_page_at_stripe(flask, submit, receipt, rows, at_stripe, client):
    submit()
    told = flask("payments", "cancel", receipt()).output
    assert told == f"{receipt()}  open → canceled\n"
    ((session_id,),) = rows("SELECT session_id FROM attempts")
    assert at_stripe(f"checkout/sessions/{session_id}")["status"] == "expired"
    assert "already" in flask("payments", "cancel", receipt()).output


def test_what_was_just_paid_is_found_paid_instead_of_canceled(flask, completed, receipt, rows):
    completed()
    refused = flask("payments", "cancel", receipt(), ends=1)
    assert "Only a payment that nobody has paid" in refused.output
    assert rows(PAID) == [("paid", 1250, 0)]


def test_a_customer_may_pay_a_canceled_payment_after_all(
    flask, submit, receipt, rows, client, world, deliver
):
    submit()
    flask("payments", "cancel", receipt())
    ((payment_id,),) = rows("SELECT id FROM payments")
    page = client.get(f"/payments/{payment_id}").text
    again = client.post(f"/payments/{payment_id}/retry", data=hidden_fields(page))
    assert world.pay(again.location).status_code == 303
    deliver(world.events("checkout.session.completed")[0])
    assert rows(PAID) == [("paid", 1250, 0)]


def test_accept_refuses_where_asking_stripe_settles_it(flask, completed, deliver, receipt, rows):
    deliver(retold(completed(), amount_total=1))
    assert rows(PAID) == [("review", 0, 0)]
    assert "review → paid" in flask("payments", "accept", receipt()).output
    assert "nothing" in flask("payments", "accept", receipt(), ends=1).output.lower()


def test_accept_believes_what_stripe_itself_says(flask, submit, world, receipt, rows):
    """As if the amount asked for had been another: Stripe has 12.50, we believe to have asked 9."""
    world.pay(submit().location)
    rows("UPDATE payments SET amount = 900 RETURNING 1")
    assert "open → review" in flask("payments", "sync", receipt()).output
    assert "review → paid" in flask("payments", "accept", receipt()).output
    assert rows(PAID) == [("paid", 1250, 0)]
    assert rows("SELECT accepted FROM attempts") == [(["12.50 EUR instead of 9.00 EUR"],)]
    assert rows("SELECT 1 FROM timeline_entries WHERE happened ~ 'operator has accepted'")
    assert "nothing new" in flask("payments", "sync", receipt()).output
    assert rows("SELECT count(*) FROM emails WHERE kind = 'receipt'") == [(1,)]


@pytest.mark.parametrize(("currency", "amount", "asked_for"), [
    ("EUR", "12.50", 400),
    ("JPY", "1250", 1),
])  # fmt: skip
def test_much_more_that_was_accepted_is_what_was_paid_and_no_overpayment(
    flask, submit, world, receipt, rows, client, work, mailbox, currency, amount, asked_for
):
    world.pay(submit(currency=currency, amount=amount).location)
    rows("UPDATE payments SET amount = %s RETURNING 1", asked_for)
    flask("payments", "sync", receipt())
    flask("payments", "accept", receipt())
    assert rows(PAID) == [("paid", 1250, 0)]
    work()
    kinds = {kind for (kind,) in rows("SELECT kind FROM emails")}
    assert kinds == {"owner_review", "receipt", "owner_paid"}
    assert rows("SELECT 1 FROM timeline_entries WHERE happened = 'overpaid'") == []
    shown = {"EUR": "€12.50", "JPY": "¥1,250"}[currency]
    (letter,) = mailbox.letters(to="customer@example.com")
    assert shown in letter["subject"]
    assert f": {shown}" in letter["text"]
    ((payment_id,),) = rows("SELECT id FROM payments")
    assert f'<p class="amount-shown">{shown}</p>' in client.get(f"/payments/{payment_id}").text
    flask("refund", receipt(), "--amount", {"EUR": "5.00", "JPY": "500"}[currency])
    assert rows(PAID) == [("partially_refunded", 1250, 500)]
    flask("refund", receipt())
    assert rows(PAID) == [("refunded", 1250, 1250)]


# --- refunds ---------------------------------------------------------------------------------


def test_a_refund_in_parts_and_then_the_rest(flask, paid, receipt, rows):
    assert "€5.00 succeeded" in flask("refund", receipt(), "--amount", "5.00").output
    assert rows(PAID) == [("partially_refunded", 1250, 500)]
    assert "€7.50 succeeded" in flask("refund", receipt()).output
    assert rows(PAID) == [("refunded", 1250, 1250)]
    assert "Nothing is left" in flask("refund", receipt(), ends=1).output


def test_no_more_than_is_left_is_refunded(flask, paid, receipt, world, rows):
    refused = flask("refund", receipt(), "--amount", "12.51", ends=1)
    assert "At most €12.50 is left" in refused.output
    assert world.api_calls("/v1/refunds") == []
    assert rows("SELECT count(*) FROM refunds") == [(0,)]


@pytest.mark.parametrize("amount", ["", "1,50", "-1", "x", "1e2", "0", "1.005", "1.2.3"])
def test_an_amount_that_is_none_is_refused(flask, paid, receipt, amount, rows):
    flask("refund", receipt(), f"--amount={amount}", ends=1)
    assert rows("SELECT count(*) FROM refunds") == [(0,)]


def test_a_payment_that_is_not_paid_cannot_be_refunded(flask, submit, receipt):
    submit()
    assert "Nothing is left" in flask("refund", receipt(), ends=1).output


def test_of_what_is_in_review_nobody_is_told_that_nothing_is_left(
    flask, submit, world, receipt, rows
):
    world.pay(submit().location)
    rows("UPDATE payments SET amount = 900 RETURNING 1")
    flask("payments", "sync", receipt())
    refused = flask("refund", receipt(), ends=1).output
    assert "Nothing is left" not in refused
    assert "Accept it first, or refund it in Stripe's Dashboard." in refused
    flask("payments", "accept", receipt())
    assert "€12.50 succeeded" in flask("refund", receipt()).output


def test_a_refund_whose_answer_never_came_is_one_refund(
    flask, paid, receipt, world, rows, at_stripe
):
    world.set(api_faults=[{"on": "POST /v1/refunds", "fault": "reset_after", "times": 3}])
    refused = flask("refund", receipt(), ends=1)
    assert "settled by the next sweep" in refused.output
    assert rows("SELECT refund_id, refusal FROM refunds") == [(None, None)]
    assert "Nothing is left" in flask("refund", receipt(), ends=1).output
    flask("reconcile")
    assert rows(PAID) == [("refunded", 1250, 1250)]
    assert len(at_stripe("refunds?limit=9")["data"]) == 1


def test_who_breaks_off_a_refund_is_told_that_it_was_asked_for(
    paid, flask, receipt, world, rows, variables, at_stripe
):
    """Else who takes it for undone asks for another, of a part, and Stripe makes both."""
    world.set(api_delay_s=2)
    refund = ("flask", "--app", "wsgi", "refund", receipt(), "--amount", "5.00")
    command = Program(*refund, environment=variables)
    until(lambda: world.api_calls("/v1/refunds"))
    os.killpg(command.process.pid, signal.SIGINT)
    assert command.process.wait(60) == 1
    assert "Interrupted" in command.output()
    assert "A refund that was asked for is kept" in command.output()
    command.stop()
    world.set(api_delay_s=0)
    flask("reconcile")
    assert rows(PAID) == [("partially_refunded", 1250, 500)]
    assert len(at_stripe("refunds")["data"]) == 1


@pytest.mark.parametrize(("fault", "made"), [("reset_after", 1), ("reset_before", 0)])
def test_after_a_day_a_refund_without_an_answer_is_looked_for(
    flask, paid, receipt, world, rows, pass_time, fault, made
):
    world.set(api_faults=[{"on": "POST /v1/refunds", "fault": fault, "times": 3}])
    flask("refund", receipt(), ends=1)
    pass_time(timedelta(hours=23, minutes=1))
    flask("reconcile")
    assert rows(PAID) == [("refunded", 1250, 1250) if made else ("paid", 1250, 0)]
    assert rows("SELECT refusal IS NULL FROM refunds") == [(bool(made),)]
    assert len(world.api_calls("/v1/refunds")) >= 3


def test_what_stripe_refuses_counts_no_more(flask, paid, receipt, world, rows, at_stripe):
    """Somebody refunded it in Stripe's Dashboard, and we have not been told yet."""
    charge = at_stripe("charges")["data"][0]["id"]
    at_stripe("refunds", "POST", charge=charge)
    refused = flask("refund", receipt(), ends=1)
    assert "Stripe refused" in refused.output
    assert rows("SELECT refusal IS NULL FROM refunds") == [(False,)]
    flask("payments", "sync", receipt())
    assert rows(PAID) == [("refunded", 1250, 1250)]


# --- events and letters ----------------------------------------------------------------------


def test_replay_handles_an_event_again_for_real(flask, paid, rows):
    rows("UPDATE payments SET status = 'open', captured = 0, paid_at = NULL RETURNING 1")
    rows(
        """UPDATE attempts SET session_status = 'open', session_payment_status = 'unpaid',
        received = NULL, paid_at = NULL, payment_intent_id = NULL RETURNING 1"""
    )
    assert f"{paid['id']}  recorded" in flask("events", "replay", paid["id"]).output
    assert rows(PAID) == [("paid", 1250, 0)]
    assert rows("SELECT count(*) FROM emails") == [(2,)]
    assert rows("SELECT tries FROM stripe_events") == [(2,)]


def test_replay_of_all_that_failed(flask, completed, deliver, rows):
    bad = retold(completed(), status="strange")
    deliver(bad)
    assert bad["id"] in flask("events", "list", "--failed").output
    assert (
        "unreadable: checkout.session with status" in flask("events", "replay", "--failed").output
    )
    assert "Name events" in flask("events", "replay", ends=2).output
    assert "There is no event evt_x here." in flask("events", "replay", "evt_x", ends=1).output


def test_a_letter_sent_again_has_a_message_id_of_its_own(flask, paid, mailbox, work, rows):
    work()
    ((letter,),) = rows("SELECT id FROM emails WHERE kind = 'receipt'")
    assert "goes to customer@example.com again" in flask("emails", "resend", str(letter)).output
    work()
    receipts = mailbox.letters(to="customer@example.com")
    ids = {value for one in receipts for name, value in one["headers"] if name == "Message-ID"}
    assert (len(receipts), len(ids)) == (2, 2)
    assert rows("SELECT state, resends FROM emails WHERE kind = 'receipt'") == [("sent", 1)]
    assert "sent" in flask("emails", "list", "--state", "sent").output


def test_a_letter_on_its_way_is_not_sent_twice(flask, paid, rows):
    ((letter,),) = rows("SELECT id FROM emails WHERE kind = 'receipt'")
    assert "queued already" in flask("emails", "resend", str(letter), ends=1).output
    assert "There is no letter 0." in flask("emails", "resend", "0", ends=1).output


def test_that_stripe_says_the_same_again_later_is_no_change(flask, paid, receipt, world):
    flask("payments", "sync", receipt())
    begun = int(clock.now().timestamp())
    until(lambda: clock.now().timestamp() > begun + 1)
    assert "nothing new" in flask("payments", "sync", receipt()).output


# --- without the database --------------------------------------------------------------------

COMMANDS = [
    ("payments", "list"),
    ("payments", "show", "7K3M-92QX"),
    ("payments", "sync", "7K3M-92QX"),
    ("payments", "cancel", "7K3M-92QX"),
    ("payments", "accept", "7K3M-92QX"),
    ("refund", "7K3M-92QX"),
    ("events", "list"),
    ("events", "replay", "--failed"),
    ("emails", "list"),
    ("emails", "resend", "1"),
    ("reconcile",),
    ("reconcile", "--dry-run"),
]


@pytest.fixture
def flask_elsewhere(installed):
    """Run a command on another database, that ends with 1; answers what it says."""

    def run(database_url, *words, ends=1):
        elsewhere = installed(DATABASE_URL=database_url)
        with elsewhere.app_context():
            result = elsewhere.test_cli_runner().invoke(args=list(words))
            db.session.remove()
            db.engine.dispose()
        assert (result.exit_code, type(result.exception)) == (ends, SystemExit)
        return result.output

    return run


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_without_its_database_a_command_says_so_in_a_line(flask_elsewhere, words):
    port = free_port()
    url = f"postgresql://payflow:secret@127.0.0.1:{port}/payflow"
    told = flask_elsewhere(url, *words, ends=2 if words[0] == "reconcile" else 1)
    assert told.startswith("Error: The database can't be reached: connection failed")
    assert str(port) in told
    assert "Nothing was done. Look whether Postgres is running" in told
    assert "secret" not in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("command", ["payments list", "db upgrade"])
def test_a_program_without_its_database_prints_no_traceback(variables, command):
    url = f"postgresql://payflow:secret@127.0.0.1:{free_port()}/payflow"
    flask = ("flask", "--app", "wsgi", *command.split())
    program = Program(*flask, environment=variables | {"DATABASE_URL": url})
    assert program.process.wait(60) == 1
    assert "The database can't be reached: connection failed" in program.output()
    assert "Traceback" not in program.output()
    assert len(program.output().splitlines()) == 1
    program.stop()


def test_with_a_schema_that_is_behind_a_command_says_what_to_run(postgres, flask_elsewhere):
    postgres.create_database("behind")
    try:
        for revision in ("None", "0001"):
            told = flask_elsewhere(postgres.url("behind"), "payments", "list")
            assert f"schema is at {revision}, behind this version of payflow" in told
            assert "Nothing was done: run `flask db upgrade` first." in told
            with psycopg.connect(postgres.url("behind")) as connection:
                connection.execute("CREATE TABLE IF NOT EXISTS alembic_version (version_num text)")
                connection.execute("INSERT INTO alembic_version VALUES ('0001')")
    finally:
        postgres.drop_database("behind")


def test_with_the_schema_of_a_later_version_commands_go_on(flask, rows):
    """During a deploy the migration comes first."""
    ((head,),) = rows("SELECT version_num FROM alembic_version")
    rows("UPDATE alembic_version SET version_num = 'later' RETURNING 1")
    try:
        assert flask("payments", "list").output == "None.\n"
    finally:
        rows("UPDATE alembic_version SET version_num = %s RETURNING 1", head)


def test_a_database_that_fails_on_the_way_is_told_with_what_becomes_of_a_refund(
    flask, paid, receipt, postgres
):
    with psycopg.connect(postgres.url("payflow")) as other:
        other.execute("SELECT 1 FROM payments FOR UPDATE")
        told = flask("refund", receipt(), ends=1).output
    assert told.startswith("Error: The database did not do all that it was asked: canceling")
    assert "A refund that was asked for is kept" in told
    assert told.count("\n") == 1
