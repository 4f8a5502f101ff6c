"""Each kind of letter: what calls for it, who gets it, what it says, and that it comes once."""

import json
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from html import unescape

import psycopg
import pytest
import requests

from payflow import emails
from tests.http.conftest import hidden_fields, retold, sign
from tests.stack import until

CUSTOMER, OWNER = "customer@example.com", "owner@northlight.example"
FAILS, SUCCEEDS = "AT861904300235473202", "AT611904300234573201"
OVER = {"status": "expired", "payment_status": "unpaid", "payment_intent": None}
# What a stranger might type into the form. In the owner's letters, marks keep links from it.
TYPED = {
    "description": "Prize at evil.example/now 🎁",
    "reference": "www.evil.example",
    "name": "Ann https://evil.example",
}
MARK = "\u2060"
LINKS = re.compile(r'<a [^>]*?href="(http[^"]+)"')


@pytest.fixture
def deliver_all(deliver, world):
    """Deliver, twice, all that Stripe has to tell, oldest first."""

    def run():
        for event in reversed(world.events()):
            for _ in range(2):
                assert deliver(event).status_code == 200

    return run


@pytest.fixture
def pay_again(client, rows, world):
    """The customer tries once more, from the payment's page."""

    def run():
        ((payment_id,),) = rows("SELECT id FROM payments")
        page = client.get(f"/payments/{payment_id}").text
        again = client.post(f"/payments/{payment_id}/retry", data=hidden_fields(page))
        assert world.pay(again.location).status_code == 303

    return run


@pytest.fixture
def story(request, submit, world, deliver, deliver_all, move_clocks, pay_again, completed, rows):
    """Bring a payment to where a kind of letter is owed."""

    def intent():
        (event, *_) = world.events("payment_intent.succeeded")
        return event["data"]["object"]["id"]

    def paid():
        world.pay(submit(**TYPED).location)
        deliver_all()

    def debit(iban, then=timedelta()):
        world.set(debit_delay_s=60)
        world.pay_by_debit(submit(**TYPED).location, iban)
        deliver_all()
        if then:
            move_clocks(then)
            deliver_all()

    def refund(status=None):
        paid()
        made = world.at_desk("refunds", payment_intent=intent())
        deliver_all()
        if status:
            world.at_desk(f"refunds/{made['id']}", status=status)
            deliver_all()

    def dispute(*outcomes, **how):
        paid()
        made = world.at_desk("disputes", payment_intent=intent(), **how)
        deliver_all()
        for outcome in outcomes:
            world.at_desk(f"disputes/{made['id']}", outcome=outcome)
            deliver_all()

    def pay_twice():
        """We are told that a session has expired which in truth was paid."""
        event = completed(**TYPED)
        deliver(retold(event, "checkout.session.expired", **OVER))
        pay_again()
        deliver_all()

    def lose():
        """An older backup is brought back, in which the payment was not yet."""
        event = completed(**TYPED)
        for table in ("timeline_entries", "attempts", "payments"):
            rows(f"DELETE FROM {table} RETURNING 1")
        deliver(event)

    return {
        "receipt": paid,
        "owner_paid": paid,
        "processing": lambda: debit(SUCCEEDS),
        "payment_failed": lambda: debit(FAILS, timedelta(minutes=2)),
        "refunded": refund,
        "refund_failed": lambda: refund("failed"),
        "owner_refund_failed": lambda: refund("failed"),
        "owner_overpaid": pay_twice,
        "owner_review": lambda: deliver(retold(completed(**TYPED), amount_total=1)),
        "owner_inquiry": lambda: dispute(inquiry=True),
        "owner_dispute": lambda: dispute("escalated", inquiry=True),
        "owner_dispute_lost": lambda: dispute("lost"),
        "owner_lost_payment": lose,
        "owner_webhooks": lambda: deliver(completed() | {"livemode": True}),
    }


ABOUT_NO_PAYMENT = {"owner_lost_payment", "owner_webhooks"}


@pytest.mark.parametrize("kind", sorted(emails.LETTERS))
def test_each_kind_of_letter_is_sent_once_to_whom_it_concerns_and_says_the_same_in_text_and_html(
    story, work, mailbox, rows, kind
):
    story[kind]()
    work()
    work()
    to = OWNER if kind.startswith("owner_") else CUSTOMER
    assert rows("SELECT recipient, state, last_error FROM emails WHERE kind = %s", kind) == [
        (to, "sent", None)
    ]
    # Each row that was sent is one letter in the mailbox, and there is no other.
    identifiers = Counter(ids_of(mailbox))
    assert set(identifiers.values()) == {1}
    assert len(identifiers) == rows("SELECT count(*) FROM emails WHERE state = 'sent'")[0][0]
    (ours,) = [one for one in mailbox.letters() if kind in id_of(one).split(".")]
    says_the_same_in_text_and_html(ours)
    hands_on_nothing_that_a_stranger_typed(ours, to)
    tells_only_the_customer_whom_to_ask(ours, to)
    leads_to_pages_that_are_there(ours, mailbox)


def test_a_payment_on_its_way_calls_for_nothing_and_its_letter_does_not_alarm(story, work, mailbox):
    story["processing"]()
    work()
    (letter,) = mailbox.letters(to=CUSTOMER)
    assert "→" in letter["html"]
    assert not re.search(r">\s*!", letter["html"])


