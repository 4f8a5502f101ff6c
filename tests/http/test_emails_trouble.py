"""Letters and mail servers that refuse, break off, never answer, or aren't who they say."""

import time
from datetime import timedelta
from email import message_from_bytes
from itertools import pairwise

import pytest

from payflow import emails
from sandbox.demo.postgres import free_port
from tests.mail_servers import (
    ELSEWHERE,
    Forgetful,
    Hasty,
    Keeper,
    Refusing,
    certificate,
    mail_server,
    silent_server,
)

STATES = "SELECT state, tries, sent_at IS NOT NULL FROM emails"
JOBS = """SELECT status::text, attempts, scheduled_at - now() FROM procrastinate_jobs
          WHERE task_name = 'deliver_email' AND status <> 'succeeded'"""


@pytest.fixture
def receipt_owed(completed, deliver, rows):
    """One letter is owed: the receipt."""
    assert deliver(completed()).status_code == 200
    rows("DELETE FROM emails WHERE kind = 'owner_paid' RETURNING 1")


@pytest.fixture
def try_again(rows):
    """The time of the next try has come."""

    def make_due():
        rows("UPDATE procrastinate_jobs SET scheduled_at = now() RETURNING 1")

    return make_due


@pytest.fixture
def work_with(mailbox, installed, work):
    """Do the work where letters go to the server on this port."""

    def run(port, **settings):
        with installed(MAIL_PORT=str(port), **settings).app_context():
            work()

    return run


@pytest.fixture
def trusted(tmp_path, monkeypatch):
    """A server's TLS with a certificate that this machine trusts."""
    public, context = certificate(tmp_path, "trusted")
    monkeypatch.setenv("SSL_CERT_FILE", str(public))
    return context


@pytest.fixture
def forged(tmp_path, monkeypatch, trusted):
    """A server's TLS with a certificate for the right name that nobody vouches for."""
    return certificate(tmp_path, "forged")[1]


ENCRYPTED = {"MAIL_SERVER": ELSEWHERE, "MAIL_PASSWORD": "payflow-tests"}

pytestmark = pytest.mark.usefixtures("receipt_owed")


def error_of(rows):
    ((error,),) = rows("SELECT last_error FROM emails")
    return error


def test_while_the_server_is_down_the_letter_waits_with_the_reason(work_with, rows, mailbox):
    work_with(free_port())
    assert rows(STATES) == [("queued", 1, False)]
    assert "ConnectionRefusedError" in error_of(rows)
    ((status, tries, pause),) = [row for row in rows(JOBS) if row[0] == "todo"][:1]
    assert (status, tries) == ("todo", 1)
    assert timedelta(0) < pause <= timedelta(seconds=10)


def test_when_the_server_is_back_the_letter_leaves(work_with, work, rows, mailbox, try_again):
    work_with(free_port())
    work()
    assert mailbox.letters() == []  # its time has not come
    try_again()
    work()
    assert [letter["to"] for letter in mailbox.letters()] == [["customer@example.com"]]
    assert rows(STATES) == [("sent", 2, True)]
    assert error_of(rows) is None


def test_the_pause_between_tries_doubles(work_with, rows, try_again):
    pauses, port = [], free_port()
    for _ in range(4):
        work_with(port)
        ((pause,),) = rows(
            "SELECT max(scheduled_at) - now() FROM procrastinate_jobs WHERE status = 'todo'"
            " AND task_name = 'deliver_email'"
        )
        pauses.append(pause.total_seconds())
        try_again()
    assert rows(STATES) == [("queued", 4, False)]
    for before, after in pairwise(pauses):
        assert after == pytest.approx(2 * before, abs=2)


def test_after_as_many_tries_as_make_a_day_the_letter_is_given_up(work_with, rows, try_again):
    port = free_port()
    work_with(port)
    rows("UPDATE emails SET tries = tries + 31 RETURNING id")
    try_again()
    work_with(port)
    assert rows(STATES) == [("failed", 33, False)]
    assert "ConnectionRefusedError" in error_of(rows)
    assert [row for row in rows(JOBS) if row[0] == "todo"] == []
    timeline = rows("SELECT subject, happened FROM timeline_entries WHERE source = 'mail server'")
    assert timeline == [("email receipt", "failed")]


