"""Facts of refunds and disputes: merged the same in any order, within one second too."""

from datetime import UTC, datetime, timedelta
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from payflow.facts import disputes, refunds
from payflow.facts.disputes import DISPUTE_RANK, DisputeFacts
from payflow.facts.refunds import REFUND_RANK, RefundFacts

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
times = st.integers(0, 1).map(lambda second: NOON + timedelta(seconds=second))
of_refunds = st.builds(
    RefundFacts,
    refund_id=st.just("re_1"),
    amount=st.sampled_from([500, 900]),
    currency=st.sampled_from(["eur", "jpy"]),
    status=st.sampled_from(sorted(REFUND_RANK)),
    told_at=times,
    failure_reason=st.sampled_from([None, "declined", "unknown"]),
)
of_disputes = st.builds(
    DisputeFacts,
    dispute_id=st.just("du_1"),
    amount=st.sampled_from([500, 900]),
    currency=st.sampled_from(["eur", "jpy"]),
    reason=st.sampled_from(["general", "fraudulent"]),
    status=st.sampled_from(sorted(DISPUTE_RANK)),
    told_at=times,
    due_by=st.none() | st.just(NOON + timedelta(days=7)),
    balance_count=st.integers(0, 2),
    withdrawn=st.sampled_from([0, 500]),
)


@given(st.lists(of_refunds, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_in_whatever_order_a_refund_is_told_it_comes_to_the_same(told, random):
    again = told + random.choices(told, k=len(told))
    random.shuffle(again)
    assert reduce(refunds.merge, again, None) == reduce(refunds.merge, told, None)


@given(st.lists(of_disputes, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_in_whatever_order_a_dispute_is_told_it_comes_to_the_same(told, random):
    again = told + random.choices(told, k=len(told))
    random.shuffle(again)
    assert reduce(disputes.merge, again, None) == reduce(disputes.merge, told, None)
