"""What becomes of a bank debit: days later at Stripe, by the stand-in's clock here."""

import sqlite3

from sandbox import clock, later, settings
from sandbox.objects import payments, sessions
from sandbox.objects.bank_debits import ACCOUNTS, LONG_DELAY_S
from sandbox.store import JsonDict, find_object, private_part, stored
from sandbox.webhooks import events


def schedule(db: sqlite3.Connection, charge_id: str) -> None:
    account = ACCOUNTS[private_part(db, charge_id)["number"]]
    delay_s = settings.current(db)["debit_delay_s"]
    if account.slow:
        delay_s = max(delay_s, LONG_DELAY_S)
    later.at(db, clock.now() + delay_s, "debit.answer", charge_id)


@later.action("debit.answer")
def _answer(db: sqlite3.Connection, charge_id: str) -> None:
    charge = find_object(db, charge_id)
    if charge is None or charge["status"] != "pending":
        return
    intent = stored(db, charge["payment_intent"])
    account = ACCOUNTS[private_part(db, charge_id)["number"]]
    if account.refusal is None:
        payments.succeed(db, intent, charge, events.NO_REQUEST)
    else:
        payments.fail_debit(db, intent, charge, account.refusal)
    sessions.settle(db, _session_of(db, intent), paid=account.refusal is None)


def _session_of(db: sqlite3.Connection, intent: JsonDict) -> JsonDict:
    return sessions.load(db, private_part(db, intent["id"])["session"])
