"""The mailbox: every letter is taken, decoded, shown harmlessly."""

import json
import smtplib
import socket
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from tests.sandbox.conftest import Sandbox
from tests.stack import until


@pytest.fixture(autouse=True)
def mailbox(sandbox: Sandbox) -> Sandbox:
    """The name by which tests/conftest.py lets a test send letters."""
    return sandbox


def letter(**headers: str) -> EmailMessage:
    message = EmailMessage()
    for name, value in (
        {"From": "Zoë <shop@example.com>", "To": "me@example.com"} | headers
    ).items():
        message[name] = value
    return message


def send(sandbox: Sandbox, message: EmailMessage, *recipients: str) -> None:
    with smtplib.SMTP("127.0.0.1", sandbox.smtp_port, timeout=5) as server:
        server.send_message(message, to_addrs=recipients or ("me@example.com",))


def letters(sandbox: Sandbox) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sandbox.get("/inbox/messages.json").json()
    return found


def test_a_letter_is_decoded_for_programs(sandbox: Sandbox) -> None:
    message = letter(Subject="Your receipt: 12,50 € für Käse", **{"X-Payflow": "yes"})
    message.set_content("Grüße, 12,50 €\n" + "long " * 60, cte="quoted-printable")
    message.add_alternative("<p>Grüße</p>", subtype="html", cte="base64")
    send(sandbox, message, "me@example.com", "hidden@example.com")
    (found,) = letters(sandbox)
    assert found["to"] == ["me@example.com", "hidden@example.com"]
    assert found["from"] == "Zoë <shop@example.com>"
    assert found["subject"] == "Your receipt: 12,50 € für Käse"
    assert found["text"].startswith("Grüße, 12,50 €\nlong long")
    assert found["html"] == "<p>Grüße</p>\n"
    assert dict(found["headers"])["X-Payflow"] == "yes"
    assert datetime.fromisoformat(found["received"]).utcoffset() == timedelta(0)


def test_letters_are_listed_oldest_first_for_programs_and_newest_first_for_people(
    sandbox: Sandbox,
) -> None:
    for subject in ("first", "second"):
        message = letter(Subject=subject)
        message.set_content("hello")
        send(sandbox, message)
    assert [item["subject"] for item in letters(sandbox)] == ["first", "second"]
    page = sandbox.get("/inbox").text
    assert page.index("second") < page.index("first")


def test_a_letter_can_be_sent_with_any_password(sandbox: Sandbox) -> None:
    message = letter(Subject="signed in")
    message.set_content("hello")
    with smtplib.SMTP("127.0.0.1", sandbox.smtp_port, timeout=5) as server:
        server.login("anybody", "payflow-fake-password")
        server.send_message(message)
    assert letters(sandbox)[0]["subject"] == "signed in"


def test_a_letters_html_can_do_no_harm(sandbox: Sandbox) -> None:
    message = letter(Subject="<script>alert(1)</script>")
    message.set_content("<script>alert(2)</script>")
    message.add_alternative("<html><head></head><script>alert(3)</script></html>", subtype="html")
    send(sandbox, message)
    number = letters(sandbox)[0]["id"]
    for page in (sandbox.get("/inbox").text, sandbox.get(f"/inbox/{number}").text):
        assert "<script>alert" not in page
    frame = sandbox.get(f"/inbox/{number}/html")
    policy = frame.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox ")
    assert "default-src 'none'" in policy
    assert "allow-scripts" not in policy
    assert '<head><base target="_blank">' in frame.text


def test_a_mangled_letter_breaks_no_page(sandbox: Sandbox) -> None:
    raw = (
        b"From: =?nonsense?X?broken\r\nTo: <<\xff>>\r\nSubject: =?utf-8?b?////?=\r\n"
        b"Content-Type: text/plain; charset=unheard-of\r\n\r\n\xff\xfe body\r\n"
    )
    with smtplib.SMTP("127.0.0.1", sandbox.smtp_port, timeout=5) as server:
        server.sendmail("a@example.com", ["me@example.com"], raw)
    (found,) = letters(sandbox)
    assert "body" in found["text"]
    assert sandbox.get("/inbox").status_code == 200
    assert sandbox.get(f"/inbox/{found['id']}").status_code == 200


def test_a_letter_that_does_not_exist_is_a_404(sandbox: Sandbox) -> None:
    assert sandbox.get("/inbox/4711").status_code == 404
    assert sandbox.get("/inbox/4711/html").status_code == 404


def test_the_mailbox_is_emptied_by_a_reset(sandbox: Sandbox) -> None:
    message = letter(Subject="gone")
    message.set_content("hello")
    send(sandbox, message)
    until(lambda: letters(sandbox))
    sandbox.post("/_sandbox/reset")
    assert letters(sandbox) == []


