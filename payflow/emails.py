"""Letters: which are owed, how they read, how they leave.

A letter is a row, queued in the transaction of the facts that call for it and delivered by a job,
never in a request. What a stranger typed stands in no letter to a customer: anyone can type another
person's address into the form.
"""

import logging
import smtplib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import css_inline
from flask import render_template
from flask_mail import Connection, Mail, Message
from sqlalchemy import case, literal, update
from sqlalchemy.dialects.postgresql import insert as upsert

from payflow import clock, formats, queue, timeline
from payflow.config import current_settings
from payflow.db import db
from payflow.models import EMAILS, Email

log = logging.getLogger(__name__)

TASK = "deliver_email"
# Seconds: for the connection and each command of SMTP.
SMTP_TIMEOUT = 20
# 5 s after the first, doubling to an hour (jobs.Backoff): 24 h in all.
TRIES = 33

QUEUE = upsert(EMAILS).on_conflict_do_nothing().returning(EMAILS.c.id)

mail = Mail()


class Undelivered(Exception):
    """The letter has not left; the job is to try again."""


@dataclass(frozen=True)
class Letter:
    """A kind of letter: its template under templates/emails/, and its subject line."""

    template: str
    subject: str


LETTERS: Mapping[str, Letter] = {
    "receipt": Letter("receipt", "Receipt from {business}: {amount} ({receipt_number})"),
    "owner_paid": Letter("owner_paid", "You’ve been paid {amount} ({receipt_number})"),
}


def owed_when_paid(email: str, alert_email: str) -> dict[str, str]:
    """The letters that a payment's success calls for: kind → recipient."""
    owed = {"receipt": email, "owner_paid": alert_email}
    return {kind: recipient for kind, recipient in owed.items() if recipient}


def queue_letters(payment_id: UUID, letters: Mapping[str, str]) -> None:
    """Queue letters (kind → recipient) and their jobs; those that exist already are left alone."""
    if not letters:
        return
    rows = [
        {"payment_id": payment_id, "kind": kind, "about": "", "recipient": recipient,
         "state": "queued", "tries": 0, "created_at": clock.now()}
        for kind, recipient in letters.items()
    ]  # fmt: skip
    queue.defer(*(_job(email_id) for email_id in db.session.scalars(QUEUE, rows)))


def _job(email_id: int) -> queue.Deferred:
    return queue.Deferred(TASK, {"email_id": email_id}, lock=f"email:{email_id}")


def deliver(email_id: int) -> None:
    """Send one letter and note what came of it. Commits; no transaction is open during SMTP.

    Raises Undelivered where another try may help. A process that dies between the server's
    acceptance and our commit sends again, under the same Message-ID.
    """
    email = db.session.get(Email, email_id)
    if email is None or email.state != "queued":
        log.info("email %s: nothing to deliver", email_id)
        return
    message = compose(email)
    db.session.rollback()
    try:
        with SmtpConnection(mail) as connection:
            connection.send(message)
    except smtplib.SMTPRecipientsRefused as error:
        reason = _words(error.recipients[next(iter(error.recipients))])
        note_failure(email_id, reason, final=_is_final(error))
    except (smtplib.SMTPException, OSError) as error:
        note_failure(email_id, f"{type(error).__name__}: {error}")
    else:
        _settle(email_id, state="sent", sent_at=clock.now(), last_error=None)
        log.info("email %s sent", email_id)


def compose(email: Email) -> Message:
    """The letter as a message: HTML with inlined styles, plain text, and stable identifiers."""
    settings = current_settings()
    letter, payment = LETTERS[email.kind], email.payment
    context = {"payment": payment, "page_url": f"{settings.public_url}/payments/{payment.id}"}
    message = Message(
        subject=letter.subject.format(
            business=settings.business.name,
            receipt_number=payment.receipt_number,
            amount=formats.amount(payment.amount, payment.currency),
        ),
        recipients=[email.recipient],
        sender=settings.mail_default_sender,
        reply_to=settings.business.email,
        body=render_template(f"emails/{letter.template}.txt", **context),
        html=css_inline.inline(render_template(f"emails/{letter.template}.html", **context)),
    )
    identity = f"{payment.id}.{email.kind}"
    message.msgId = f"<{identity}@{settings.public_host}>"
    message.extra_headers = {
        "Resend-Idempotency-Key": identity,
        "Auto-Submitted": "auto-generated",
    }
    return message


class SmtpConnection(Connection):
    """Flask-Mail's connection with what it lacks: a time-out, verified TLS, a forgiving QUIT."""

    def configure_host(self) -> smtplib.SMTP | smtplib.SMTP_SSL:
        settings = current_settings()
        address, context = (settings.mail_server, settings.mail_port), ssl.create_default_context()
        host: smtplib.SMTP | smtplib.SMTP_SSL
        if settings.mail_implicit_tls:
            host = smtplib.SMTP_SSL(*address, timeout=SMTP_TIMEOUT, context=context)
        else:
            host = smtplib.SMTP(*address, timeout=SMTP_TIMEOUT)
        try:
            if settings.mail_starttls:
                host.starttls(context=context)
            if settings.mail_password:
                host.login(settings.mail_username, settings.mail_password)
        except BaseException:
            host.close()
            raise
        return host

    def __exit__(self, *exc_info: object) -> None:
        # Accepted before QUIT: a server that drops here must not be sent the message again.
        if self.host is not None:
            try:
                self.host.quit()
            except (smtplib.SMTPException, OSError):
                self.host.close()


def _is_final(error: smtplib.SMTPRecipientsRefused) -> bool:
    return all(code >= 500 for code, _ in error.recipients.values())


def _words(refusal: tuple[int, bytes]) -> str:
    return f"{refusal[0]} {refusal[1].decode(errors='replace')}"


def note_failure(email_id: int, reason: str, *, final: bool = False) -> None:
    """Note why a letter did not leave, and commit.

    Raises Undelivered for the job to try again, unless it was final or the last try.
    """
    last = case((literal(final) | (Email.tries + 1 >= TRIES), "failed"), else_="queued")
    state = _settle(email_id, state=last, last_error=reason)
    log.warning("email %s not sent, now %s: %s", email_id, state, reason)
    if state == "queued":
        raise Undelivered(reason)


def _settle(email_id: int, **values: object) -> str | None:
    """Note the outcome of a try on the row, and an end of it on the payment's timeline.

    Answers the state it came to; None if somebody else had settled it.
    """
    statement = (
        update(Email)
        .where(Email.id == email_id, Email.state == "queued")
        .values(tries=Email.tries + 1, **values)
        .returning(Email.payment_id, Email.kind, Email.state)
    )
    row = db.session.execute(statement).one_or_none()
    if row is not None and row.state != "queued":
        timeline.note(row.payment_id, {f"email {row.kind}": row.state}, "mail server")
    db.session.commit()
    return row.state if row else None
