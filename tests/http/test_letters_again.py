"""Letters that were skipped, are sent again by hand, or are about what the customer has changed."""

import re

from payflow import payments
from payflow.db import db
from payflow.record import record
from tests.http.conftest import FORM, hidden_fields


def test_a_letter_that_was_skipped_is_owed_anew_when_its_reason_comes_again(
    completed, deliver, world, at_stripe, rows, work, mailbox
):
    deliver(completed())
    charge = at_stripe("charges")["data"][0]["id"]
    world.at_desk("refunds", charge=charge, amount=500)
    (told,) = world.events("refund.created")
    deliver(told)
    for step, status in enumerate(("requires_action", "succeeded"), start=1):
        again = {**told, "id": f"evt_{status}", "type": "refund.updated"}
        again["created"] = told["created"] + step
        again["data"] = {"object": {**told["data"]["object"], "status": status}}
        deliver(again)
        work()
        state = rows("SELECT state FROM emails WHERE kind = 'refunded'")
        assert state == [("skipped" if status == "requires_action" else "sent",)]
    subjects = [letter["subject"] for letter in mailbox.letters(to="customer@example.com")]
    assert [subject for subject in subjects if subject.startswith("Refund")] == subjects[1:]


def test_a_letter_that_is_sent_again_by_hand_is_sent_whatever_has_passed(
    completed, deliver, world, at_stripe, rows, work, mailbox, flask
):
    deliver(completed())
    refund = world.at_desk("refunds", charge=at_stripe("charges")["data"][0]["id"])
    deliver(world.events("refund.created")[0])
    work()
    world.at_desk(f"refunds/{refund['id']}", status="failed")
    deliver(world.events("refund.failed")[0])
    ((letter,),) = rows("SELECT id FROM emails WHERE kind = 'refunded'")
    flask("emails", "resend", str(letter))
    work()
    assert rows("SELECT state FROM emails WHERE kind = 'refunded'") == [("sent",)]
    sent = [one["subject"] for one in mailbox.letters(to="customer@example.com")]
    assert sum(subject.startswith("Refund") for subject in sent) == 2


def test_who_changes_the_form_after_a_decline_gets_no_letter_about_it(
    client, fill_in, world, deliver, rows, work, mailbox
):
    """Else anyone could have any address written to as often as they like."""
    form = fill_in()
    world.pay(client.post("/checkout", data=form).location, card="4000000000009995")
    deliver(world.events("payment_intent.payment_failed")[0])
    client.post("/checkout", data=form | {"amount": "13.00"})
    work()
    assert mailbox.letters(to="customer@example.com") == []
    assert rows("SELECT kind, state FROM emails") in ([], [("payment_failed", "skipped")])


def test_a_receipt_says_what_was_received_where_the_operator_has_accepted_less(
    submit, world, rows, flask, receipt, work, mailbox, client
):
    world.pay(submit().location)
    rows("UPDATE payments SET amount = 125000 RETURNING 1")
    flask("payments", "sync", receipt())
    flask("payments", "accept", receipt())
    work()
    (letter,) = mailbox.letters(to="customer@example.com")
    assert "€12.50" in letter["subject"] + letter["text"]
    assert "1,250" not in letter["subject"] + letter["text"]
    page = client.get(f"/payments/{rows('SELECT id FROM payments')[0][0]}").text
    assert "€12.50" in page
    assert "1,250" not in page


def test_a_prefilled_amount_means_the_same_in_every_language(client):
    for language, shown in (("en", "1250.50"), ("de", "1250,50")):
        page = client.get(f"/?amount=1250.50&lang={language}").text
        assert re.search(rf'name="amount"[^>]*value="{re.escape(shown)}"', page), language
        ambiguous = client.get(f"/?amount=1,250&lang={language}").text
        assert not re.search(r'name="amount"[^>]*value="[^"]', ambiguous)


def test_an_amount_is_read_in_the_language_that_its_form_was_shown_in(client, world, rows):
    client.get("/?lang=de")
    form = FORM | hidden_fields(client.get("/").text) | {"amount": "1.250,00"}
    client.get("/?lang=en")
    assert client.post("/checkout", data=form).status_code == 303
    assert rows("SELECT amount FROM payments") == [(125000,)]


def test_the_review_of_one_attempt_is_not_settled_by_another_that_was_paid(
    submit, world, deliver, rows, work, mailbox
):
    world.pay(submit().location)
    event = world.events("checkout.session.completed")[0]
    lie = {**event, "id": "evt_lie"}
    lie["data"] = {"object": {**event["data"]["object"], "amount_total": 1}}
    deliver(lie)
    letter = rows("SELECT about FROM emails WHERE kind = 'owner_review'")
    assert letter == [("0.01 EUR instead of 12.50 EUR",)]
    payment = payments.get(rows("SELECT id FROM payments")[0][0])
    assert record(payment.id, [], "nobody") is None
    db.session.rollback()
    assert rows("SELECT next_check_at IS NOT NULL FROM payments") == [(True,)]
