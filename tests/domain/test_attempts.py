"""What Stripe says of a Checkout Session and its PaymentIntent, read and merged."""

from datetime import UTC, datetime, timedelta
from functools import reduce
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payflow.facts.attempts import (
    PAYMENT_RANK,
    SESSION_RANK,
    UNKNOWN,
    Asked,
    AttemptFacts,
    decline_of,
    merge,
    read_intent,
    read_session,
)
from payflow.facts.objects import Unreadable, mark_of, metadata
from payflow.status import attempt_status

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ASKED = Asked(amount=1250, currency="eur", livemode=False)


def at(minutes):
    return NOON + timedelta(minutes=minutes)


def session(**changes):
    """A Checkout Session as Stripe tells it, as far as payflow reads it."""
    return {
        "id": "cs_test_1",
        "object": "checkout.session",
        "status": "complete",
        "payment_status": "paid",
        "amount_total": 1250,
        "currency": "eur",
        "livemode": False,
        "payment_intent": "pi_1",
        "url": None,
    } | changes


def intent(**changes):
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "status": "succeeded",
        "amount_received": 1250,
        "currency": "eur",
        "livemode": False,
        "latest_charge": "ch_1",
        "last_payment_error": None,
    } | changes


def read(told_at=NOON, by_retrieval=False, asked=ASKED, **changes):
    return read_session(session(**changes), asked, told_at, by_retrieval=by_retrieval)


OPEN = {"status": "open", "payment_status": "unpaid", "payment_intent": None}
UNPAID = {"status": "complete", "payment_status": "unpaid"}

# --- merging ---------------------------------------------------------------------------------


def ids(prefix):
    """Few, so that two tellings often speak of the same object."""
    return st.sampled_from([f"{prefix}_1", f"{prefix}_2", f"{prefix}_3"])


times = st.integers(0, 3).map(at)
sessions = st.builds(
    session,
    id=ids("cs"),
    status=st.sampled_from(sorted(SESSION_RANK)),
    payment_status=st.sampled_from(sorted(PAYMENT_RANK)),
    url=st.none() | st.sampled_from(["https://stripe.example/1", "https://stripe.example/2"]),
    payment_intent=st.none() | ids("pi"),
    amount_total=st.sampled_from([1250, 1]),
    livemode=st.booleans(),
)
intents = st.builds(
    intent,
    id=ids("pi"),
    status=st.sampled_from(["succeeded", "processing", "requires_payment_method", "canceled"]),
    amount_received=st.sampled_from([1250, 1]),
    last_payment_error=st.none()
    | st.builds(dict, decline_code=st.sampled_from(["lost_card", "stolen_card"]), charge=ids("ch")),
)
tellings = st.one_of(
    st.builds(
        lambda told, when, asked, failed: read_session(
            told, ASKED, when, by_retrieval=asked, delayed_failure=failed
        ),
        sessions,
        times,
        st.booleans(),
        st.booleans(),
    ),
    st.builds(lambda told, when: read_intent(told, ASKED, when), intents, times),
    st.builds(AttemptFacts, canceled_at=times),
    st.builds(AttemptFacts, abandoned_at=times),
    st.builds(AttemptFacts, accepted=st.frozensets(st.sampled_from(["no payment required"]))),
)


@given(tellings, tellings)
def test_the_order_of_two_tellings_makes_no_difference(one, other):
    assert merge(one, other) == merge(other, one)


@given(tellings, tellings, tellings)
def test_the_order_of_three_tellings_makes_no_difference(one, two, three):
    assert merge(merge(one, two), three) == merge(one, merge(two, three))


@given(st.lists(tellings, max_size=6), st.randoms(use_true_random=False))
def test_in_whatever_order_and_however_often_told_it_comes_to_the_same(told, random):
    again = told + random.choices(told, k=len(told)) if told else []
    random.shuffle(again)
    assert reduce(merge, again, UNKNOWN) == reduce(merge, told, UNKNOWN)


