"""Events that Stripe delivers: a payment paid, the same event again, and what is none of ours."""

import json
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from tests.http.conftest import retold, sign

LETTERS = "SELECT kind, state, tries FROM emails ORDER BY kind"
EVENTS = "SELECT id, type, outcome, payment_id, payload IS NULL FROM stripe_events"
EVERYTHING = """
    SELECT json_build_object(
        'payments', (SELECT json_agg(p) FROM payments p),
        'attempts', (SELECT json_agg(a) FROM attempts a),
        'timeline', (SELECT json_agg(t ORDER BY t.id) FROM timeline_entries t),
        'emails', (SELECT json_agg(e ORDER BY e.id) FROM emails e),
        'jobs', (SELECT json_agg(j ORDER BY j.id) FROM procrastinate_jobs j),
        'events', (SELECT json_agg(s) FROM stripe_events s))"""


def test_an_event_makes_the_payment_paid(completed, deliver, rows):
    event = completed()
    answer = deliver(event)
    assert answer.status_code == 200
    ((payment_id, status, paid_at),) = rows("SELECT id, status, paid_at FROM payments")
    assert status == "paid"
    assert paid_at.timestamp() == event["created"]
    assert rows(LETTERS) == [("owner_paid", "queued", 0), ("receipt", "queued", 0)]
    assert rows(EVENTS) == [
        (event["id"], "checkout.session.completed", "recorded", payment_id, False)
    ]


def test_the_event_is_told_on_the_timeline_with_its_id(completed, deliver, rows):
    event = completed()
    deliver(event)
    session_id = event["data"]["object"]["id"]
    query = "SELECT subject, happened FROM timeline_entries WHERE source = %s ORDER BY id"
    assert rows(query, f"event {event['id']}") == [
        (session_id, "session complete, paid"),
        (event["data"]["object"]["payment_intent"], "€12.50 received"),
        ("payment", "paid"),
    ]


def test_the_payment_intent_is_kept_with_the_attempt(completed, deliver, rows):
    event = completed()
    deliver(event)
    intent = event["data"]["object"]["payment_intent"]
    assert intent.startswith("pi_")
    assert rows("SELECT payment_intent_id FROM attempts") == [(intent,)]


def test_the_payload_is_kept_as_it_was_delivered(completed, deliver, rows):
    event = completed()
    deliver(event)
    assert rows("SELECT payload FROM stripe_events") == [(event,)]


def test_an_event_that_comes_again_changes_nothing(completed, deliver, rows):
    event = completed()
    deliver(event)
    before = rows(EVERYTHING)
    assert deliver(event).status_code == 200
    assert rows(EVERYTHING) == before


def test_a_twin_event_that_tells_the_same_sends_no_second_receipt(completed, deliver, rows):
    event = completed()
    deliver(event)
    payment = rows("SELECT * FROM payments")
    assert deliver(retold(event)).status_code == 200
    assert rows("SELECT * FROM payments") == payment
    assert rows("SELECT count(*) FROM emails") == [(2,)]
    assert rows("SELECT count(*) FROM procrastinate_jobs") == [(2,)]
    assert rows("SELECT count(*) FROM stripe_events") == [(2,)]


def test_an_event_delivered_eight_times_at_once_is_recorded_once(completed, deliver, rows):
    event = completed()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(deliver, [event] * 8))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert rows("SELECT count(*) FROM stripe_events") == [(1,)]
    assert rows("SELECT status FROM payments") == [("paid",)]
    assert rows(LETTERS) == [("owner_paid", "queued", 0), ("receipt", "queued", 0)]
    assert rows("SELECT count(*) FROM procrastinate_jobs") == [(2,)]


def test_twin_events_delivered_at_once_send_one_receipt(completed, deliver, rows):
    event = completed()
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(deliver, [retold(event) for _ in range(8)]))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert rows("SELECT count(*) FROM stripe_events WHERE outcome = 'recorded'") == [(8,)]
    assert rows("SELECT count(*) FROM emails") == [(2,)]
    assert rows("SELECT count(*) FROM procrastinate_jobs") == [(2,)]


# --- what it costs ---------------------------------------------------------------------------


def test_a_new_delivery_takes_ten_statements_at_most(completed, deliver, statements):
    first, second = completed(), completed()
    deliver(first)
    with statements() as asked:
        assert deliver(second).status_code == 200
    assert any("procrastinate_defer_jobs" in statement for statement in asked), asked
    assert len(asked) <= 10, asked


def test_a_repeat_takes_two_statements_at_most(completed, deliver, statements):
    event = completed()
    deliver(event)
    with statements() as asked:
        assert deliver(event).status_code == 200
    assert 0 < len(asked) <= 2, asked


def test_a_delivery_that_is_refused_takes_no_statement(client, statements):
    with statements() as asked:
        assert client.post("/webhooks/stripe", data=b"{}").status_code == 400
    assert asked == []


