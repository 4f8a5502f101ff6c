"""A process that dies before or after any commit or call: nothing is lost, nothing done twice."""

from collections import Counter
from contextlib import suppress
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from payflow import by_hand, checkout, events, reconcile, refunds, sweep
from payflow.payments import Details
from tests.http.conftest import retold

MINUTE = timedelta(minutes=1)
DETAILS = {
    "amount": 1250, "currency": "eur", "description": "Invoice 2026-118", "reference": "",
    "name": "A. Customer", "email": "customer@example.com",
}  # fmt: skip
COMMIT, STRIPE = "before a commit", "before Stripe's answer"


@pytest.fixture
def state_of(rows):
    def read(payment_id):
        ((found),) = rows(
            "SELECT status, captured, refunded FROM payments WHERE id = %s", payment_id
        )
        return found

    return read


@pytest.fixture
def letters_of(rows):
    """The kinds of letters that there are for a payment."""

    def read(payment_id):
        found = rows("SELECT kind FROM emails WHERE payment_id = %s ORDER BY 1", payment_id)
        return [kind for (kind,) in found]

    return read


@pytest.fixture
def newest(rows):
    """The id of the newest payment."""

    def read():
        ((found,),) = rows("SELECT id::text FROM payments ORDER BY created_at DESC LIMIT 1")
        return found

    return read


@pytest.fixture
def sweep_now(app):
    def run():
        assert sweep.run(by_hand=True).stopped == ""

    return run


def ours(at_stripe, payment_id):
    """The sessions that Stripe has of a payment."""
    return [
        one for one in at_stripe("checkout/sessions?limit=100")["data"]
        if one["client_reference_id"] == payment_id
    ]  # fmt: skip


# --- checkout --------------------------------------------------------------------------------


@pytest.mark.parametrize("swept", [False, True], ids=["click", "sweep, then click"])
def test_opening_a_checkout(
    app, die_everywhere, rows, at_stripe, move_clocks, world, deliver, swept, state_of, sweep_now
):
    def click(form_key):
        with app.test_request_context():
            return checkout.start(Details(**DETAILS), bytes.fromhex(form_key))

    def check(arguments, points):
        # The dead process's claim lapses; the customer, who still has the form, sends it again.
        move_clocks(6 * MINUTE if swept else MINUTE)
        if swept:
            sweep_now()
        destination = click(arguments["form_key"])
        payment_id = str(destination.payment_id)
        found = rows("SELECT id FROM payments WHERE form_key = %s",
                     bytes.fromhex(arguments["form_key"]))  # fmt: skip
        assert found == [(destination.payment_id,)]
        assert rows("SELECT count(*) FROM attempts WHERE payment_id = %s", payment_id) == [(1,)]
        (session,) = ours(at_stripe, payment_id)
        assert (session["status"], session["url"]) == ("open", destination.url)
        assert world.pay(destination.url).status_code == 303
        assert deliver(world.events("checkout.session.completed", limit=1)[0]).status_code == 200
        assert state_of(payment_id) == ("paid", 1250, 0)

    def prepare():
        return {"form_key": uuid4().hex * 2, "details": DETAILS}

    points = Counter(die_everywhere("open", prepare, check))
    assert points[COMMIT] >= 3
    assert points[STRIPE] == 1


# --- events ----------------------------------------------------------------------------------


@pytest.mark.parametrize("again", ["Stripe's retry", "the sweep"])
def test_handling_a_webhook(
    die_everywhere, completed, deliver, newest, state_of, letters_of, again, sweep_now, rows
):
    def check(arguments, points):
        if again == "the sweep":
            sweep_now()
        assert deliver(arguments["event"]).status_code == 200
        assert state_of(newest()) == ("paid", 1250, 0)
        assert letters_of(newest()) == ["owner_paid", "receipt"]
        assert rows("SELECT count(*) FROM stripe_events WHERE id = %s AND outcome = 'recorded'",
                    arguments["event"]["id"]) == [(1,)]  # fmt: skip

    points = die_everywhere("webhook", lambda: {"event": completed()}, check)
    assert points == ["before a commit", "after a commit"]


@pytest.fixture
def administer(postgres, app):
    def execute(statements):
        with psycopg.connect(postgres.url("payflow"), autocommit=True) as connection:
            connection.execute(statements)

    yield execute
    execute("DROP FUNCTION IF EXISTS refuse() CASCADE")


