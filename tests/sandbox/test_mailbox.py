"""The mailbox: every letter is taken, decoded, shown harmlessly."""

import smtplib
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from .conftest import Sandbox, eventually


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
    eventually(lambda: letters(sandbox))
    sandbox.post("/_sandbox/reset")
    assert letters(sandbox) == []
