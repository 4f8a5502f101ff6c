"""Letters as they arrive: the receipt to the customer, and the owner's."""

import json
import re
import time
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import parseaddr

import pytest

from payflow import emails
from payflow.db import db
from payflow.models import Email
from tests.http.conftest import sign, words_of

WORD_JOINER = "\u2060"


@pytest.fixture
def pay(completed, deliver):
    """Pay, and have us told."""

    def pay_and_tell(**form):
        assert deliver(completed(**form)).status_code == 200

    return pay_and_tell


@pytest.fixture
def letter(mailbox, work):
    """Do the work, and answer the one letter to somebody."""

    def read(to):
        work()
        (found,) = mailbox.letters(to)
        return found

    return read


def header(letter, name):
    (value,) = [value for key, value in letter["headers"] if key.lower() == name.lower()]
    return value


def test_a_payment_sends_a_receipt_and_a_letter_to_the_owner(pay, mailbox, work, rows):
    pay()
    assert mailbox.letters() == []
    work()
    assert sorted(letter["to"] for letter in mailbox.letters()) == [
        ["customer@example.com"],
        ["owner@northlight.example"],
    ]
    assert rows("SELECT kind, state, tries, last_error FROM emails ORDER BY kind") == [
        ("owner_paid", "sent", 1, None),
        ("receipt", "sent", 1, None),
    ]
    timeline = rows(
        "SELECT subject, happened FROM timeline_entries WHERE source = 'mail server' ORDER BY 1"
    )
    assert timeline == [("email owner_paid", "sent"), ("email receipt", "sent")]


def test_no_letter_leaves_before_the_payment_is_paid(submit, mailbox, work):
    submit()
    work()
    assert mailbox.letters() == []


def test_a_letter_that_is_sent_is_not_sent_again(pay, mailbox, work, rows):
    pay()
    work()
    work()
    assert len(mailbox.letters()) == 2
    assert rows("SELECT id FROM procrastinate_jobs WHERE task_name = 'deliver_email'"
                " AND status <> 'succeeded'") == []  # fmt: skip


def test_the_receipt_tells_amount_number_date_and_where_to_see_it(pay, letter, rows, public_url):
    pay(amount="1,250.00", currency="USD")
    ((payment_id, number, paid_at),) = rows("SELECT id, receipt_number, paid_at FROM payments")
    receipt = letter("customer@example.com")
    assert receipt["subject"] == f"Receipt from Northlight Consulting: $1,250.00 ({number})"
    page = f"{public_url}/payments/{payment_id}"
    assert page in receipt["text"]
    assert f'href="{page}"' in receipt["html"]
    date = f"{paid_at:%-d %B %Y, %H:%M} UTC"
    for text in (receipt["text"], words_of(receipt["html"])):
        for told in ("$1,250.00", number, date, "Northlight Consulting", "12 Quay Street, Dublin"):
            assert told in text
        assert "Test mode: no money has moved." in text


def test_the_receipt_comes_from_the_business_and_is_answered_to_it(pay, letter):
    pay()
    receipt = letter("customer@example.com")
    assert receipt["from"] == "Northlight Consulting <billing@northlight.example>"
    assert header(receipt, "Reply-To") == "billing@northlight.example"
    assert header(receipt, "Auto-Submitted") == "auto-generated"


def test_a_letter_gets_through_whatever_the_business_is_called_and_a_stranger_has_typed(
    installed, completed, deliver, rows
):
    deliver(completed(description="🎁" * 200, name="x" * 100, reference="\u202e" + "ß" * 99))
    name = "Müller, Söhne & Töchter Gartenarchitektur und Landschaftspflege GmbH, Ätzelhöfen"
    for sender in ("pay@garden.example", f'"{name}" <pay@garden.example>'):
        with installed(MAIL_DEFAULT_SENDER=sender, BUSINESS_NAME=name).app_context():
            for (number,) in rows("SELECT id FROM emails"):
                sent = emails.compose(db.session.get(Email, number)).as_bytes()
                assert max(map(len, sent.splitlines())) <= 998
                assert sent.isascii()
                read = message_from_bytes(sent, policy=policy.default)
                assert not read.defects
                raw = message_from_bytes(sent)
                author, address = parseaddr(raw["From"])
                assert str(make_header(decode_header(author))) == name
                assert address == "pay@garden.example"
                assert "\n" not in raw["Resend-Idempotency-Key"]
                assert abs(read["Date"].datetime.timestamp() - time.time()) < 600
                kinds = [part.get_content_type() for part in read.walk()]
                assert kinds[-2:] == ["text/plain", "text/html"]
                assert len(read["Subject"]) < 200
                assert name in read["Subject"] or "owner_paid" in read["Message-ID"]