def test_keeping_an_event_that_could_not_be_handled(
    die_everywhere, completed, deliver, newest, state_of, letters_of, administer, move_clocks
):
    """The database refuses it; the process dies around keeping it; then all is well again."""

    def prepare():
        administer("DROP FUNCTION IF EXISTS refuse() CASCADE")
        event = completed()
        administer(
            """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
            AS $$ BEGIN RAISE 'the disk is full'; END $$;
            CREATE TRIGGER refuse BEFORE UPDATE ON attempts FOR EACH ROW
            EXECUTE FUNCTION refuse()"""
        )
        return {"event": event}

    def check(arguments, points):
        administer("DROP FUNCTION IF EXISTS refuse() CASCADE")
        move_clocks(MINUTE)
        events.handle_again()
        if points == [COMMIT]:  # then it was not even kept, and answered nothing: Stripe retries
            assert deliver(arguments["event"]).status_code == 200
        assert state_of(newest()) == ("paid", 1250, 0)
        assert letters_of(newest()) == ["owner_paid", "receipt"]

    points = die_everywhere("webhook", prepare, check)
    assert points[:2] == ["before a commit", "after a commit"]


def test_matching_an_unmatched_event(
    die_everywhere, completed, deliver, world, move_clocks, newest, state_of, letters_of, rows
):
    def prepare():
        intent = completed()["data"]["object"]["payment_intent"]
        world.at_desk("refunds", payment_intent=intent, amount=500)
        assert deliver(world.events("refund.created", limit=1)[0]).status_code == 200
        move_clocks(MINUTE + timedelta(seconds=1))
        return {}

    def check(_, points):
        move_clocks(5 * MINUTE)
        reconcile.match_events()
        events.handle_again()
        assert state_of(newest()) == ("partially_refunded", 1250, 500)
        assert letters_of(newest()) == ["owner_paid", "receipt", "refunded"]
        assert rows("SELECT DISTINCT outcome FROM stripe_events") == [("recorded",)]

    points = Counter(die_everywhere("match", prepare, check))
    assert points[STRIPE] == 2


def test_matching_an_event_whose_payment_is_known_by_now(
    die_everywhere, completed, deliver, world, move_clocks, newest, state_of, letters_of, rows
):
    def prepare():
        session = completed()
        intent = session["data"]["object"]["payment_intent"]
        world.at_desk("refunds", payment_intent=intent, amount=500)
        refund = world.events("refund.created", limit=1)[0]
        deliver(refund)
        rows("UPDATE stripe_events SET outcome = 'ignored' WHERE id = %s RETURNING 1", refund["id"])
        deliver(session)
        rows("UPDATE stripe_events SET outcome = 'unmatched' WHERE id = %s RETURNING 1",
             refund["id"])  # fmt: skip
        move_clocks(MINUTE + timedelta(seconds=1))
        return {}

    def check(_, points):
        move_clocks(5 * MINUTE)
        reconcile.match_events()
        events.handle_again()
        assert state_of(newest()) == ("partially_refunded", 1250, 500)
        assert letters_of(newest()) == ["owner_paid", "receipt", "refunded"]
        assert rows("SELECT DISTINCT outcome FROM stripe_events") == [("recorded",)]

    points = Counter(die_everywhere("match", prepare, check))
    assert points[STRIPE] == 0
    assert points[COMMIT] == 2


# --- letters ---------------------------------------------------------------------------------


def test_delivering_a_letter(die_everywhere, completed, deliver, newest, rows, work, mailbox):
    def prepare():
        assert deliver(completed()).status_code == 200
        ((email_id,),) = rows(
            "SELECT id FROM emails WHERE kind = 'receipt' AND payment_id = %s", newest()
        )
        return {"email_id": email_id}

    def check(arguments, points):
        # Its job is taken over by another worker.
        work()
        assert rows("SELECT state FROM emails WHERE id = %s", arguments["email_id"]) == [("sent",)]
        identity = f"<{newest()}.receipt@"
        identifiers = [
            value for one in mailbox.letters() for name, value in one["headers"]
            if name == "Message-ID" and value.startswith(identity)
        ]  # fmt: skip
        # Taken by the server, and not yet noted: no sender can tell.
        twice = points[-1] == COMMIT
        assert len(identifiers) == 1 + twice
        assert len(set(identifiers)) == 1

    assert die_everywhere("deliver", prepare, check) == [
        "before the letter is taken", "after the letter is taken", "before a commit",
        "after a commit",
    ]  # fmt: skip