@pytest.mark.parametrize(
    ("payment_status", "poll"),
    [("paid", "status"), ("paid", "on-its-way"), ("unpaid", "status"), ("unpaid", "on-its-way")],
)
def test_a_poll_takes_one_statement(
    client, completed, deliver, rows, statements, payment_status, poll
):
    deliver(retold(completed(), payment_status=payment_status))
    ((payment_id,),) = rows("SELECT id FROM payments")
    client.get(f"/payments/{payment_id}/{poll}")
    with statements() as asked:
        assert client.get(f"/payments/{payment_id}/{poll}").status_code == 200
    assert len(asked) == 1, asked


# --- none of ours ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["payment_intent.created", "charge.succeeded", "customer.created", "no.such.type", ""]
)
def test_an_event_of_a_type_that_tells_nothing_is_noted_and_ignored(completed, deliver, rows, kind):
    event = retold(completed(), kind) | {"type": kind}
    assert deliver(event).status_code == 200
    assert rows(EVENTS) == [(event["id"], kind, "ignored", None, True)]
    assert rows("SELECT status FROM payments") == [("open",)]


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        None,
        [],
        "",
        {"order_id": "7"},
        {"payflow_payment_id": "7d0a2b4e-0000-4000-8000-000000000001"},
        {"payflow_payment_id": "7", "payflow_attempt_id": "8"},
        {"payflow_payment_id": None, "payflow_attempt_id": 8},
    ],
    ids=repr,
)
def test_a_session_without_our_mark_is_noted_without_its_payload(
    completed, deliver, rows, metadata
):
    event = retold(completed(), metadata=metadata)
    assert deliver(event).status_code == 200
    assert rows(EVENTS) == [(event["id"], "checkout.session.completed", "foreign", None, True)]
    assert rows("SELECT status FROM payments") == [("open",)]


@pytest.mark.parametrize("data", [None, {}, [], {"object": None}, {"object": []}, {"object": "cs"}])
def test_an_event_without_an_object_is_foreign(completed, deliver, rows, data):
    event = retold(completed()) | {"data": data}
    assert deliver(event).status_code == 200
    assert rows(EVENTS) == [(event["id"], "checkout.session.completed", "foreign", None, True)]


def test_an_event_of_a_connected_account_is_foreign(completed, deliver, rows):
    event = completed() | {"account": "acct_payflow_tests"}
    assert deliver(event).status_code == 200
    assert rows(EVENTS) == [(event["id"], "checkout.session.completed", "foreign", None, True)]
    assert rows("SELECT status FROM payments") == [("open",)]


def test_an_event_that_names_a_payment_not_here_is_kept_unmatched(completed, deliver, rows):
    mark = {"payflow_payment_id": str(uuid4()), "payflow_attempt_id": str(uuid4())}
    event = retold(completed(), metadata=mark)
    assert deliver(event).status_code == 200
    assert rows(EVENTS) == [(event["id"], "checkout.session.completed", "unmatched", None, False)]
    assert rows("SELECT status FROM payments") == [("open",)]


def test_an_event_whose_attempt_is_another_payments_changes_neither(completed, deliver, rows):
    first, second = completed(), completed()
    metadata = first["data"]["object"]["metadata"] | {
        "payflow_attempt_id": second["data"]["object"]["metadata"]["payflow_attempt_id"]
    }
    assert deliver(retold(first, metadata=metadata)).status_code == 200
    assert rows("SELECT outcome, payment_id FROM stripe_events") == [("unmatched", None)]
    assert rows("SELECT status FROM payments") == [("open",), ("open",)]


def test_an_event_whose_object_is_not_of_its_type_is_kept_and_its_object_asked_for(
    completed, deliver, rows, work
):
    """Recorded deliveries exist whose type and object disagree: never trust the type alone."""
    event = retold(completed(), "payment_intent.succeeded")
    assert deliver(event).status_code == 200
    assert rows("SELECT outcome, error FROM stripe_events") == [
        ("unreadable", "payment_intent.succeeded with 'checkout.session'")
    ]
    assert rows("SELECT status FROM payments") == [("open",)]
    work()
    assert rows("SELECT status FROM payments") == [("paid",)]


def test_an_event_that_does_not_say_its_mode_is_taken_as_ours(completed, deliver, rows):
    assert deliver(completed() | {"livemode": None}).status_code == 200
    assert rows("SELECT status FROM payments") == [("paid",)]


def test_a_thin_event_that_came_by_mistake_is_noted_and_ignored(deliver, rows):
    event = {
        "id": "evt_thin_1",
        "object": "v2.core.event",
        "type": "v2.core.account.created",
        "created": "2026-06-01T12:00:00.000Z",
        "livemode": False,
        "related_object": {"id": "acct_1", "type": "v2.core.account", "url": "/v2/core/1"},
    }
    assert deliver(event).status_code == 200
    assert rows(EVENTS) == [("evt_thin_1", "v2.core.account.created", "ignored", None, True)]


def test_a_slash_at_the_end_of_the_address_is_no_redirect(client, completed, rows):
    """Stripe counts a redirect as a failure."""
    body = json.dumps(completed())
    answer = client.post("/webhooks/stripe/", data=body, headers=sign(body))
    assert answer.status_code == 200
    assert rows("SELECT status FROM payments") == [("paid",)]