@given(tellings, tellings)
def test_a_telling_that_comes_again_changes_nothing(one, other):
    assert merge(one, one) == one
    merged = merge(one, other)
    assert merge(merged, one) == merge(merged, other) == merged


@given(tellings)
def test_the_first_telling_is_taken_as_it_is(telling):
    assert merge(UNKNOWN, telling) == telling


@given(tellings, tellings)
def test_nothing_that_was_known_is_lost(one, other):
    merged = merge(one, other)
    for told in (one, other):
        assert told.status is None or SESSION_RANK[merged.status] >= SESSION_RANK[told.status]
        assert merged.delayed_failure >= told.delayed_failure
        assert set(merged.claims) >= set(told.claims)
        assert merged.accepted >= told.accepted
        assert told.paid_at is None or merged.paid_at <= told.paid_at
        assert told.received is None or merged.received >= told.received


@pytest.mark.parametrize(
    ("one", "other", "status", "payment_status"),
    [
        (("open", "unpaid"), ("expired", "unpaid"), "expired", "unpaid"),
        (("expired", "unpaid"), ("complete", "paid"), "complete", "paid"),
        (("complete", "unpaid"), ("complete", "paid"), "complete", "paid"),
    ],
)
def test_the_later_stage_wins_whenever_it_is_told(one, other, status, payment_status):
    first, second = (read(status=s, payment_status=p) for s, p in (one, other))
    for merged in (merge(first, second), merge(second, first)):
        assert (merged.status, merged.payment_status) == (status, payment_status)


def test_the_time_of_paying_is_the_earliest_that_was_told():
    assert merge(read(at(60)), read(at(0))).paid_at == merge(read(at(0)), read(at(60))).paid_at
    assert merge(read(at(60)), read(at(0))).paid_at == NOON


def test_the_address_of_an_open_session_is_kept_when_it_closes():
    opened = read(**OPEN, url="https://stripe.example/1")
    assert merge(opened, read()).url == "https://stripe.example/1"


def test_the_latest_decline_is_kept():
    def declined(code, minutes):
        refused = intent(status="requires_payment_method", last_payment_error={"code": code})
        return read_intent(refused, ASKED, at(minutes))

    first, last = declined("expired_card", 0), declined("incorrect_cvc", 5)
    assert merge(first, last).decline == merge(last, first).decline == "incorrect_cvc"
    assert merge(last, read()).decline == "incorrect_cvc"


# --- reading ---------------------------------------------------------------------------------


def test_a_paid_session_is_read_whole():
    assert read() == AttemptFacts(
        session_id="cs_test_1",
        status="complete",
        payment_status="paid",
        url=None,
        payment_intent_id="pi_1",
        received=1250,
        paid_at=NOON,
    )


def test_an_unpaid_session_has_received_nothing():
    assert (read(**UNPAID).paid_at, read(**UNPAID).received) == (None, None)


def test_a_payment_intent_tells_its_end():
    assert read_intent(intent(), ASKED, NOON) == AttemptFacts(
        payment_intent_id="pi_1", charge_id="ch_1", received=1250, paid_at=NOON
    )


@pytest.mark.parametrize(
    "status", ["requires_payment_method", "requires_action", "processing", "canceled", None, 7]
)
def test_of_a_payment_intent_nothing_but_its_end_is_a_fact(status):
    told = read_intent(intent(status=status, amount_received=0), ASKED, NOON)
    assert told == AttemptFacts(payment_intent_id="pi_1")


def test_the_end_of_a_payment_intent_comes_before_or_after_the_sessions():
    end, opened = read_intent(intent(), ASKED, NOON), read(**OPEN)
    for merged in (merge(opened, end), merge(end, opened)):
        assert attempt_status(merged) == "paid"


def test_a_payment_intent_of_an_old_version_lists_its_charges():
    old = intent(charges={"data": [{"id": "ch_2"}, {"id": "ch_1"}]})
    del old["latest_charge"]
    assert read_intent(old, ASKED, NOON).charge_id == "ch_2"