def test_a_recipient_that_is_refused_for_good_is_given_up_at_once(work_with, rows):
    with mail_server(Refusing("550 5.1.1 No such user here")) as port:
        work_with(port)
    assert rows(STATES) == [("failed", 1, False)]
    assert error_of(rows) == "550 5.1.1 No such user here"
    assert [row for row in rows(JOBS) if row[0] == "todo"] == []


def test_a_recipient_that_is_refused_for_now_is_tried_again(work_with, rows, try_again):
    with mail_server(Refusing("451 4.7.1 Greylisted, try again later")) as port:
        work_with(port)
    assert rows(STATES) == [("queued", 1, False)]
    assert error_of(rows) == "451 4.7.1 Greylisted, try again later"
    try_again()
    taker = Keeper()
    with mail_server(taker) as port:
        work_with(port)
    assert len(taker.letters) == 1
    assert rows(STATES) == [("sent", 2, True)]


def test_a_server_that_drops_the_line_at_the_end_has_taken_the_letter(work_with, work, rows):
    taker = Hasty()
    with mail_server(taker) as port:
        work_with(port)
        assert rows(STATES) == [("sent", 1, True)]
        work_with(port)
    assert len(taker.letters) == 1


def test_a_letter_sent_twice_can_be_told_to_be_the_same(work_with, rows, try_again):
    """The server has it, and we don't know: its identifiers let others drop the second."""
    taker = Forgetful()
    with mail_server(taker) as port:
        work_with(port)
        try_again()
        work_with(port)
    first, second = (message_from_bytes(letter.content) for letter in taker.letters)
    for name in ("Message-ID", "Resend-Idempotency-Key"):
        assert first[name]
        assert first[name] == second[name]
    assert rows(STATES) == [("sent", 2, True)]


def test_a_server_that_never_answers_does_not_hold_the_worker(work_with, rows, monkeypatch):
    monkeypatch.setattr(emails, "SMTP_TIMEOUT", 0.3)  # the clock: seconds are shortened
    began = time.monotonic()
    with silent_server() as port:
        work_with(port)
    assert time.monotonic() - began < 10
    assert rows(STATES) == [("queued", 1, False)]
    assert "timed out" in error_of(rows)


# --- TLS -------------------------------------------------------------------------------------


def test_a_letter_leaves_this_machine_by_starttls(work_with, rows, trusted):
    taker = Keeper()
    with mail_server(taker, tls_context=trusted, auth_required=True) as port:
        work_with(port, **ENCRYPTED)
    assert rows(STATES) == [("sent", 1, True)]
    assert [letter.rcpt_tos for letter in taker.letters] == [["customer@example.com"]]


def test_a_forged_certificate_is_refused_and_nothing_sent(work_with, rows, forged):
    taker = Keeper()
    with mail_server(taker, tls_context=forged, auth_required=True) as port:
        work_with(port, **ENCRYPTED)
    assert taker.letters == []
    assert rows(STATES) == [("queued", 1, False)]
    assert "CERTIFICATE_VERIFY_FAILED" in error_of(rows)


def test_a_server_that_offers_no_encryption_is_sent_nothing(work_with, rows, trusted):
    taker = Keeper()
    with mail_server(taker, auth_require_tls=False) as port:
        work_with(port, **ENCRYPTED)
    assert taker.letters == []
    assert rows(STATES) == [("queued", 1, False)]
    assert "STARTTLS" in error_of(rows)


IMPLICIT = 2465  # payflow knows servers that speak TLS from the first byte by their port


def test_a_letter_leaves_this_machine_by_implicit_tls(work_with, rows, trusted):
    taker = Keeper()
    with mail_server(taker, IMPLICIT, ssl_context=trusted, auth_require_tls=False) as port:
        work_with(port, **ENCRYPTED)
    assert rows(STATES) == [("sent", 1, True)]
    assert len(taker.letters) == 1


def test_a_forged_certificate_is_refused_by_implicit_tls_too(work_with, rows, forged):
    taker = Keeper()
    with mail_server(taker, IMPLICIT, ssl_context=forged, auth_require_tls=False) as port:
        work_with(port, **ENCRYPTED)
    assert taker.letters == []
    assert rows(STATES) == [("queued", 1, False)]
    assert "CERTIFICATE_VERIFY_FAILED" in error_of(rows)