def send_raw(sandbox: Sandbox, raw: bytes, to: str = "me@example.com") -> None:
    with smtplib.SMTP("127.0.0.1", sandbox.smtp_port, timeout=10) as server:
        server.sendmail("a@example.com", [to], raw)


PLAIN = b"Subject: plain\r\n\r\nhello\r\n"
NESTED = b"".join(
    b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (number, number)
    for number in range(1500)
)


def in_lines(pieces: bytes, number: int) -> bytes:
    """A header folded before each piece: no line of a letter is longer than SMTP allows."""
    return b"\r\n ".join([pieces] * number)


@pytest.mark.parametrize(
    "raw",
    [
        b"To: " + in_lines(b"(" * 500, 20) + b"\r\nSubject: comments\r\n\r\nbody\r\n",
        b"From: " + in_lines(b"(" * 500, 20) + b"\r\n\r\nbody\r\n",
        b"Content-Type: " + in_lines(b"(" * 500, 20) + b"\r\n\r\nbody\r\n",
        b"Content-Disposition: " + in_lines(b"(" * 500, 20) + b"\r\n\r\nbody\r\n",
        b'To: "\r\n\r\nbody\r\n',
        b"To: @\r\nCc: a@[\r\nBcc: <\r\n\r\nbody\r\n",
        b"Message-ID: <@>\r\nReply-To: =?utf-8?q??=\r\n\r\nbody\r\n",
        b"Content-Type: text/plain; name*=;;;\r\nMIME-Version: x.(\r\n\r\nbody\r\n",
        b"Content-Type: text/plain; charset*0*=x''%;charset*1=y\r\n\r\nbody\r\n",
        b"Content-Type: text/plain; charset=unicode_escape\r\n\r\nbody \\udc80\r\n",
        b"Content-Transfer-Encoding: base64\r\n\r\nbody\r\n",
        b"Content-Disposition: attachment; filename==?\r\n\r\nbody\r\n",
        NESTED + b"body",
        b"",
    ],
)
def test_a_hostile_letter_hides_no_other(sandbox: Sandbox, raw: bytes) -> None:
    send_raw(sandbox, PLAIN)
    send_raw(sandbox, raw)
    send_raw(sandbox, PLAIN)
    found = letters(sandbox)
    assert [item["subject"] for item in found][::2] == ["plain", "plain"]
    for item in found:
        assert sandbox.get(f"/inbox/{item['id']}").status_code == 200
    assert sandbox.get("/inbox").text.count('href="/inbox/') >= 3


def test_a_letter_that_cannot_be_read_is_shown_as_it_came(sandbox: Sandbox) -> None:
    send_raw(sandbox, NESTED + b"the end")
    (found,) = letters(sandbox)
    assert found["from"] == "a@example.com"
    assert found["text"].startswith("Content-Type: multipart/mixed; boundary=b0\n")
    assert found["text"].rstrip().endswith("the end")


def test_an_address_that_is_no_text_is_taken_and_shown(sandbox: Sandbox) -> None:
    with socket.create_connection(("127.0.0.1", sandbox.smtp_port), timeout=5) as line:
        answers = line.makefile("rb")
        answers.readline()
        for command in (
            b"HELO x",
            b"MAIL FROM:<\xed\xa0\x80@a.example>",
            b"RCPT TO:<\xff@b.example>",
        ):
            line.sendall(command + b"\r\n")
            answers.readline()
        line.sendall(b"DATA\r\n")
        answers.readline()
        line.sendall(PLAIN + b".\r\n")
        answers.readline()
    for item in letters(sandbox):
        json.dumps(item, ensure_ascii=False).encode()
    assert sandbox.get("/inbox").status_code == 200


def test_attachments_are_named_with_their_size(sandbox: Sandbox) -> None:
    message = letter(Subject="with a receipt")
    message.set_content("see there")
    message.add_attachment(b"%PDF-" + bytes(995), "application", "pdf", filename="Beleg Zoë.pdf")
    message.add_attachment("a,b\n", subtype="csv", filename="list.csv")
    send(sandbox, message)
    (found,) = letters(sandbox)
    assert found["text"] == "see there\n"
    assert found["attachments"] == [
        {"filename": "Beleg Zoë.pdf", "type": "application/pdf", "size": 1000},
        {"filename": "list.csv", "type": "text/csv", "size": 5},
    ]
    page = sandbox.get(f"/inbox/{found['id']}").text
    assert "Beleg Zoë.pdf · application/pdf · 1000 bytes" in page