def test_an_expanded_charge_tells_when_it_was_paid():
    charge = {"id": "ch_1", "object": "charge", "created": int(at(-9).timestamp())}
    told = read(by_retrieval=True, payment_intent=intent(latest_charge=charge))
    assert (told.charge_id, told.paid_at) == ("ch_1", at(-9))


@pytest.mark.parametrize(
    ("status", "comes_to"),
    [
        ("requires_payment_method", "failed"),
        ("canceled", "failed"),
        ("processing", "processing"),
        ("requires_action", "processing"),
        ("requires_confirmation", "processing"),
    ],
)
def test_what_became_of_a_delayed_payment_is_told_by_a_retrieval_too(status, comes_to):
    told = read(**UNPAID | {"payment_intent": intent(status=status, amount_received=0)})
    assert attempt_status(told) == comes_to


@pytest.mark.parametrize("status", ["requires_payment_method", "canceled"])
def test_a_session_that_is_open_has_not_failed_by_a_declined_card(status):
    declined = intent(status=status, amount_received=0)
    told = read(status="open", payment_status="unpaid", payment_intent=declined)
    assert (told.delayed_failure, attempt_status(told)) == (False, "open")


@pytest.mark.parametrize("strange", [None, 7, [], {}, {"id": None}])
def test_a_payment_intent_that_is_none_is_read_as_unknown(strange):
    if strange in ({}, {"id": None}):
        with pytest.raises(Unreadable):
            read(payment_intent=strange)
    else:
        assert read(payment_intent=strange).payment_intent_id is None


def test_the_word_that_a_delayed_method_failed_is_kept():
    assert read_session(session(), ASKED, NOON, delayed_failure=True).delayed_failure is True


@pytest.mark.parametrize(
    ("error", "code", "message", "subject"),
    [
        (
            {
                "code": "card_declined",
                "decline_code": "lost_card",
                "message": "No.",
                "charge": "ch_9",
            },
            "lost_card",
            "No.",
            "ch_9",
        ),
        ({"code": "expired_card", "message": None, "charge": None}, "expired_card", "", "pi_1"),
        ({}, "unknown", "", "pi_1"),
        ({"code": ["?"], "message": 7, "charge": {"id": "ch_9"}}, "unknown", "", "ch_9"),
    ],
)
def test_a_decline_is_told_by_the_payment_intent(error, code, message, subject):
    decline = decline_of(intent(last_payment_error=error), NOON)
    assert (decline.code, decline.message, decline.subject) == (code, message, subject)


def test_an_old_decline_that_is_asked_about_later_is_not_the_latest():
    def declined(code, minutes):
        charge = {"id": f"ch_{code}", "object": "charge", "created": int(at(minutes).timestamp())}
        error = {"code": code, "charge": charge["id"]}
        return intent(
            status="requires_payment_method", last_payment_error=error, latest_charge=charge
        )

    first = read_intent(declined("lost_card", 0), ASKED, at(60))
    second = read_intent(declined("incorrect_cvc", 5), ASKED, at(5))
    assert (first.declined_at, second.declined_at) == (at(0), at(5))
    assert merge(first, second).decline == "incorrect_cvc"


