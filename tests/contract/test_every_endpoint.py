"""stripe-python drives every endpoint that the stand-in has; the judge reads along."""

import json

import stripe

from tests.contract.judge import Judge
from tests.contract.known import KNOWN
from tests.contract.recordings import BOOKS
from tests.contract.routes import endpoints, reached
from tests.contract.stories import STORIES, teller_of
from tests.sandbox.conftest import session_params, start_sandbox


def test_stripe_python_drives_every_endpoint() -> None:
    """On a stand-in of its own, so that its recording has nothing else in it."""
    sandbox = start_sandbox()
    recording = BOOKS.recordings[-1].path
    try:
        for told in STORIES:
            told(teller_of(sandbox))
    finally:
        assert sandbox.stop() == 0

    assert endpoints() - reached(recording) == set()

    judge = Judge()
    lines = recording.read_text().splitlines()
    met = [one for line in lines for one in judge.judge(json.loads(line), "tests")]
    unneeded = [known for known in KNOWN if not any(known.covers(one) for one in met)]
    assert unneeded == [], "these disagreements are no more: take them off the list"


def test_pages_turn_by_themselves_both_ways(client: stripe.StripeClient) -> None:
    made = [client.v1.checkout.sessions.create(session_params()).id for _ in range(8)]
    forwards = client.v1.checkout.sessions.list({"limit": 3})
    assert [session.id for session in forwards.auto_paging_iter()] == made[::-1]
    backwards = client.v1.checkout.sessions.list({"limit": 3, "ending_before": made[0]})
    assert [session.id for session in backwards.auto_paging_iter()] == made[1:]
