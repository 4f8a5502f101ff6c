"""Where the stand-in and Stripe's document are known to disagree, each with the reason.

An entry that nothing needs any more fails `test_every_endpoint.py`.
"""

import re
from typing import NamedTuple

from tests.contract.judge import Disagreement


class Known(NamedTuple):
    """`fault` is a regular expression for what the document says."""

    subject: str
    path: str
    fault: str
    why: str

    def covers(self, one: Disagreement) -> bool:
        same = (one.subject, one.path) == (self.subject, self.path)
        return same and re.search(self.fault, one.fault) is not None


KNOWN: tuple[Known, ...] = ()


def is_known(one: Disagreement) -> bool:
    return any(known.covers(one) for known in KNOWN)