@pytest.mark.parametrize("error", [None, "card_declined", 7, []])
def test_no_decline_is_no_decline(error):
    assert decline_of(intent(last_payment_error=error), NOON) is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"status": "closed"}, "checkout.session with status 'closed'"),
        ({"status": None}, "checkout.session with status None"),
        ({"payment_status": "settled"}, "checkout.session with payment_status 'settled'"),
        ({"payment_status": None}, "checkout.session with payment_status None"),
        ({"id": None}, "checkout.session with id None"),
        ({"id": ""}, "checkout.session with id ''"),
        ({"id": 7}, "checkout.session with id 7"),
        ({"amount_total": None}, "checkout.session with amount_total None"),
        ({"amount_total": "1250"}, "checkout.session with amount_total '1250'"),
        ({"amount_total": 1250.0}, "checkout.session with amount_total 1250.0"),
        ({"amount_total": True}, "checkout.session with amount_total True"),
        ({"amount_total": 2**63}, f"checkout.session with amount_total {2**63}"),
        ({"currency": None}, "checkout.session with currency None"),
        ({"currency": 978}, "checkout.session with currency 978"),
    ],
)
def test_a_session_that_lacks_what_facts_are_made_of_is_unreadable(changes, sentence):
    with pytest.raises(Unreadable) as refusal:
        read(**changes)
    assert str(refusal.value) == sentence


@pytest.mark.parametrize("key", ["id", "status", "payment_status", "amount_total", "currency"])
def test_a_session_without_the_key_is_unreadable(key):
    lacking = {name: value for name, value in session().items() if name != key}
    with pytest.raises(Unreadable, match=key):
        read_session(lacking, ASKED, NOON)


@pytest.mark.parametrize("key", ["id", "amount_received", "currency"])
def test_a_payment_intent_at_its_end_without_the_key_is_unreadable(key):
    lacking = {name: value for name, value in intent().items() if name != key}
    with pytest.raises(Unreadable, match=key):
        read_intent(lacking, ASKED, NOON)


@pytest.mark.parametrize("strange", [[], {}, ["complete"]])
@pytest.mark.parametrize("key", ["status", "payment_status"])
def test_a_status_that_is_no_text_is_unreadable(key, strange):
    with pytest.raises(Unreadable):
        read(**{key: strange})


@pytest.mark.parametrize("key", ["url", "payment_intent", "livemode"])
def test_a_session_may_lack_what_stripe_may_leave_out(key):
    lacking = {name: value for name, value in session().items() if name != key}
    assert read_session(lacking, ASKED, NOON).disagreements == ()


# --- disagreements ---------------------------------------------------------------------------

DISAGREE = [
    ({"amount_total": 1249}, "12.49 EUR instead of 12.50 EUR"),
    ({"amount_total": 125000}, "1250.00 EUR instead of 12.50 EUR"),
    ({"amount_total": 0}, "0.00 EUR instead of 12.50 EUR"),
    ({"currency": "usd"}, "12.50 USD instead of 12.50 EUR"),
    ({"livemode": True}, "livemode True instead of False"),
    ({"payment_status": "no_payment_required"}, "no payment required"),
]


@pytest.mark.parametrize(("changes", "sentence"), DISAGREE)
def test_what_disagrees_is_kept_in_words_and_nothing_else_is_believed(changes, sentence):
    told = read(**changes)
    assert told.claims == {sentence: NOON}
    assert (told.received, told.paid_at, told.status) == (None, None, "open")
    # By which what is refunded of it finds it.
    assert told.payment_intent_id == "pi_1"
    assert attempt_status(told) == "review"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"amount_received": 1249}, "12.49 EUR instead of 12.50 EUR"),
        ({"currency": "usd"}, "12.50 USD instead of 12.50 EUR"),
        ({"livemode": True}, "livemode True instead of False"),
    ],
)
def test_a_payment_intent_that_disagrees_is_not_believed(changes, sentence):
    told = read_intent(intent(**changes), ASKED, NOON)
    assert (told.claims, told.received) == ({sentence: NOON}, None)


@pytest.mark.parametrize("lie", [changes for changes, _ in DISAGREE], ids=str)
@pytest.mark.parametrize("truth", [{}, OPEN, UNPAID], ids=["paid", "open", "unpaid"])
def test_the_truth_and_a_lie_are_in_review_until_a_retrieval_agrees(lie, truth):
    """Whichever of the two comes first, and whatever the truth is: the lie is never `paid`."""
    expected = attempt_status(read(**truth))
    told = [read(at(0), **truth), read(at(1), **lie)]
    asked = read(at(2), by_retrieval=True, **truth)
    for one, other in permutations(told):
        assert attempt_status(merge(one, other)) == "review"
        assert attempt_status(merge(merge(one, other), asked)) == expected
        assert attempt_status(merge(merge(asked, one), other)) == expected


