"""Makes the pictures of payflow's letters anew, under docs/images/letters.

    python -m scripts.letter_pictures [FOLDER]

Runs payflow on a database and a stand-in of its own; brings payments to where each kind of letter
is owed; reads the letters from the mailbox; and has a browser show each, light and dark, as wide as
a mail program's column. LOCALE chooses the language, BRAND_COLOR and LOGO_URL the look. The browser
is the tests'; the environment's CHROMIUM names another.
"""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from scripts.pictures import IMAGES, chromium, keep, payflow, shot, window
from tests import states
from tests.http.conftest import hidden_fields, retold
from tests.stack import World, until
from tests.states import Payer

WIDTH = 600
LANGUAGE = os.environ.get("LOCALE", "en")[:2]
LOOK = ("LOCALE", "BRAND_COLOR", "LOGO_URL", "BUSINESS_TAX_ID", "STATEMENT_DESCRIPTOR")
FORM = {
    "amount": {"en": "1,250.00", "de": "1.250,00"}[LANGUAGE],
    "description": "Invoice 2026-118, garden plans",
    "reference": "PO 7731",
    "name": "Ada Example",
    "email": "ada@example.com",
}
COMPLETED = "checkout.session.completed"
Letter = dict[str, Any]


# --- what calls for each kind ----------------------------------------------------------------


def stories(world: World, somebody: Callable[[], Payer]) -> Iterator[tuple[str, ...]]:
    """Brings payments to where letters are owed, one after the other; answers their kinds."""
    payer = somebody()
    payer.pay()
    yield "receipt", "owner_paid"
    refund = world.at_desk("refunds", payment_intent=payer.intent(), amount=45000)
    yield ("refunded",)
    world.at_desk(f"refunds/{refund['id']}", status="failed", failure_reason="declined")
    yield "refund_failed", "owner_refund_failed"
    payer = somebody()
    payer.pay()
    inquiry = world.at_desk("disputes", payment_intent=payer.intent(), inquiry=True)
    yield ("owner_inquiry",)
    world.at_desk(f"disputes/{inquiry['id']}", outcome="escalated")
    yield ("owner_dispute",)
    world.at_desk(f"disputes/{inquiry['id']}", outcome="lost")
    yield ("owner_dispute_lost",)
    states.processing(somebody())
    yield ("processing",)
    states.failed(somebody())
    yield ("payment_failed",)
    yield from of_what_goes_wrong(world, somebody)


def of_what_goes_wrong(world: World, somebody: Callable[[], Payer]) -> Iterator[tuple[str, ...]]:
    world.set(deliver=False)
    payer = somebody()
    payer.pay()
    (paid,) = world.events(COMPLETED, limit=1)
    unpaid = {"status": "expired", "payment_status": "unpaid", "payment_intent": None}
    payer.is_told_of(retold(paid, "checkout.session.expired", **unpaid))
    page = payer.http.get(payer.page, timeout=5).text
    again = payer.http.post(f"{payer.page}/retry", hidden_fields(page), allow_redirects=False)
    world.pay(again.headers["Location"])
    world.set(deliver=True)
    yield ("owner_overpaid",)
    world.set(deliver=False)
    payer = somebody()
    payer.pay()
    (event,) = world.events(COMPLETED, limit=1)
    world.set(api_faults=[{"on": "GET /v1/*", "fault": "402"}])
    payer.is_told_of(retold(event, amount_total=119000))
    yield ("owner_review",)
    payer.is_told_of(retold(event) | {"livemode": True})
    yield ("owner_webhooks",)
    mark = {f"payflow_{name}_id": str(uuid4()) for name in ("payment", "attempt")}
    lost = f"pi_{os.urandom(12).hex()}"
    payer.is_told_of(retold(event, id=f"cs_test_{lost}", payment_intent=lost, metadata=mark))
    yield ("owner_lost_payment",)


def letters() -> dict[str, Letter]:
    """Kind → the letter as it came."""
    look = {name: os.environ[name] for name in LOOK if name in os.environ}
    with payflow(look, letters=True) as (site, world, variables):
        told = stories(world, lambda: Payer(site, world, variables, LANGUAGE, **FORM))
        return {kind: arrived(world, kind) for kinds in told for kind in kinds}


def arrived(world: World, kind: str) -> Letter:
    """The newest letter of a kind, once it is in the mailbox."""

    def newest() -> Letter:
        return next((one for one in reversed(world.letters()) if kind in parts_of(one)), {})

    return until(newest, seconds=60)


def parts_of(letter: Letter) -> list[str]:
    """Its Message-ID tells the kind."""
    identity: str = dict(letter["headers"])["Message-ID"]
    return identity.partition("@")[0].split(".")


# --- pictures --------------------------------------------------------------------------------


def main(folder: Path) -> None:
    found = letters()
    with chromium() as browser:
        for kind, letter in found.items():
            for scheme in ("light", "dark"):
                with window(browser, WIDTH, 100, scheme) as context:
                    page = context.new_page()
                    page.set_content(letter["html"])
                    keep(folder / f"{kind}-{scheme}.png", shot(page))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES / "letters")
