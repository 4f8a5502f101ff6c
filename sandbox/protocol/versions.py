"""Stripe's API versions: which there are, and the shapes objects had in older ones.

Everything is made and kept in the shape of :data:`API_VERSION`. An answer, an event or an
endpoint's payload of an older version is made from it by taking steps back, newest step first; an
event is serialised once for each version that somebody listens in, so that a retry is the same
bytes. Shapes only: what an older version did differently (the PaymentIntent made together with the
session, before 2022-08-01) is not played.
"""

import json
import re
import sqlite3
from collections.abc import Callable
from typing import Any

from sandbox.store import JsonDict, objects_of

API_VERSION = "2026-05-27.dahlia"

KNOWN = tuple(
    """
    2011-01-01 2011-06-21 2011-06-28 2011-08-01 2011-09-15 2011-11-17 2012-02-23 2012-03-25
    2012-06-18 2012-06-28 2012-07-09 2012-09-24 2012-10-26 2012-11-07 2013-02-11 2013-02-13
    2013-07-05 2013-08-12 2013-08-13 2013-10-29 2013-12-03 2014-01-31 2014-03-13 2014-03-28
    2014-05-19 2014-06-13 2014-06-17 2014-07-22 2014-07-26 2014-08-04 2014-08-20 2014-09-08
    2014-10-07 2014-11-05 2014-11-20 2014-12-08 2014-12-17 2014-12-22 2015-01-11 2015-01-26
    2015-02-10 2015-02-16 2015-02-18 2015-03-24 2015-04-07 2015-06-15 2015-07-07 2015-07-13
    2015-07-28 2015-08-07 2015-08-19 2015-09-03 2015-09-08 2015-09-23 2015-10-01 2015-10-12
    2015-10-16 2016-02-03 2016-02-19 2016-02-22 2016-02-23 2016-02-29 2016-03-07 2016-06-15
    2016-07-06 2016-10-19 2017-01-27 2017-02-14 2017-04-06 2017-05-25 2017-06-05 2017-08-15
    2017-12-14 2018-01-23 2018-02-05 2018-02-06 2018-02-28 2018-05-21 2018-07-27 2018-08-23
    2018-09-06 2018-09-24 2018-10-31 2018-11-08 2019-02-11 2019-02-19 2019-03-14 2019-05-16
    2019-08-14 2019-09-09 2019-10-08 2019-10-17 2019-11-05 2019-12-03 2020-03-02 2020-08-27
    2022-08-01 2022-11-15 2023-08-16 2023-10-16 2024-04-10 2024-06-20 2024-09-30.acacia
    2024-10-28.acacia 2024-11-20.acacia 2024-12-18.acacia 2025-01-27.acacia 2025-02-24.acacia
    2025-03-01.dashboard 2025-03-31.basil 2025-04-30.basil 2025-05-28.basil 2025-06-30.basil
    2025-07-30.basil 2025-08-27.basil 2025-09-30.clover 2025-10-29.clover 2025-11-17.clover
    2025-12-15.clover 2026-01-28.clover 2026-02-25.clover 2026-03-25.dahlia 2026-04-22.dahlia
    2026-05-27.dahlia
    """.split()
)

# A request may ask for a version that is younger than this stand-in.
NEWER = re.compile(r"20(2[6-9]|[3-9][0-9])-[0-9]{2}-[0-9]{2}\.[a-z]+")

Step = Callable[[sqlite3.Connection, JsonDict], None]


def render(db: sqlite3.Connection, body: JsonDict, version: str) -> JsonDict:
    """``body`` and all objects inside it as ``version`` shows them; ``body`` itself stays."""
    steps = [(kind, step) for until, kind, step in STEPS if version < until]
    if not steps:
        return body
    copied: JsonDict = json.loads(json.dumps(body))
    _walk(db, copied, steps)
    return copied


def _walk(db: sqlite3.Connection, node: Any, steps: list[tuple[str, Step]]) -> None:
    if isinstance(node, list):
        for child in node:
            _walk(db, child, steps)
    elif isinstance(node, dict):
        for kind, step in steps:
            if node.get("object") == kind:
                step(db, node)
        for child in list(node.values()):
            _walk(db, child, steps)


def _ui_mode(_: sqlite3.Connection, session: JsonDict) -> None:
    if session.get("ui_mode") == "hosted_page":
        session["ui_mode"] = "hosted"


def _refunds(db: sqlite3.Connection, charge: JsonDict) -> None:
    """The newest ten, as an expanded list has them."""
    if "refunds" not in charge:
        charge["refunds"] = sublist(db, "refund", "charge", charge["id"])


def _charges(db: sqlite3.Connection, intent: JsonDict) -> None:
    charges = sublist(db, "charge", "payment_intent", intent["id"])
    intent["charges"] = charges | {"url": f"/v1/charges?payment_intent={intent['id']}"}
    intent.pop("latest_charge", None)


def _statuses(_: sqlite3.Connection, session: JsonDict) -> None:
    session.pop("status", None)
    session.pop("payment_status", None)


# Until which version (which no longer has it) the objects of a kind had another shape. The list of
# refunds went with 2022-11-15 itself, https://docs.stripe.com/changelog/2022-11-15; it is kept here
# through that version, so that a receiver of its payloads is tried with the larger shape too.
# ``status`` came to sessions without a version of its own: any since 2020-08-27 shows it here.
STEPS: tuple[tuple[str, str, Step], ...] = (
    ("2026-03-25", "checkout.session", _ui_mode),
    ("2022-11-16", "charge", _refunds),
    ("2022-11-15", "payment_intent", _charges),
    ("2020-08-27", "checkout.session", _statuses),
)


def sublist(db: sqlite3.Connection, kind: str, field: str, object_id: str) -> JsonDict:
    """The newest ten objects of a kind that name ``object_id`` in ``field``, nested."""
    found = objects_of(db, kind, field, object_id)
    return {
        "object": "list",
        "data": found[:10],
        "has_more": len(found) > 10,
        "url": f"/v1/{field}s/{object_id}/{kind}s",
    }
