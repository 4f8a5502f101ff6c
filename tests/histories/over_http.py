"""One history over HTTP: payflow as it is deployed, and the real stand-in, which delivers by
itself: with drops, doubles, delays and bad signatures, and not at all for a while.

A history is a list of moves, each a name and a number that chooses; what is refused does not
happen.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import requests
from flask.testing import FlaskClient
from hypothesis import note
from hypothesis import strategies as st
from sqlalchemy import text

from payflow import checkout, payments, refunds, sweep
from payflow.db import db
from payflow.gateway import GatewayError
from payflow.known import facts_of
from payflow.worker import CONCURRENCY
from tests.histories import expected
from tests.histories.history import FOUND, MovedClock
from tests.histories.stripe_model import Object, Stripe
from tests.http.conftest import FORM, hidden_fields
from tests.stack import World

CARDS = (
    "4242424242424242",
    "4000000000000002",  # declined
    "4000000000009995",  # declined: insufficient funds
    "4000000000007726",  # refunds pending, then succeed
    "4000000000005126",  # refunds succeed, then fail
    "4000000000000259",  # disputed
    "4000000000001976",  # inquired about
)
IBANS = (
    "AT611904300234573201",  # the bank pays
    "AT861904300235473202",  # the bank refuses
    "AT591904300235473203",  # pays, then disputed
    "AT321904300235473204",  # pays after three minutes
)
FAULTS = ("drop", "duplicate", "reorder", "delay", "old_timestamp", "corrupt_signature")
OUTCOMES = (None, "pending", "requires_action", "fails")
VERDICTS = ("won", "lost", "escalated", "reversed")
# Seconds: debits, refunds and disputes are answered; a session expires; a deadline passes.
FORWARD = (1, 30, 300, 25 * 60 * 60, 10 * 24 * 60 * 60)


class Move(NamedTuple):
    do: str
    which: int = 0


MOVES = (
    ["pay_by_card"] * 5 + ["pay_by_debit"] * 3 + ["time_passes"] * 4 + ["try_again"] * 3
    + ["refund_at_the_desk"] * 3 + ["refund_by_payflow"] * 2 + ["refund_becomes"] * 4
    + ["dispute"] * 2 + ["dispute_becomes"] * 4
    + ["expire", "pay_twice", "other_faults", "deliver_or_not", "sweep", "work", "stripe_is_busy"]
)  # fmt: skip
moves = st.lists(
    st.builds(Move, st.sampled_from(MOVES), st.integers(0, 255)), min_size=6, max_size=20
)


class Beginning(NamedTuple):
    """Which faults deliveries meet first, and how the customer pays first, if at all."""

    faults: int
    means: str


beginnings = st.builds(
    Beginning, st.integers(0, 255), st.sampled_from([*CARDS, *IBANS, *IBANS, ""])
)


class OverHttp:
    """Played move by move, then swept and compared."""

    def __init__(
        self,
        beginning: Beginning,
        world: World,
        client: FlaskClient,
        clock: MovedClock,
        work_off: Callable[..., None],
    ) -> None:
        self.world, self.client, self.clock, self.work_off = world, client, clock, work_off
        clock.shift = timedelta()
        self.events: dict[str, Object] = {}
        self.http = requests.Session()
        self.http.headers["Authorization"] = "Bearer sk_test_payflow_tests"
        world.reset()
        # Longer than a history takes: such things happen where the clock is moved.
        world.set(refund_delay_s=20, debit_delay_s=20, dispute_delay_s=20)
        world.set(retry_schedule_s=[0.05, 0.05])
        self.other_faults(beginning.faults)
        page = client.get("/").text
        answer = client.post("/checkout", data=FORM | hidden_fields(page))
        self.session_url = answer.location
        self.csrf = hidden_fields(page)["csrf_token"]
        (session,) = self.at_stripe("checkout/sessions")
        self.payment_id = UUID(session["metadata"]["payflow_payment_id"])
        if beginning.means:
            self.pay(beginning.means)

    def play(self, move: Move) -> None:
        note(f"{move.do} {move.which}")
        try:
            getattr(self, move.do)(move.which)
        # Stripe, the desk or payflow says no: it does not happen.
        except (
            requests.HTTPError,
            GatewayError,
            refunds.Refused,
            refunds.NotRefundable,
        ) as refusal:
            note(f"  refused: {refusal}")
        finally:
            db.session.rollback()

    def at_stripe(self, kind: str, **filters: Any) -> list[Object]:
        """All objects of a kind, oldest first, as Stripe's API lists them."""
        answer = self.http.get(
            f"{self.world.url}/v1/{kind}", params={"limit": 100, **filters}, timeout=10
        )
        answer.raise_for_status()
        page = answer.json()
        assert not page["has_more"]
        return list(reversed(page["data"]))

    def _one_of(self, kind: str, which: int, fits: Callable[[Object], bool]) -> Object:
        """Raises HTTPError where there is none, as Stripe would."""
        found = [one for one in self.at_stripe(kind) if fits(one)]
        if not found:
            raise requests.HTTPError(f"no such {kind}")
        return found[which % len(found)]

    # --- what happens ------------------------------------------------------------------------

    def pay_by_card(self, which: int) -> None:
        self.pay(CARDS[which % len(CARDS)])

    def pay_by_debit(self, which: int) -> None:
        self.pay(IBANS[which % len(IBANS)])

    def pay(self, means: str) -> None:
        way = self.world.pay_by_debit if means in IBANS else self.world.pay
        way(self.session_url, means)

    def time_passes(self, which: int) -> None:
        self.move_on(FORWARD[which % len(FORWARD)])

    def move_on(self, seconds: int) -> None:
        self.remember_events()
        self.world.at_desk("clock", advance_s=seconds)
        self.clock.shift += timedelta(seconds=seconds)

    def expire(self, which: int) -> None:
        session = self._one_of("checkout/sessions", which, lambda one: one["status"] == "open")
        url = f"{self.world.url}/v1/checkout/sessions/{session['id']}/expire"
        self.http.post(url, timeout=10).raise_for_status()

    def try_again(self, _: int) -> None:
        answer = self.client.post(f"/payments/{self.payment_id}/retry",
                                  data={"csrf_token": self.csrf})  # fmt: skip
        assert answer.status_code < 500, answer.text
        if "/c/pay/" in answer.headers.get("Location", ""):
            self.session_url = answer.location

    def pay_twice(self, which: int) -> None:
        """As payflow takes care that nobody can: a second session beside the first."""
        if len(self.at_stripe("checkout/sessions")) > 2:
            return
        payment = payments.get(self.payment_id)
        if not payments.can_be_paid(payment):
            return
        checkout._next_attempt(payments.current_attempt(self.payment_id))
        url = checkout.proceed(self.payment_id).url
        if url:
            self.world.pay(self.session_url)
            self.session_url = url
            self.world.pay(url)

    def refund_at_the_desk(self, which: int) -> None:
        self.world.set(refund_outcome=OUTCOMES[which % len(OUTCOMES)])
        charge = self._one_of("charges", which, lambda one: one["paid"])
        self.world.at_desk("refunds", charge=charge["id"], amount=1250 if which % 3 else 500)

    def refund_by_payflow(self, which: int) -> None:
        self.world.set(refund_outcome=OUTCOMES[which % len(OUTCOMES)])
        refunds.refund(self.payment_id, None if which % 2 else 200)

    def refund_becomes(self, which: int) -> None:
        refund = self._one_of("refunds", which, lambda one: one["status"] not in ENDS)
        status = ("failed", "succeeded", "canceled")[which % 3]
        self.world.at_desk(f"refunds/{refund['id']}", status=status)

    def dispute(self, which: int) -> None:
        charge = self._one_of("charges", which, lambda one: one["paid"])
        self.world.at_desk("disputes", charge=charge["id"], inquiry=bool(which % 2))

    def dispute_becomes(self, which: int) -> None:
        dispute = self._one_of("disputes", which, lambda one: one["status"] not in ENDS)
        if which % 5 == 4:
            url = f"{self.world.url}/v1/disputes/{dispute['id']}"
            answer = {"evidence[uncategorized_text]": "It was delivered."}
            self.http.post(url, data=answer, timeout=10).raise_for_status()
            return
        outcome = VERDICTS[which % len(VERDICTS)]
        self.world.at_desk(f"disputes/{dispute['id']}", outcome=outcome)

    # --- deliveries --------------------------------------------------------------------------

    def other_faults(self, which: int) -> None:
        """Each fault by chance; `which` is the seed, and says which there are."""
        rules = [
            {"fault": fault, "probability": 0.3}
            | ({"seconds": 0.1} if fault in ("reorder", "delay") else {})
            for number, fault in enumerate(FAULTS)
            if which >> number & 1
        ]
        self.world.set(seed=which, delivery_faults=rules)

    def deliver_or_not(self, which: int) -> None:
        self.world.set(deliver=bool(which % 2))

    def stripe_is_busy(self, which: int) -> None:
        """Some questions are turned away, until the next such move."""
        busy = {"fault": "429", "probability": 0.5}
        rules = [busy | {"on": "GET /v1/*"}, busy | {"on": "POST /v1/refunds"}]
        self.world.set(seed=which, api_faults=rules if which % 3 else [])

    def sweep(self, _: int = 0) -> None:
        sweep.run(by_hand=True)

    def work(self, _: int = 0) -> None:
        """What waits for a later time is due now."""
        db.session.execute(text("UPDATE procrastinate_jobs SET scheduled_at = NULL"))
        db.session.commit()
        self.work_off(at_once=CONCURRENCY)

    def end(self, *, late: bool) -> None:
        self.world.set(deliver=False, api_faults=[])
        self.move_on(60)  # no request of payflow's is under way any more
        report = sweep.run(by_hand=True)
        assert report.stopped == ""
        self.work()
        self.check()
        if late:
            self.late_deliveries()
            self.work()
            self.check()

    def late_deliveries(self) -> None:
        """All that was held back comes now; what was dropped never does."""
        self.world.set(deliver=True, delivery_faults=[], webhook_delay_s=0)
        came, quiet = -1, 0
        while quiet < 3:
            # Between two looks: it is over when several in a row find nothing new.
            time.sleep(0.05)
            before, came = came, db.session.scalar(text("SELECT count(*) FROM stripe_events"))
            db.session.rollback()
            quiet = quiet + 1 if came == before else 0

    # --- what is held against Stripe's truth ---------------------------------------------------

    def truth(self) -> Stripe:
        """Stripe's objects as the API tells them, as a model."""
        stripe = Stripe("", str(self.payment_id), 1250, "eur", 0)
        for kind, of in KINDS.items():
            getattr(stripe, of).update({one["id"]: one for one in self.at_stripe(kind)})
        self.remember_events()
        stripe.events = list(self.events.values())
        return stripe

    def remember_events(self) -> None:
        """Stripe lists them for thirty days."""
        self.events |= {event["id"]: event for event in self.at_stripe("events")}

    def check(self) -> None:
        stripe, letters = self.truth(), self.world.letters()
        attempts = [str(one) for one in facts_of(self.payment_id).attempts]
        found = db.session.execute(FOUND, {"id": self.payment_id, "events": "evt"}).one()
        db.session.rollback()
        assert expected.Row(*found.row) == expected.row(stripe, attempts)
        assert found.last_decline in expected.last_declines(stripe)
        assert {one: tuple(told) for one, *told in found.refunds} == expected.refunds(stripe)
        assert {one: tuple(told) for one, *told in found.disputes} == expected.disputes(stripe)
        owed = expected.letters(stripe, attempts)
        sent = [_identity(one) for one in letters]
        assert len(sent) == len(set(sent))
        lacking = [one for one in owed.sent if self._as_sent(one) not in sent]
        assert lacking == []
        assert set(sent) - {self._as_sent(one) for one in owed.allowed} == set()

    def _as_sent(self, letter: expected.Letter) -> str:
        """The identity that payflow's letters carry."""
        kind, about = letter
        hashed = f".{sha256(about.encode()).hexdigest()[:16]}" if about else ""
        return f"{self.payment_id}.{kind}{hashed}"


ENDS = ("failed", "canceled", "won", "warning_closed")
KINDS = {
    "checkout/sessions": "sessions",
    "payment_intents": "intents",
    "charges": "charges",
    "refunds": "refunds",
    "disputes": "disputes",
}


def _identity(letter: Object) -> str:
    return next(v.strip() for k, v in letter["headers"] if k == "Resend-Idempotency-Key")
