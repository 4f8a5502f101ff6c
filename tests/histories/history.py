"""One history: a payment at the modelled Stripe and the same payment in payflow's database, and
what can happen between the two. Events are late, doubled, lost and cut short by failures; answers
to our asking come out of order; letters leave at any moment.

A history is a list of moves, each a name and two numbers that choose among what is possible then:
any list is a history, and so is any part of one.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from hypothesis import note
from hypothesis import strategies as st
from sqlalchemy import bindparam, select, text

from payflow import checkout, clock, emails, events, payments, refunds
from payflow.db import db
from payflow.facts.attempts import AttemptFacts
from payflow.facts.objects import DISPUTE, INTENT, REFUND, SESSION
from payflow.facts.tellings import OwnFact, Telling
from payflow.models import Email, Payment, Refund
from payflow.payments import Details
from payflow.record import SWEEP, record
from tests.histories import expected
from tests.histories.stripe_model import Object, Stripe

DETAILS = Details(1250, "eur", "Invoice 2026-118", "", "A. Customer", "customer@example.com")
MOST_ATTEMPTS = 3
# Where Postgres refuses to write, or where the process dies.
FAILURES = (
    "stripe_events", "attempts", "payments", "refunds", "disputes", "timeline_entries", "emails",
    "procrastinate_jobs", "the process dies",
)  # fmt: skip
LATER = timedelta(hours=2)
T = TypeVar("T")


class Move(NamedTuple):
    """What is done, and two numbers that choose with what and how."""

    do: str
    which: int = 0
    how: int = 0


# The first is what others shrink to. A move that is not possible makes something happen at Stripe.
MOVES = (
    ["rest"] + ["happen"] * 6 + ["deliver"] * 8 + ["tick"] * 3
    + ["deliver_failing"] * 2 + ["try_again"] * 2 + ["refund"] * 2
    + ["ask", "lie", "deliver_again", "ask_now_hear_later", "hear", "letters_leave", "handle_again"]
)  # fmt: skip
numbers = st.integers(0, 255)
moves = st.lists(
    st.builds(Move, st.sampled_from(MOVES), numbers, numbers), min_size=10, max_size=50
)


class NotPossible(Exception):
    """Nothing is there to do it with."""


class Ending(NamedTuple):
    """What is delivered before the sweep of all that waits, and after it; the rest is lost."""

    before: list[int]
    after: list[int]
    in_pieces: bool = False


endings = st.builds(
    Ending, st.lists(numbers, max_size=8), st.lists(numbers, max_size=8), st.booleans()
)


class MovedClock:
    """payflow's clock, which histories move on."""

    def __init__(self) -> None:
        self.shift = timedelta()
        self._now = clock.now

    def __call__(self) -> datetime:
        return self._now() + self.shift


