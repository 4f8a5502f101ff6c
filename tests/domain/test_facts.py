"""What Stripe says of a Checkout Session, read and merged."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflow.facts import (
    PAYMENT_RANK,
    SESSION_RANK,
    Asked,
    SessionFacts,
    Unreadable,
    merge,
    metadata,
    read_session,
)

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ASKED = Asked(amount=1250, currency="eur", livemode=False)


def session(**changes):
    """A Checkout Session as Stripe tells it, as far as payflow reads it."""
    return {
        "id": "cs_test_1",
        "status": "complete",
        "payment_status": "paid",
        "amount_total": 1250,
        "currency": "eur",
        "livemode": False,
        "payment_intent": "pi_1",
        "url": None,
    } | changes


def read(**changes):
    return read_session(session(**changes), ASKED, NOON)


# --- merging ---------------------------------------------------------------------------------


def ids(prefix):
    """Few, so that two tellings often speak of the same object."""
    return st.sampled_from([f"{prefix}_1", f"{prefix}_2", f"{prefix}_3"])


tellings = st.builds(
    SessionFacts,
    session_id=ids("cs"),
    status=st.sampled_from(sorted(SESSION_RANK)),
    payment_status=st.sampled_from(sorted(PAYMENT_RANK)),
    url=st.none() | st.sampled_from(["https://stripe.example/1", "https://stripe.example/2"]),
    payment_intent_id=st.none() | ids("pi"),
    paid_at=st.none() | st.integers(0, 3).map(lambda hours: NOON + timedelta(hours=hours)),
    delayed_failure=st.booleans(),
    disagreements=st.frozensets(st.sampled_from(["amount", "currency", "livemode"])),
)


@given(tellings, tellings)
def test_the_order_of_two_tellings_makes_no_difference(one, other):
    assert merge(one, other) == merge(other, one)


@given(tellings, tellings, tellings)
def test_the_order_of_three_tellings_makes_no_difference(one, two, three):
    assert merge(merge(one, two), three) == merge(one, merge(two, three))


@given(tellings, tellings)
def test_a_telling_that_comes_again_changes_nothing(one, other):
    assert merge(one, one) == one
    merged = merge(one, other)
    assert merge(merged, one) == merge(merged, other) == merged


@given(tellings)
def test_the_first_telling_is_taken_as_it_is(telling):
    assert merge(None, telling) == telling


@given(tellings, tellings)
def test_nothing_that_was_known_is_lost(one, other):
    merged = merge(one, other)
    for told in (one, other):
        assert SESSION_RANK[merged.status] >= SESSION_RANK[told.status]
        assert PAYMENT_RANK[merged.payment_status] >= PAYMENT_RANK[told.payment_status]
        assert merged.delayed_failure >= told.delayed_failure
        assert merged.disagreements >= told.disagreements
        assert told.paid_at is None or merged.paid_at <= told.paid_at


@pytest.mark.parametrize(
    ("one", "other", "status", "payment_status"),
    [
        (("open", "unpaid"), ("expired", "unpaid"), "expired", "unpaid"),
        (("expired", "unpaid"), ("complete", "paid"), "complete", "paid"),
        (("complete", "unpaid"), ("complete", "paid"), "complete", "paid"),
        (
            ("open", "unpaid"),
            ("complete", "no_payment_required"),
            "complete",
            "no_payment_required",
        ),
        (("complete", "no_payment_required"), ("complete", "paid"), "complete", "paid"),
    ],
)
def test_the_later_stage_wins_whenever_it_is_told(one, other, status, payment_status):
    first, second = (read(status=s, payment_status=p) for s, p in (one, other))
    for merged in (merge(first, second), merge(second, first)):
        assert (merged.status, merged.payment_status) == (status, payment_status)


def test_the_time_of_paying_is_the_earliest_that_was_told():
    late = read_session(session(), ASKED, NOON + timedelta(days=1))
    early = read_session(session(), ASKED, NOON)
    assert merge(late, early).paid_at == merge(early, late).paid_at == NOON


def test_the_address_of_an_open_session_is_kept_when_it_closes():
    opened = read(status="open", payment_status="unpaid", url="https://stripe.example/1")
    assert merge(opened, read()).url == "https://stripe.example/1"


def test_two_payment_intents_of_one_session_disagree():
    merged = merge(read(payment_intent="pi_1"), read(payment_intent="pi_2"))
    assert len(merged.disagreements) >= 1
    assert "PaymentIntent pi_1" in str(merged.disagreements)
    assert "PaymentIntent pi_2" in str(merged.disagreements)


def test_two_sessions_of_one_attempt_disagree():
    merged = merge(read(id="cs_test_1"), read(id="cs_test_2"))
    assert "Checkout Session cs_test_1" in str(merged.disagreements)
    assert "Checkout Session cs_test_2" in str(merged.disagreements)


def test_a_session_whose_payment_intent_was_not_yet_known_agrees_with_it():
    assert merge(read(payment_intent=None), read()).disagreements == frozenset()


# --- reading ---------------------------------------------------------------------------------


def test_a_paid_session_is_read_whole():
    assert read() == SessionFacts(
        session_id="cs_test_1",
        status="complete",
        payment_status="paid",
        url=None,
        payment_intent_id="pi_1",
        paid_at=NOON,
        delayed_failure=False,
        disagreements=frozenset(),
    )


@pytest.mark.parametrize("payment_status", ["unpaid", "no_payment_required"])
def test_only_a_paid_session_has_a_time_of_paying(payment_status):
    assert read(payment_status=payment_status).paid_at is None


def test_an_expanded_payment_intent_is_read_as_its_id():
    expanded = {"id": "pi_1", "object": "payment_intent", "status": "succeeded"}
    assert read(payment_intent=expanded).payment_intent_id == "pi_1"


@pytest.mark.parametrize("strange", [None, 7, [], {}, {"id": None}])
def test_a_payment_intent_that_is_none_is_read_as_unknown(strange):
    assert read(payment_intent=strange).payment_intent_id is None


def test_the_word_that_a_delayed_method_failed_is_kept():
    assert read_session(session(), ASKED, NOON, delayed_failure=True).delayed_failure is True


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"status": "closed"}, "Checkout Session with status 'closed'"),
        ({"status": None}, "Checkout Session with status None"),
        ({"payment_status": "settled"}, "Checkout Session with payment_status 'settled'"),
        ({"payment_status": None}, "Checkout Session with payment_status None"),
        ({"id": None}, "Checkout Session with id None"),
        ({"id": ""}, "Checkout Session with id ''"),
        ({"id": 7}, "Checkout Session with id 7"),
        ({"amount_total": None}, "Checkout Session with amount_total None 'eur'"),
        ({"amount_total": "1250"}, "Checkout Session with amount_total '1250' 'eur'"),
        ({"amount_total": 1250.0}, "Checkout Session with amount_total 1250.0 'eur'"),
        ({"currency": None}, "Checkout Session with amount_total 1250 None"),
        ({"currency": 978}, "Checkout Session with amount_total 1250 978"),
    ],
)
def test_a_session_that_lacks_what_facts_are_made_of_is_unreadable(changes, sentence):
    with pytest.raises(Unreadable) as refusal:
        read(**changes)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize("key", ["id", "status", "payment_status", "amount_total", "currency"])
def test_a_session_without_the_key_is_unreadable(key):
    lacking = {name: value for name, value in session().items() if name != key}
    with pytest.raises(Unreadable, match=key if key != "currency" else "None"):
        read_session(lacking, ASKED, NOON)


@pytest.mark.parametrize("strange", [[], {}, ["complete"]])
@pytest.mark.parametrize("key", ["status", "payment_status"])
def test_a_status_that_is_no_text_is_unreadable(key, strange):
    with pytest.raises(Unreadable):
        read(**{key: strange})


@pytest.mark.parametrize("key", ["url", "payment_intent", "livemode"])
def test_a_session_may_lack_what_stripe_may_leave_out(key):
    lacking = {name: value for name, value in session().items() if name != key}
    assert read_session(lacking, ASKED, NOON).disagreements == frozenset()


# --- disagreements ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({}, set()),
        ({"amount_total": 1249}, {"amount 1249 eur instead of 1250 eur"}),
        ({"amount_total": 125000}, {"amount 125000 eur instead of 1250 eur"}),
        ({"amount_total": 0}, {"amount 0 eur instead of 1250 eur"}),
        ({"currency": "usd"}, {"amount 1250 usd instead of 1250 eur"}),
        ({"livemode": True}, {"livemode True instead of False"}),
        ({"payment_status": "no_payment_required"}, {"no payment required"}),
        (
            {"amount_total": 1, "livemode": True},
            {"amount 1 eur instead of 1250 eur", "livemode True instead of False"},
        ),
    ],
)
def test_what_disagrees_with_what_was_asked_for_is_said_in_words(changes, sentences):
    assert read(**changes).disagreements == sentences


def test_a_disagreement_outlives_a_telling_that_agrees():
    assert merge(read(amount_total=1), read()).disagreements == {"amount 1 eur instead of 1250 eur"}


def test_our_mark_fits_into_stripes_metadata():
    mark = metadata("7d0a2b4e-0000-4000-8000-000000000001", "7d0a2b4e-0000-4000-8000-000000000002")
    assert len(mark) == 2
    for key, value in mark.items():
        assert len(key) <= 40
        assert "[" not in key
        assert len(value) <= 500