def test_the_receipt_is_readable_without_a_stylesheet_or_picture_from_elsewhere(pay, letter):
    pay()
    html = letter("customer@example.com")["html"]
    assert re.search(r'class="amount"[^>]* style="[^"]*font-weight', html)
    assert "<img" not in html
    assert "<link" not in html
    assert "prefers-color-scheme: dark" in html


def test_no_text_that_a_stranger_typed_stands_in_a_letter_to_a_customer(pay, letter):
    """Anyone can type another person's address into the form."""
    pay(description="Claim your prize", reference="at-evil-example", name="Prince of Nigeria")
    receipt = letter("customer@example.com")
    for typed in ("Claim your prize", "at-evil-example", "Prince of Nigeria"):
        assert typed not in str(receipt)


def test_the_owners_letter_tells_who_paid_for_what(pay, letter, rows, public_url):
    pay(reference="A-7", name="Ann O'Neil & Sons", email="ann@example.com")
    ((payment_id, number),) = rows("SELECT id, receipt_number FROM payments")
    owners = letter("owner@northlight.example")
    assert owners["subject"] == f"You’ve been paid €12.50 ({number})"
    assert f"{public_url}/payments/{payment_id}" in owners["text"]
    text = owners["text"].replace(WORD_JOINER, "")
    for told in ("€12.50", number, "Invoice 2026-118", "A-7", "Ann O'Neil & Sons"):
        assert told in text
    assert "ann@example.com" in text


def test_an_e_mail_address_that_reads_like_a_web_address_is_no_link_in_the_owners_letter(
    pay, letter
):
    typed = "www.evil.example/pay?x@elsewhere.example"
    pay(email=typed)
    owners = letter("owner@northlight.example")
    for text in (owners["text"], owners["html"], owners["subject"]):
        assert "evil.example" not in text
    assert typed in owners["text"].replace(WORD_JOINER, "")


@pytest.mark.parametrize("field", ["description", "reference", "name"])
@pytest.mark.parametrize(
    "typed", ["https://evil.example/pay", "www.evil.example", "a@evil.example"]
)
def test_an_address_that_was_typed_is_no_link_in_the_owners_letter(pay, letter, field, typed):
    pay(**{field: typed})
    owners = letter("owner@northlight.example")
    for text in (owners["text"], owners["html"], owners["subject"]):
        assert "evil.example" not in text
    assert typed in owners["text"].replace(WORD_JOINER, "")
    assert typed in words_of(owners["html"]).replace(WORD_JOINER, "")


def test_markup_that_was_typed_is_escaped_in_the_owners_letter(pay, letter):
    pay(description="<b>bold</b><script>alert(1)</script>", name="<img src=x>")
    html = letter("owner@northlight.example")["html"]
    assert "<b>" not in html
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;b&gt;bold&lt;" in html


def test_a_letter_is_known_by_its_payment_and_kind(pay, mailbox, work, rows):
    pay()
    work()
    ((payment_id,),) = rows("SELECT id FROM payments")
    found = {
        (header(one, "Message-ID"), header(one, "Resend-Idempotency-Key"))
        for one in mailbox.letters()
    }
    assert found == {
        (f"<{payment_id}.{kind}@127.0.0.1>", f"{payment_id}.{kind}")
        for kind in ("receipt", "owner_paid")
    }


def test_without_an_alert_address_the_owner_gets_no_letter(
    completed, installed, mailbox, work, rows
):
    event = completed()
    app = installed(ALERT_EMAIL="")
    body = json.dumps(event)
    answer = app.test_client().post("/webhooks/stripe", data=body, headers=sign(body))
    assert answer.status_code == 200
    with app.app_context():
        work()
    assert [one["to"] for one in mailbox.letters()] == [["customer@example.com"]]
    assert rows("SELECT kind FROM emails") == [("receipt",)]
