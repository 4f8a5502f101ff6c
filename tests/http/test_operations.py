"""What docs/operations.md has an operator type does what it says there."""

import re

import psycopg
import pytest

from tests.http.conftest import retold
from tests.stack import ROOT, until

PAGE = (ROOT / "docs" / "operations.md").read_text()
WHO = "ada@private.example"
TABLES = "payments attempts stripe_events emails refunds disputes timeline_entries".split()


@pytest.mark.parametrize("query", re.findall(r"\| `(SELECT .*?)` \|", PAGE))
def test_each_query_that_is_named_finds_what_it_is_for(rows, completed, deliver, receipt, query):
    """A payment in review, with its letters queued, and an event whose handling failed."""
    deliver(retold(completed(), amount_total=1))
    rows("UPDATE stripe_events SET handled_at = NULL, outcome = NULL, error = 'the disk is full',"
         " next_try_at = now() RETURNING 1")  # fmt: skip
    assert rows(query.replace("7K3M-92QX", receipt()))


def test_a_worker_shows_that_it_lives(site, rows):
    (query,) = re.findall(r"`(SELECT .* FROM procrastinate_workers)`", PAGE)
    until(lambda: rows(query)[0][0] == 1)
    ((_, silent_for),) = rows(query)
    assert silent_for.total_seconds() < 15


def test_of_a_customer_who_was_deleted_nothing_personal_is_left(
    submit, world, deliver, work, mailbox, postgres, rows, flask, client
):
    customer = {"email": WHO, "name": "Ada Personal", "description": "Her invoice"}
    world.pay(submit(**customer).location)
    deliver(world.events("checkout.session.completed")[0])
    work()
    ((paid,),) = rows("SELECT receipt_number FROM payments")
    submit(**customer, amount="7.00")
    ((unpaid,),) = rows("SELECT receipt_number FROM payments WHERE status = 'open'")
    flask("payments", "cancel", unpaid)
    assert {"payments", "attempts", "stripe_events", "emails"} <= names_in(rows)

    (statements,) = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    with psycopg.connect(postgres.url("payflow"), autocommit=True) as connection:
        connection.execute(statements.replace("customer@example.com", WHO.upper()))
    assert names_in(rows) == set()

    for (payment_id,) in rows("SELECT id FROM payments"):
        page = client.get(f"/payments/{payment_id}")
        assert page.status_code == 200
        assert "Try again" not in page.text
    assert "succeeded" in flask("refund", paid, "--amount", "5.00").output
    work()
    flask("reconcile")
    shown = flask("payments", "list").output
    assert "partially_refunded" in shown
    assert "canceled" in shown


def names_in(rows):
    """The tables in which the customer stands."""
    personal = ("ada@", "private.example", "Ada Personal", "Her invoice")
    told = {table: str(rows(f"SELECT * FROM {table}")).lower() for table in TABLES}
    return {table for table in TABLES if any(one.lower() in told[table] for one in personal)}
