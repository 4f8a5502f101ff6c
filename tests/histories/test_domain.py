"""Whatever order, duplication, loss or delay: after one sweep a payment is where Stripe has it, and
the letters are as owed."""

from hypothesis import given, seed

from tests.histories.conftest import HISTORIES, SEED, as_often_as
from tests.histories.history import History, endings, moves


def test_after_one_sweep_the_row_is_stripes_truth_and_the_letters_are_as_owed(
    app, refusing, moved_clock, silence, counter
):
    ended = 0

    @seed(SEED)
    @as_often_as(HISTORIES)
    @given(moves, endings)
    def play(moves, ending):
        nonlocal ended
        history = History(next(counter), moved_clock)
        for move in moves:
            history.play(move)
        history.end(ending)  # holds row and letters against what they should be
        ended += 1

    play()
    assert ended >= HISTORIES
