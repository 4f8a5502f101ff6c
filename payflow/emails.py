"""Letters: how they are made into messages, and how they leave.

letters.py says which are owed, outbox.py queues them, letter_words/ says what they say. They are
delivered by a job, never in a request.
"""

import logging
import smtplib
import ssl
import time
from email.charset import QP, Charset
from email.header import Header
from email.mime.base import MIMEBase
from email.mime.text import MIMEText
from email.policy import SMTP, compat32
from email.utils import formataddr, parseaddr
from hashlib import sha256

import css_inline
from babel import Locale
from flask import render_template
from flask_mail import Connection, Mail, Message
from sqlalchemy import case, literal, update
from sqlalchemy.exc import OperationalError

from payflow import clock, i18n, outbox, queue, timeline
from payflow.config import Settings, current_settings
from payflow.db import AnyRow, db
from payflow.known import facts_of, lock_row
from payflow.letter_words import LETTERS, WORDS, owner
from payflow.letter_words.parts import Matter, Words, refunded_or_paid
from payflow.models import Email
from payflow.record import found_by_sweep

log = logging.getLogger(__name__)

# Seconds: for the connection and each command of SMTP.
SMTP_TIMEOUT = 20
# 5 s after the first, doubling to an hour (jobs.Backoff): 24 h in all.
TRIES = 33
# Seconds between tries to note that a letter has left: in all, what a worker has left to live where
# the database is away (worker.GRACE).
PAUSES = (0.5, 1, 2, 4)

# Characters: a line of SMTP takes no more.
UNFOLDED = SMTP.clone(max_line_length=998)
QUOTED_PRINTABLE = Charset("utf-8")
QUOTED_PRINTABLE.body_encoding = QP

mail = Mail()


class Undelivered(Exception):
    """The letter has not left; the job is to try again."""


class NotResendable(Exception):
    """A letter that can't be sent again now; the message says why."""


def deliver(email_id: int) -> None:
    """Send one letter and note what came of it. Commits; no transaction is open during SMTP.

    Raises Undelivered where another try may help. A process that dies between the server's
    acceptance and our commit sends again, under the same Message-ID.
    """
    email = db.session.get(Email, email_id)
    if email is None or email.state != "queued":
        log.info("email %s: nothing to deliver", email_id)
        return
    if _has_passed(email):
        _settle(email_id, state="skipped")
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
        _note_sent(email_id)
        log.info("email %s sent", email_id)


def _has_passed(email: Email) -> bool:
    """Whether what the letter is about has passed since it was queued. Locks its payment: else what
    is recorded meanwhile could find it queued, and it would be skipped all the same."""
    # One that is sent again by hand is sent, whatever has passed.
    if not LETTERS[email.kind].passing or email.resends:
        return False
    assert email.payment
    lock_row(email.payment.id)
    return not _is_still_owed(email)


def _is_still_owed(email: Email) -> bool:
    """Whether the payment's facts call for this letter now, and not only when it was queued."""
    assert email.payment
    if email.payment.replaced_at and email.kind == "payment_failed":
        # The customer has sent the form again with something changed, and knows.
        return False
    known = facts_of(email.payment.id)
    standing = known.standing(email.payment.amount)
    return (email.kind, email.about) in {
        (letter.kind, letter.about) for letter in known.owed(email.payment.amount, standing)
    }


def send_again(email_id: int) -> Email:
    """Queue a letter once more, to be sent under a Message-ID of its own; does not commit.

    Raises NotResendable where there is none, or one that is on its way.
    """
    email = db.session.get(Email, email_id, with_for_update=True)
    if email is None:
        raise NotResendable(f"There is no letter {email_id}.")
    if email.state == "queued":
        raise NotResendable(f"Letter {email_id} is queued already; it goes by itself.")
    email.state, email.tries, email.sent_at, email.last_error = "queued", 0, None, None
    email.resends += 1
    queue.defer(outbox.job_of(email_id))
    return email


