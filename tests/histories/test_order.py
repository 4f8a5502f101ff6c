"""Any two orders, and any number of repeats, of the same tellings end in the same row."""

import json
from random import Random

from hypothesis import given, seed
from hypothesis import strategies as st
from sqlalchemy import text

from payflow import events
from payflow.db import db
from payflow.record import record
from tests.histories.conftest import HISTORIES, SEED, as_often_as
from tests.histories.history import History, Move, numbers

# Nothing is told while it happens.
UNTOLD = ["rest", "happen", "happen", "happen", "tick", "try_again", "ask_now_hear_later"]
untold = st.lists(
    st.builds(Move, st.sampled_from(UNTOLD), numbers, numbers), min_size=6, max_size=30
)
orders = st.tuples(*[st.randoms(use_true_random=False)] * 2)

# All but row ids, and the times of our own clock.
ROWS = text(
    """SELECT status, captured, refunded, paid_at, dispute, last_decline,
    (SELECT json_agg(attempts ORDER BY number) FROM attempts WHERE payment_id = :id) AS attempts,
    (SELECT json_agg(to_jsonb(refunds) - 'id' - 'created_at' ORDER BY refund_id)
     FROM refunds WHERE payment_id = :id) AS refunds,
    (SELECT json_agg(disputes ORDER BY dispute_id)
     FROM disputes WHERE payment_id = :id) AS disputes
    FROM payments WHERE id = :id"""
)


def test_any_two_orders_of_the_same_tellings_end_in_the_same_row(app, moved_clock, counter):
    @seed(SEED)
    @as_often_as(HISTORIES // 4)
    @given(untold, orders)
    def play(moves, orders):
        history = History(next(counter), moved_clock)
        for move in moves:
            history.play(move)
        one, other = (told_in_order(history, random) for random in orders)
        assert one == other

    play()


def told_in_order(history: History, random: Random):
    """The payment's rows once all was told in this order, with repeats; nothing of it stays."""
    told = [*history.stripe.events, *history.answers]
    told += random.choices(told, k=random.randrange(4)) if told else []
    random.shuffle(told)
    for number, one in enumerate(told):
        if isinstance(one, dict):
            # A repeat under its own id would end at that: this is a twin.
            event = one | {"id": f"{one['id']}_{number}"}
            events.handle(event, json.dumps(event))
        else:
            record(history.payment_id, one, "asked")
    rows = db.session.execute(ROWS, {"id": history.payment_id}).one()
    db.session.rollback()
    return rows
