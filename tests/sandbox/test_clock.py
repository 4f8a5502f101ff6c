"""The stand-in's clock: forward by hand, and all that goes by it."""

import contextlib
import sqlite3
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import stripe

from tests.stack import until

from .conftest import Endpoint, Sandbox, client_of, session_params, start_sandbox
from .merchant import expire_one, paid

HOUR = 60 * 60
DAY = 24 * HOUR


def test_sessions_expire_when_the_clock_passes_their_time(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    first = client.v1.checkout.sessions.create(session_params())
    sandbox.advance(23 * HOUR)
    second = client.v1.checkout.sessions.create(session_params())
    assert second.created - first.created >= 23 * HOUR
    assert client.v1.checkout.sessions.retrieve(first.id).status == "open"
    sandbox.advance(HOUR)
    assert client.v1.checkout.sessions.retrieve(first.id).status == "expired"
    assert client.v1.checkout.sessions.retrieve(second.id).status == "open"
    (told,) = until(lambda: endpoint.of_type("checkout.session.expired"))
    assert told.event["created"] == first.expires_at


def test_answers_are_dated_by_the_stand_ins_clock_as_events_are(sandbox: Sandbox) -> None:
    sandbox.advance(DAY)
    dated = parsedate_to_datetime(sandbox.get("/_sandbox/clock").headers["Date"])
    assert abs(dated.timestamp() - time.time() - DAY) < 60


def test_what_happens_in_between_happens_in_its_order(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    now = int(time.time())
    made = [
        client.v1.checkout.sessions.create(session_params(expires_at=now + life)).id
        for life in (5 * HOUR, 1 * HOUR, 3 * HOUR)
    ]
    sandbox.advance(DAY)
    expired = client.v1.events.list({"type": "checkout.session.expired"}).data
    told = [event.data.object["id"] for event in reversed(expired)]
    assert told == [made[1], made[2], made[0]]
    dated = [event.created for event in reversed(expired)]
    assert dated == [now + HOUR, now + 3 * HOUR, now + 5 * HOUR]


def test_retries_come_when_the_clock_says_so(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    sandbox.set(retry_schedule_s=[HOUR])
    endpoint.status = 500
    client.v1.checkout.sessions.expire(client.v1.checkout.sessions.create(session_params()).id)
    until(lambda: endpoint.received)
    (event,) = client.v1.events.list().data
    page = f"/events/{event.id}"
    until(lambda: sandbox.get(page).text.count('class="attempt"') == 1)
    endpoint.status = 200
    sandbox.advance(HOUR)
    until(lambda: client.v1.events.retrieve(event.id).pending_webhooks == 0)
    assert len(endpoint.received) == 2


def test_a_clock_moved_past_all_retries_makes_them_all(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    sandbox.set(retry_schedule_s=[HOUR, HOUR, HOUR])
    endpoint.status = 500
    client.v1.checkout.sessions.expire(client.v1.checkout.sessions.create(session_params()).id)
    (event,) = client.v1.events.list().data
    page = f"/events/{event.id}"
    until(lambda: sandbox.get(page).text.count('class="attempt"') == 1)
    sandbox.advance(24 * HOUR)
    until(lambda: sandbox.get(page).text.count('class="attempt"') == 4)
    assert len(endpoint.received) == 4


def test_the_clock_can_be_set_to_a_time_and_shows_what_is_to_come(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    (to_come,) = sandbox.get("/_sandbox/clock").json()["to_come"]
    assert to_come == {"at": made.expires_at, "action": "session.expire", "of": made.id}
    moved = sandbox.post("/_sandbox/clock", json={"to": made.expires_at + 7}).json()
    assert (moved["done"], moved["to_come"]) == (1, [])
    assert 0 <= moved["now"] - made.expires_at - 7 < 60


@pytest.mark.parametrize(
    "wanted",
    [
        {"advance_s": -1},
        {"to": 1},
        {},
        {"advance_s": "1"},
        {"advance_s": 1, "to": 2},
        7,
        {"advance_s": 10**400},
        {"to": 10**400},
        {"to": 10**15},
        {"to": -(10**400)},
        {"advance_s": 1e15},
    ],
)
def test_the_clock_goes_forward_only(sandbox: Sandbox, wanted: Any) -> None:
    answer = sandbox.post("/_sandbox/clock", json=wanted)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert sandbox.get("/_sandbox/clock").json()["offset_s"] == 0


def test_events_can_be_read_for_thirty_days(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    client.v1.checkout.sessions.expire(client.v1.checkout.sessions.create(session_params()).id)
    (event,) = client.v1.events.list().data
    sandbox.advance(29 * DAY)
    assert client.v1.events.retrieve(event.id).id == event.id
    sandbox.advance(2 * DAY)
    assert client.v1.events.list().data == []
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.events.retrieve(event.id)


def test_a_reset_sets_the_clock_back(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    sandbox.advance(DAY)
    sandbox.post("/_sandbox/reset")
    made = client.v1.checkout.sessions.create(session_params())
    assert abs(made.created - time.time()) < HOUR


def test_keys_are_forgotten_a_day_later(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    key: Any = {"idempotency_key": "k1"}
    first = client.v1.checkout.sessions.create(session_params(), key)
    sandbox.advance(DAY - HOUR)
    assert client.v1.checkout.sessions.create(session_params(), key).id == first.id
    sandbox.advance(2 * HOUR)
    assert client.v1.checkout.sessions.create(session_params(), key).id != first.id


def test_a_moved_clock_survives_a_restart(tmp_path: Path) -> None:
    first = start_sandbox("--data", str(tmp_path))
    made = client_of(first).v1.checkout.sessions.create(session_params())
    first.advance(23 * HOUR)
    first.stop()
    second = start_sandbox("--data", str(tmp_path))
    try:
        assert second.get("/_sandbox/clock").json()["offset_s"] == 23 * HOUR
        second.advance(HOUR)
        assert client_of(second).v1.checkout.sessions.retrieve(made.id).status == "expired"
    finally:
        second.stop()


def test_the_clock_comes_to_an_end_and_the_pages_go_on(sandbox: Sandbox) -> None:
    years = 0
    while sandbox.post("/_sandbox/clock", json={"advance_s": 10 * 365 * DAY}).status_code == 200:
        years += 10
    assert years < 70
    for page in ("/", "/events", "/controls", "/deliveries"):
        assert sandbox.get(page).status_code == 200


def test_what_fell_due_while_nobody_was_there_is_dated_when_it_is_done(tmp_path: Path) -> None:
    """A list of what is new finds it: nobody could have seen it before."""
    first = start_sandbox("--data", str(tmp_path))
    made = client_of(first).v1.checkout.sessions.create(session_params())
    first.stop()
    with contextlib.closing(sqlite3.connect(tmp_path / "sandbox.sqlite3")) as db:
        db.execute("UPDATE later SET due_at = due_at - ?", (2 * DAY,))
        db.execute("UPDATE objects SET body = json_set(body, '$.expires_at', 1)")
        db.commit()
    restarted = int(time.time())
    second = start_sandbox("--data", str(tmp_path))
    try:
        client = client_of(second)
        since: Any = {"created": {"gte": restarted}}
        (event,) = until(lambda: client.v1.events.list(since).data)
        assert (event.type, event.data.object["id"]) == ("checkout.session.expired", made.id)
    finally:
        second.stop()


def test_lists_are_in_the_order_of_their_dates_page_by_page(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    for _ in range(3):
        paid(client, "4000000000000259")  # a fee and a dispute to come: both fall due by moves
        sandbox.advance(2.5)
    for listed in (client.v1.events, client.v1.balance_transactions, client.v1.charges):
        found: list[Any] = [*listed.list({"limit": 3}).auto_paging_iter()]
        assert [item.created for item in found] == sorted(
            (item.created for item in found), reverse=True
        )
        assert len({item.id for item in found}) == len(found) > 2


@pytest.mark.parametrize("end", ["paid", "expired"])
def test_nothing_is_to_come_of_a_session_that_has_ended(
    client: stripe.StripeClient, sandbox: Sandbox, end: str
) -> None:
    if end == "paid":
        paid(client)
    else:
        expire_one(client)
    to_come = sandbox.get("/_sandbox/clock").json()["to_come"]
    assert [each for each in to_come if each["action"] == "session.expire"] == []
    sandbox.advance(30 * DAY)
    assert sandbox.get("/_sandbox/clock").json()["to_come"] == []