def compose(email: Email) -> Message:
    """The letter as a message, in its reader's language: HTML with inlined styles, plain text of
    the same words, and stable identifiers."""
    settings = current_settings()
    with i18n.reading(_language_of(email)):
        matter = _matter_of(email)
        subject = _subject_line(email, matter)
        context = {
            "words": _words_of(email, matter),
            "subject": subject,
            "test": _is_test(email),
            "to_owner": _is_owners(email),
        }
        message = Sturdy(
            subject=subject,
            recipients=[email.recipient],
            sender=parseaddr(settings.mail_default_sender)[1],
            reply_to=settings.business.email,
            body=render_template("emails/letter.txt", **context),
            html=css_inline.inline(render_template("emails/letter.html", **context)),
        )
    identity = _identity(email)
    message.msgId = f"<{identity}@{settings.public_host}>"
    message.extra_headers = {
        "Resend-Idempotency-Key": identity,
        "Auto-Submitted": "auto-generated",
    }
    return message


class Sturdy(Message):
    """A message that servers pass on as it is: parts are quoted-printable, so that their lines are
    short and of seven bits; headers are folded nowhere but within encoded words, for programs
    differ in how they put a folded one together."""

    def _mimetext(self, text: str | None, subtype: str = "plain") -> MIMEText:
        # A Charset is taken as well as its name, which the type stubs do not know.
        return MIMEText(text or "", subtype, QUOTED_PRINTABLE)  # type: ignore[arg-type]

    def _message(self) -> MIMEBase:
        message = super()._message()
        message.policy = compat32  # by which a header may be folded already
        message.replace_header("From", _author(current_settings()))
        message.policy = UNFOLDED
        return message


def _author(settings: Settings) -> str:
    """The sender with its own name, else the business's: never a mere address. Flask-Mail would
    lose the address of a name with both a comma and an umlaut, and break a long one."""
    name, address = parseaddr(settings.mail_default_sender)
    name = name or settings.business.name
    if name.isascii():
        return formataddr((name, address))
    return f"{Header(name, 'utf-8', header_name='From').encode()} <{address}>"


def _language_of(email: Email) -> str:
    """The customer's is the form's; the owner's is LOCALE's."""
    if email.payment is None or _is_owners(email):
        return Locale.parse(current_settings().locale).language
    return email.payment.language


def _subject_line(email: Email, matter: Matter | None) -> str:
    payment = email.payment
    return str(LETTERS[email.kind].subject).format(
        business=current_settings().business.name,
        receipt_number=payment.receipt_number if payment else "",
        amount=refunded_or_paid(matter) if matter else "",
    )


def _matter_of(email: Email) -> Matter | None:
    """What is known of the payment that a letter is about."""
    payment = email.payment
    if payment is None:
        return None
    known = facts_of(payment.id)
    return Matter(payment, known, known.standing(payment.amount), email.about)


def _words_of(email: Email, matter: Matter | None) -> Words:
    if matter is None:
        if email.kind == "owner_lost_payment":
            return owner.lost_payment(email.about, email.created_at)
        return owner.webhooks(email.about, email.created_at, found_by_sweep())
    return WORDS[email.kind](matter)


def _is_owners(email: Email) -> bool:
    """Whether it is to the owner, who is not to be told whom to ask."""
    return email.kind.startswith("owner_")


def _is_test(email: Email) -> bool:
    """Whether it is about what moves no money."""
    return not (email.payment or current_settings()).livemode


def _identity(email: Email) -> str:
    """The same for every try at this letter, and for no other letter."""
    parts = [str(email.payment_id or "payflow"), email.kind]
    if email.about:
        parts.append(sha256(email.about.encode()).hexdigest()[:16])
    if email.resends:
        parts.append(f"again{email.resends}")
    return ".".join(parts)


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


def _note_sent(email_id: int) -> None:
    """Note that the server has taken the letter, and try so several times where a connection breaks
    or the database is away for a moment: what is not noted is sent again."""
    for pause in PAUSES:
        try:
            _settle(email_id, state="sent", sent_at=clock.now(), last_error=None)
        except OperationalError as error:
            db.session.rollback()
            log.warning("email %s sent, and not yet noted: %s", email_id, error)
            # In the job's own thread, with no transaction open: nothing tells when it is back.
            time.sleep(pause)
        else:
            return
    _settle(email_id, state="sent", sent_at=clock.now(), last_error=None)


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
        .returning(Email.payment_id, Email.kind, Email.about, Email.state)
    )
    row = db.session.execute(statement).one_or_none()
    if row is not None and row.payment_id and row.state != "queued":
        timeline.note(row.payment_id, [(_entry_of(row), row.state)], "mail server")
    db.session.commit()
    return row.state if row else None


def _entry_of(email: AnyRow) -> str:
    return f"email {email.kind} {email.about}".strip()