class History:
    """Played move by move; `happened` is what a person would read of it."""

    def __init__(self, number: int, clock: MovedClock) -> None:
        clock.shift = timedelta()
        self.clock = clock
        db.session.remove()
        key = f"h{number}"
        payment = payments.open_payment(DETAILS, key.encode())
        db.session.commit()
        self.payment_id = payment.id
        self.attempts = [str(payments.current_attempt(payment.id).id)]
        now = int(clock().timestamp())
        self.stripe = Stripe(key, str(payment.id), payment.amount, payment.currency, now)
        self.seen = 0
        self.has_failed = False
        self.waiting: list[Object] = []
        self.delivered: list[Object] = []
        self.answers: list[list[Telling]] = []
        self.asked_for: dict[str, UUID] = {}
        self._open_session(heard=True)

    def play(self, move: Move) -> None:
        try:
            getattr(self, move.do)(move.which, move.how)
        except NotPossible:
            self.happen(move.which)
        self.waiting += self.stripe.events[self.seen :]
        self.seen = len(self.stripe.events)

    # --- at Stripe ---------------------------------------------------------------------------

    def rest(self, *_: int) -> None:
        pass

    def happen(self, which: int, _: int = 0) -> None:
        possible = self.stripe.possible()
        if possible:
            step = _one_of(possible, which)
            _say(f"at {self.stripe.now}: {step.words}")
            step.happen()

    def tick(self, which: int, _: int) -> None:
        self.stripe.now += 1 + which % 3

    # --- deliveries --------------------------------------------------------------------------

    def deliver(self, which: int, _: int = 0) -> None:
        event = _one_of(self.waiting, which)
        self.waiting.remove(event)
        _say(f"delivered: {_words(event)}")
        self._receive(event)

    def deliver_again(self, which: int, _: int) -> None:
        event = _one_of(self.delivered, which)
        _say(f"delivered again: {_words(event)}")
        self._receive(event)

    def deliver_failing(self, which: int, how: int) -> None:
        """It stays among those that wait: Stripe was not told that all is well."""
        event, failure = _one_of(self.waiting, which), _one_of(FAILURES, how)
        _say(f"delivered, but {failure}: {_words(event)}")
        self._fail_to_receive(event, failure)

    def lie(self, which: int, how: int) -> None:
        """A delivery that disagrees with what was asked for: never believed, until it is asked
        about."""
        session = _one_of(list(self.stripe.sessions.values()), which)
        lie = _one_of(({"amount_total": 1}, {"currency": "usd"}, {"livemode": True}), how)
        untrue = session | {"status": "complete", "payment_status": "paid"} | lie
        event = self.stripe.event("checkout.session.completed", untrue)
        _say(f"delivered: the lie {lie} about {session['id']}")
        self._receive(event)

    def _receive(self, event: Object) -> None:
        events.receive(event, json.dumps(event))
        self.delivered.append(event)

    def _fail_to_receive(self, event: Object, failure: str) -> None:
        if failure == "the process dies":
            events.handle(event, json.dumps(event))
            db.session.rollback()
            return
        # Until the transaction's end (see conftest.py), so that keeping the event unhandled works.
        refuse = text("SELECT set_config('histories.refuse', :table, true)")
        db.session.execute(refuse, {"table": failure})
        try:
            self._receive(event)
        except events.NotHandled:
            self.has_failed = True
            assert db.session.scalar(KEPT, {"id": event["id"]}) == 1
            _say("  … which failed")

    def handle_again(self, *_: int) -> None:
        self.clock.shift += LATER
        events.handle_again()

    # --- questions ---------------------------------------------------------------------------

    def ask(self, which: int, how: int) -> None:
        self._ask(which, how)
        self.hear(-1)

    def ask_now_hear_later(self, which: int, how: int) -> None:
        self._ask(which, how)

    def hear(self, which: int, _: int = 0) -> None:
        told = _one_of(self.answers, which)
        self.answers.remove(told)
        _say(f"heard: {', '.join(_answer_words(one) for one in told)}")
        self._record(told, "asked")

    def _ask(self, which: int, how: int) -> None:
        """An answer is dated when it leaves Stripe, which may be a second later than the state it
        tells."""
        stripe = self.stripe
        known = [*stripe.sessions.values(), *stripe.intents.values(), *stripe.refunds.values(),
                 *stripe.disputes.values()]  # fmt: skip
        asked = _one_of(known, which)
        told = [asked]
        if asked["object"] in (REFUND, DISPUTE):
            told = [stripe.intents[asked["payment_intent"]], asked]
        self.answers.append([self._told(one, late=how % 4 == 3) for one in told])

    def _told(self, asked: Object, late: bool = False) -> Telling:
        whose = asked if asked["object"] in (SESSION, INTENT) else None
        return Telling(
            self.stripe.retrieved(asked),
            datetime.fromtimestamp(self.stripe.now + late, UTC),
            attempt_id=UUID(self.stripe.attempt_of(whose)) if whose else None,
            by_retrieval=True,
        )

    def _record(self, told: Sequence[Telling | OwnFact], source: str) -> None:
        record(self.payment_id, told, source)
        db.session.commit()

    # --- what payflow does of itself -----------------------------------------------------------

    def try_again(self, _: int, how: int) -> None:
        """The next attempt, once this one has failed; or, as should not be, beside it."""
        attempt = payments.current_attempt(self.payment_id)
        db.session.rollback()
        beside = how % 4 == 3 and attempt.session_id is not None
        if attempt.session_id is None:
            self._open_session(heard=True)
        elif len(self.attempts) < MOST_ATTEMPTS and (checkout._has_failed(attempt) or beside):
            self.attempts.append(str(checkout._next_attempt(attempt).id))
            if how % 5:
                self._open_session(heard=how % 3 != 2)
        else:
            raise NotPossible

    def _open_session(self, *, heard: bool) -> None:
        session = self.stripe.open_session(self.attempts[-1])
        _say(f"at {self.stripe.now}: {session['id']} is opened" + ("" if heard else ", unheard"))
        if heard:
            self._record([self._told(session)], "checkout")

    def refund(self, which: int, how: int) -> None:
        """payflow asks for a refund; its answer is heard, or lost, or it never asked."""
        try:
            rows = refunds._request(self.payment_id, None if which % 2 else 1 + which)
        except refunds.NotRefundable:
            db.session.rollback()
            raise NotPossible from None
        self.asked_for |= {str(row): row for row in rows}
        for row in rows if how % 4 else ():
            self._ask_for_refund(row, heard=how % 4 != 1, status=how)

    def _ask_for_refund(self, row_id: UUID, *, heard: bool, status: int) -> None:
        row = db.session.get_one(Refund, row_id, populate_existing=True)
        statuses = ("succeeded", "pending", "requires_action")
        intent_id = db.session.scalar(
            text("SELECT payment_intent_id FROM attempts WHERE id = :id"), {"id": row.attempt_id}
        )
        made = self.stripe.refund_for(str(row.id), intent_id, row.amount, statuses[status % 3])
        _say(f"at {self.stripe.now}: payflow asks for {row.amount} back: "
             f"{made['id'] if made else 'refused'}" + ("" if heard else ", unheard"))  # fmt: skip
        if not heard:
            return
        del self.asked_for[str(row_id)]
        if made:
            self._record([self._told(made)], "operator")
        else:
            refunds._refuse(row, "refused")

    def letters_leave(self, *_: int) -> None:
        """As emails.deliver does, with a mail server that takes every letter."""
        queued = db.session.execute(QUEUED, {"id": self.payment_id}).all()
        for email, payment_is, refund_is in queued:
            passed = emails.LETTERS[email.kind].passing and not emails._is_still_owed(email)
            _say(f"letter {email.kind} {email.about}: {'skipped' if passed else 'sent'}")
            assert passed or email.kind != "payment_failed" or payment_is in ("failed", "expired")
            assert passed or email.kind != "processing" or payment_is == "processing"
            assert passed or email.kind != "refunded" or refund_is == "succeeded"
            email.state = "skipped" if passed else "sent"
            email.sent_at = None if passed else clock.now()
        db.session.commit()

    # --- the end -----------------------------------------------------------------------------

    def end(self, ending: Ending) -> None:
        """What is still to come before the sweep, the sweep, and what comes after it."""
        self.deliver_of_what_waits(ending.before)
        self.sweep(in_pieces=ending.in_pieces)
        self.settle()
        self.check()
        if self.answers or (self.waiting and ending.after):
            self.deliver_of_what_waits(ending.after)
            for _ in self.answers[:]:
                self.hear(0)
            self.settle()
            self.check()

    def deliver_of_what_waits(self, which: Sequence[int]) -> None:
        for number in which[: len(self.waiting)]:
            self.deliver(number)

    def settle(self) -> None:
        """All that waits for a later time."""
        if self.has_failed:
            self.handle_again()
        self.letters_leave()

    def sweep(self, *, in_pieces: bool) -> None:
        """Everything that Stripe has, asked at a later second; requests whose answer never came
        are asked again first."""
        self.stripe.now += 2
        _say(f"at {self.stripe.now}: the sweep")
        for row_id in list(self.asked_for.values()):
            self._ask_for_refund(row_id, heard=True, status=0)
        self.waiting += self.stripe.events[self.seen :]
        self.seen = len(self.stripe.events)
        stripe = self.stripe
        told = [
            self._told(one)
            for each in (stripe.sessions, stripe.refunds, stripe.disputes)
            for one in each.values()
        ]
        of_nobody = set(self.attempts) - {stripe.attempt_of(s) for s in stripe.sessions.values()}
        abandoned = [
            OwnFact(UUID(attempt), AttemptFacts(abandoned_at=self.clock())) for attempt in of_nobody
        ]
        for one in [[each] for each in [*told, *abandoned]] if in_pieces else [[*told, *abandoned]]:
            self._record(one, SWEEP)

    # --- what is held against Stripe's truth ---------------------------------------------------

    def check(self) -> None:
        """All that payflow's database says of the payment, and what it should say."""
        stripe = self.stripe
        found = db.session.execute(
            FOUND, {"id": self.payment_id, "events": f"evt_{stripe.key}\\_%"}
        ).one()
        db.session.rollback()
        assert expected.Row(*found.row) == expected.row(stripe, self.attempts)
        assert found.last_decline in expected.last_declines(stripe)
        assert {one: tuple(told) for one, *told in found.refunds} == expected.refunds(stripe)
        assert {one: tuple(told) for one, *told in found.disputes} == expected.disputes(stripe)
        assert found.unhandled == []
        self._check_letters(found.letters)

    def _check_letters(self, letters: Sequence[tuple[str, str, str]]) -> None:
        owed = expected.letters(self.stripe, self.attempts)
        sent = sorted((kind, about) for kind, about, state in letters if state == "sent")
        assert len(sent) == len(set(sent))
        assert owed.sent - set(sent) == set()
        assert owed.queued - {(kind, about) for kind, about, _ in letters} == set()
        assert {one for one in sent if one[0] != "owner_review"} - owed.allowed == set()