@pytest.mark.parametrize(("lie", "sentence"), DISAGREE)
def test_a_lie_that_is_younger_than_the_retrieval_is_asked_about_again(lie, sentence):
    asked, told = read(at(2), by_retrieval=True), read(at(3), **lie)
    for merged in (merge(asked, told), merge(told, asked)):
        assert merged.disagreements == (sentence,)
    assert attempt_status(merge(merged, read(at(4), by_retrieval=True))) == "paid"


@pytest.mark.parametrize(("truth", "settled"), [({}, "paid"), (UNPAID, "processing"), (OPEN, None)])
def test_within_one_second_only_a_complete_session_settles_what_was_told(truth, settled):
    """One that was open may have been completed in that second."""
    told, asked = read(amount_total=1), read(by_retrieval=True, **truth)
    for merged in (merge(told, asked), merge(asked, told)):
        assert attempt_status(merged) == (settled or "review")


def test_a_retrieval_that_disagrees_itself_settles_nothing():
    told = read(at(0), amount_total=1)
    asked = read(at(5), by_retrieval=True, amount_total=1)
    assert attempt_status(merge(told, asked)) == "review"
    received = read(at(6), by_retrieval=True, payment_intent=intent(amount_received=1))
    assert attempt_status(merge(merge(told, asked), received)) == "review"


def test_an_accepted_claim_is_believed_from_then_on():
    told = read(at(0), amount_total=900)
    accepted = frozenset(told.disagreements)
    again = read(
        at(5), by_retrieval=True, amount_total=900, asked=Asked(1250, "eur", False, accepted)
    )
    merged = merge(merge(told, AttemptFacts(accepted=accepted)), again)
    assert (attempt_status(merged), merged.received) == ("paid", 900)


def test_two_payment_intents_of_one_session_are_in_review_until_a_retrieval_tells_which():
    first, second = read(payment_intent="pi_1"), read(payment_intent="pi_2")
    merged = merge(first, second)
    assert merged.disagreements == ("several PaymentIntents: pi_1, pi_2",)
    asked = read(by_retrieval=True, payment_intent="pi_2")
    for told in permutations([first, second, asked]):
        settled = reduce(merge, told)
        assert (settled.payment_intent_id, settled.disagreements) == ("pi_2", ())


def test_two_sessions_of_one_attempt_are_in_review_until_the_operator_accepts():
    merged = merge(read(id="cs_test_1"), read(id="cs_test_2"))
    assert merged.disagreements == ("several Checkout Sessions: cs_test_1, cs_test_2",)
    asked = merge(merged, read(at(9), by_retrieval=True))
    assert asked.disagreements == merged.disagreements
    accepted = merge(asked, AttemptFacts(accepted=frozenset(asked.disagreements)))
    assert accepted.disagreements == ()


def test_a_payment_intent_that_becomes_known_disagrees_with_nothing():
    assert merge(read(payment_intent=None), read()).disagreements == ()


def test_an_open_session_cannot_disagree():
    """Nothing has been taken that could be wrong."""
    assert read(**OPEN | {"amount_total": 1, "livemode": True}).claims == {}


def test_our_mark_fits_into_stripes_metadata():
    ours = ("7d0a2b4e-0000-4000-8000-000000000001", "7d0a2b4e-0000-4000-8000-000000000002")
    mark = metadata(*ours)
    assert len(mark) == 2
    for key, value in mark.items():
        assert len(key) <= 40
        assert "[" not in key
        assert len(value) <= 500
    found = mark_of({"metadata": mark})
    assert (str(found.payment_id), str(found.attempt_id)) == ours