# --- refunds ---------------------------------------------------------------------------------


def test_refunding(
    die_everywhere, completed, deliver, newest, rows, at_stripe, state_of, sweep_now, letters_of
):
    def prepare():
        assert deliver(completed()).status_code == 200
        return {"payment_id": newest(), "amount": 500}

    def check(arguments, points):
        payment_id = arguments["payment_id"]
        sweep_now()
        requests = rows("SELECT id::text, refund_id FROM refunds WHERE payment_id = %s", payment_id)
        ((intent,),) = rows("SELECT payment_intent_id FROM attempts WHERE payment_id = %s",
                            payment_id)  # fmt: skip
        made = at_stripe(f"refunds?payment_intent={intent}")["data"]
        assert [(one["metadata"]["payflow_refund_id"], one["id"]) for one in made] == requests
        # Whoever asked looks, and asks again if it was not done.
        assert len(made) == (0 if points == [COMMIT] else 1)
        if not made:
            refunds.refund(UUID(payment_id), 500)
        assert state_of(payment_id) == ("partially_refunded", 1250, 500)
        assert letters_of(payment_id) == ["owner_paid", "receipt", "refunded"]
        assert at_stripe(f"refunds?payment_intent={intent}")["data"][0]["amount"] == 500

    points = Counter(die_everywhere("refund", prepare, check))
    assert points[COMMIT] == 2
    assert points[STRIPE] == 1


# --- the sweep -------------------------------------------------------------------------------


def test_sweeping(
    die_everywhere, completed, submit, deliver, world, newest, rows, state_of, letters_of, sweep_now
):
    """One payment that nobody told of; another's refund, of which nobody told either."""

    def prepare():
        event = completed()
        deliver(event)
        world.at_desk("refunds", payment_intent=event["data"]["object"]["payment_intent"])
        world.pay(submit(amount="7.00").location)
        # What the rounds before have told need not be read again.
        rows(
            """INSERT INTO sweep_state (id, events_read_to) VALUES (1, now())
            ON CONFLICT (id) DO UPDATE SET walked_to = NULL,
            events_read_to = now() + interval '10 min' - interval '3 s' RETURNING 1"""
        )
        return {}

    def check(_, points):
        sweep_now()
        ((other,),) = rows(
            "SELECT id FROM payments WHERE amount = 1250 ORDER BY created_at DESC LIMIT 1"
        )
        assert state_of(newest()) == ("paid", 700, 0)
        assert letters_of(newest()) == ["owner_paid", "receipt"]
        assert state_of(other) == ("refunded", 1250, 1250)
        assert letters_of(other) == ["owner_paid", "receipt", "refunded"]

    points = Counter(die_everywhere("sweep", prepare, check))
    assert points[STRIPE] >= 3
    assert points[COMMIT] >= 6


# --- by hand ---------------------------------------------------------------------------------


def test_canceling(die_everywhere, submit, newest, at_stripe, rows, sweep_now):
    def prepare():
        submit()
        return {"payment_id": newest()}

    def check(arguments, points):
        with suppress(by_hand.NotPossible):
            by_hand.cancel(UUID(arguments["payment_id"]))
        assert rows("SELECT status FROM payments WHERE id = %s", newest()) == [("canceled",)]
        (session,) = ours(at_stripe, newest())
        assert session["status"] == "expired"

    points = Counter(die_everywhere("cancel", prepare, check))
    assert points[STRIPE] == 1
    assert points[COMMIT] == 2


def test_accepting(die_everywhere, completed, deliver, newest, rows, state_of, letters_of):
    def prepare():
        event = completed()
        rows("UPDATE payments SET amount = 900 WHERE id = %s RETURNING 1", newest())
        deliver(retold(event))
        assert state_of(newest())[0] == "review"
        return {"payment_id": newest()}

    def check(arguments, points):
        with suppress(by_hand.NotPossible):
            by_hand.accept(UUID(arguments["payment_id"]))
        assert state_of(newest()) == ("paid", 1250, 0)
        assert letters_of(newest()).count("receipt") == 1
        assert rows("SELECT accepted <> '{}' FROM attempts WHERE payment_id = %s", newest()) == [
            (True,)
        ]

    points = Counter(die_everywhere("accept", prepare, check))
    assert points[STRIPE] >= 1