QUEUED = (
    select(Email, Payment.status, Refund.status)
    .select_from(Email)
    .join(Payment)
    .outerjoin(Refund, Refund.refund_id == Email.about)
    .where(Payment.id == bindparam("id"), Email.state == "queued")
)


KEPT = text("SELECT count(*) FROM stripe_events WHERE id = :id")


def _rows(columns: str, of: str) -> str:
    found = f"SELECT json_agg(json_build_array({columns})) FROM {of}"
    return f"coalesce(({found}), '[]')"


FOUND = text(
    f"""SELECT json_build_array(status, captured, refunded, dispute) AS row, last_decline,
    {
        _rows("refund_id, status, amount", "refunds WHERE payment_id = :id AND refusal IS NULL")
    } AS refunds,
    {_rows("dispute_id, status, withdrawn", "disputes WHERE payment_id = :id")} AS disputes,
    {_rows("kind, about, state", "emails WHERE payment_id = :id")} AS letters,
    {
        _rows(
            "id, outcome, error",
            "stripe_events WHERE id LIKE :events AND outcome IS DISTINCT FROM 'recorded'",
        )
    }
    AS unhandled
    FROM payments WHERE id = :id"""
)


def _one_of(several: Sequence[T], which: int) -> T:
    if not several:
        raise NotPossible
    return several[which % len(several)]


def _say(what: str) -> None:
    note(what)


def _words(event: Object) -> str:
    told: Any = event["data"]["object"]
    return f"{event['type']} of {event['created']}: {told['id']} {told['status']}"


def _answer_words(told: Telling) -> str:
    return f"{told.object['id']} {told.object['status']} at {int(told.at.timestamp())}"
