"""Whatever order, duplication, loss or delay: after one sweep a payment is where Stripe has it, and
the letters are as owed."""

import os
from itertools import count

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.histories.conftest import SEED
from tests.histories.history import History, endings, moves

HISTORIES = int(os.environ.get("HISTORIES", "400"))

_numbers = count()


def test_after_one_sweep_the_row_is_stripes_truth_and_the_letters_are_as_owed(
    app, refusing, moved_clock, silence
):
    @seed(SEED)
    @settings(
        max_examples=HISTORIES, deadline=None, database=None, print_blob=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    @given(moves, endings)
    def play(moves, ending):
        history = History(next(_numbers), moved_clock)
        for move in moves:
            history.play(move)
        history.end(ending)

    play()
