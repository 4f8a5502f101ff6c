"""The same promise over HTTP: the real stand-in delivers as badly as it can, then one sweep."""

import pytest
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

from tests.histories.conftest import HTTP_HISTORIES, SEED, as_often_as
from tests.histories.over_http import OverHttp, beginnings, moves


@pytest.mark.usefixtures("_web")
def test_after_one_sweep_the_row_and_the_mailbox_are_as_stripe_has_it(
    app, mailbox, moved_clock, silence, work, emptied
):
    ended = 0

    # Deliveries race: what fails once need not fail again, and is not made smaller.
    @seed(SEED)
    @settings(as_often_as(HTTP_HISTORIES), phases=[Phase.generate])
    @given(beginnings, moves, st.booleans())
    def play(beginning, moves, late):
        nonlocal ended
        emptied()
        history = OverHttp(beginning, mailbox, app.test_client(), moved_clock, work)
        for move in moves:
            history.play(move)
        history.end(late=late)  # holds row and mailbox against what they should be
        ended += 1

    play()
    assert ended >= HTTP_HISTORIES