def says_the_same_in_text_and_html(letter):
    seen = re.sub(r"<head>.*</head>|<!--.*?-->", " ", letter["html"], flags=re.DOTALL)
    # The letterhead and the preview repeat, and the mark above the heading only adorns.
    repeated = r'<(div) class="preview".*?</\1>|<(p) class="business".*?</\2>'
    adorning = r'<(table)[^>]*aria-hidden="true".*?</\3>'
    seen = re.sub(f"{repeated}|{adorning}", " ", seen, flags=re.DOTALL)
    words = Counter(re.findall(r"\w+", unescape(re.sub(r"<[^>]+>", " ", seen))))
    text = re.sub(r"^ *http\S+$", "", letter["text"], flags=re.MULTILINE)
    assert Counter(re.findall(r"\w+", text)) == words
    links = [unescape(one) for one in LINKS.findall(letter["html"])]
    assert re.findall(r"^ *(http\S+)$", letter["text"], flags=re.MULTILINE) == links


def hands_on_nothing_that_a_stranger_typed(letter, to):
    assert "evil.example" not in str(letter)
    if to == CUSTOMER:
        assert MARK not in str(letter)
        assert not any(word in str(letter) for word in ("Prize", "evil", "Ann"))
    elif not ABOUT_NO_PAYMENT & set(id_of(letter).split(".")):
        assert all(one in letter["text"].replace(MARK, "") for one in TYPED.values())


def tells_only_the_customer_whom_to_ask(letter, to):
    for part in (letter["text"], letter["html"]):
        assert ("Questions?" in part) == (to == CUSTOMER)


def leads_to_pages_that_are_there(letter, world):
    """payflow's own pages are no server's here; Stripe's Dashboard is the stand-in's desk."""
    at_stripe = [one for one in LINKS.findall(letter["html"]) if one.startswith(world.url)]
    assert bool(at_stripe) == id_of(letter).split(".")[1].startswith("owner_")
    for address in at_stripe:
        assert requests.get(address, timeout=5).status_code == 200


PASSED = {
    "processing": "the debit succeeds before it leaves",
    "payment_failed": "the customer has paid by then",
    "refunded": "the refund fails before it leaves",
    "owner_inquiry": "it becomes a dispute before it leaves",
    "owner_dispute": "it is lost before it leaves",
    "owner_dispute_lost": "the bank gives the money back before it leaves",
}
THEN = {"owner_inquiry": "escalated", "owner_dispute": "lost", "owner_dispute_lost": "reversed"}


@pytest.mark.parametrize("kind", sorted(PASSED))
def test_a_letter_about_what_has_passed_by_then_is_skipped(
    story, deliver_all, move_clocks, pay_again, work, mailbox, rows, world, kind
):
    story[kind]()
    if kind == "processing":
        move_clocks(timedelta(minutes=2))
    if kind == "payment_failed":
        pay_again()
    if kind == "refunded":
        (event,) = world.events("refund.created")
        world.at_desk(f"refunds/{event['data']['object']['id']}", status="failed")
    if kind in THEN:
        dispute = world.events("charge.dispute.created")[0]["data"]["object"]["id"]
        world.at_desk(f"disputes/{dispute}", outcome=THEN[kind])
    deliver_all()
    work()
    work()
    assert rows("SELECT state FROM emails WHERE kind = %s", kind) == [("skipped",)]
    assert [one for one in ids_of(mailbox) if kind in one.split(".")] == []


def test_no_receipt_leaves_while_the_payment_is_in_review_and_one_does_when_that_is_settled(
    completed, deliver, world, work, mailbox, rows, flask, receipt
):
    event = completed()
    deliver(event)
    deliver(retold(event, amount_total=1))
    world.set(api_faults=[{"on": "GET /v1/*", "fault": "402"}])
    work()
    states = "SELECT kind, state FROM emails ORDER BY kind"
    assert rows(states) == [
        ("owner_paid", "skipped"), ("owner_review", "sent"), ("receipt", "skipped")
    ]  # fmt: skip
    assert mailbox.letters(CUSTOMER) == []
    world.set(api_faults=[])
    flask("payments", "sync", receipt())
    work()
    assert {state for _, state in rows(states)} == {"sent"}
    assert len(mailbox.letters(CUSTOMER)) == 1


def ids_of(mailbox):
    return [id_of(one) for one in mailbox.letters()]


def id_of(letter):
    return next(value for name, value in letter["headers"] if name == "Message-ID").split("@")[0]


def test_the_kinds_that_may_pass_are_those():
    passing = {kind for kind, letter in emails.LETTERS.items() if letter.passing}
    assert passing == {*PASSED, "receipt", "owner_paid"}


def test_without_an_alert_address_the_owner_gets_none(installed, completed, rows):
    event = completed()
    other = installed(ALERT_EMAIL="").test_client()
    body = json.dumps(event)
    assert other.post("/webhooks/stripe", data=body, headers=sign(body)).status_code == 200
    assert rows("SELECT kind, recipient FROM emails") == [("receipt", CUSTOMER)]


def test_what_is_recorded_while_a_letter_is_judged_is_not_overlooked(
    app, completed, deliver, work, rows, postgres, mailbox
):
    """The receipt is about to be skipped, for the payment is in review, as that is settled."""
    event = completed()
    deliver(event)
    deliver(retold(event, amount_total=1))
    ((letter,),) = rows("SELECT id FROM emails WHERE kind = 'receipt'")

    def judge():
        with app.app_context():
            emails.deliver(letter)

    with (
        psycopg.connect(postgres.url("payflow")) as recorder,
        ThreadPoolExecutor(1) as thread,
    ):
        recorder.execute("SELECT 1 FROM payments FOR NO KEY UPDATE")
        judged = thread.submit(judge)
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        until(lambda: judged.done() or rows(waits))
        recorder.execute("UPDATE attempts SET confirmed_at = now() + interval '1 hour'")
        recorder.execute("UPDATE payments SET status = 'paid'")
        recorder.commit()
        judged.result(30)
    assert rows("SELECT state FROM emails WHERE id = %s", letter) == [("sent",)]
