"""The mailbox: an SMTP server that takes every letter, and the pages to read them."""

import json
import socket
import sqlite3
from collections.abc import Iterable
from datetime import UTC, datetime
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from flask import Blueprint, Response, abort, render_template

from sandbox.store import JsonDict, Store
from sandbox.world import world

mailbox = Blueprint("mailbox", __name__, url_prefix="/inbox")

SHOWN = 50

# A letter is a stranger's page: no script, no form, no request off this machine; links open
# in a tab of their own.
LETTER_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox allow-same-origin; default-src 'none';"
    " style-src 'unsafe-inline'; img-src data: http://127.0.0.1:* http://localhost:*;"
    " base-uri 'self'; form-action 'none'; frame-ancestors 'self'"
)


class _Keeper:
    """aiosmtpd's handler: says 250 once the letter is stored."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        with self._store.transaction() as db:
            db.execute(
                "INSERT INTO mails (received, sender, recipients, raw) VALUES (?, ?, ?, ?)",
                (
                    datetime.now(UTC).isoformat(timespec="milliseconds"),
                    envelope.mail_from or "",
                    json.dumps(envelope.rcpt_tos),
                    envelope.original_content or b"",
                ),
            )
        return "250 2.0.0 OK: kept in the sandbox's mailbox"


class Sink(Controller):
    """Listens on a socket that is bound already, so that a port taken is known before the start."""

    def __init__(self, store: Store, listening: socket.socket) -> None:
        host, port = listening.getsockname()[:2]
        self._listening = listening
        super().__init__(
            _Keeper(store),
            hostname=host,
            port=port,
            enable_SMTPUTF8=True,
            auth_require_tls=False,
            authenticator=_anybody,
        )

    def _create_server(self) -> Any:
        return self.loop.create_server(self._factory_invoker, sock=self._listening)


def _anybody(*_: object) -> AuthResult:
    return AuthResult(success=True)


def parse(row: sqlite3.Row) -> JsonDict:
    """A letter for programs: decoded subject, bodies and headers; ``to`` is the envelope's."""
    message = BytesParser(policy=policy.default).parsebytes(row["raw"])
    return _summary(row) | {
        "text": _body(message, "plain"),
        "html": _body(message, "html"),
        "headers": _headers(message),
    }


def _summary(row: sqlite3.Row) -> JsonDict:
    """What the list shows; the bodies stay unread, as the page looks again every two seconds."""
    message = BytesParser(policy=policy.default).parsebytes(row["raw"], headersonly=True)
    return {
        "id": row["id"],
        "to": json.loads(row["recipients"]),
        "from": _header(message, "From") or row["sender"],
        "subject": _header(message, "Subject"),
        "received": row["received"],
    }


def _header(message: EmailMessage, name: str) -> str:
    return dict(_headers(message, only=name)).get(name, "")


def _headers(message: EmailMessage, only: str | None = None) -> list[tuple[str, str]]:
    names: Iterable[str] = message.keys() if only is None else [only] if only in message else []
    return [(name, value) for name in dict.fromkeys(names) for value in _values(message, name)]


def _values(message: EmailMessage, name: str) -> list[str]:
    """The email package raises on some malformed headers: those are shown as they came."""
    try:
        return [str(value) for value in message.get_all(name, [])]
    except (ValueError, IndexError, AttributeError, KeyError):
        return [str(value) for key, value in message.raw_items() if key.lower() == name.lower()]


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    if part is None:
        return None
    try:
        return str(part.get_content()).replace("\r\n", "\n")
    except (LookupError, ValueError):  # a charset nobody knows
        payload = part.get_payload(decode=True)
        return bytes(payload or b"").decode(errors="replace")


def _find(mail_id: int) -> JsonDict:
    with world().store.reading() as db:
        row = db.execute("SELECT * FROM mails WHERE id = ?", (mail_id,)).fetchone()
    if row is None:
        abort(404)
    return parse(row)


@mailbox.get("")
def inbox() -> str:
    with world().store.reading() as db:
        rows = db.execute("SELECT * FROM mails ORDER BY id DESC LIMIT ?", (SHOWN,)).fetchall()
        total = db.execute("SELECT count(*) AS n FROM mails").fetchone()["n"]
    letters = [_summary(row) for row in rows]
    return render_template("inbox.html", letters=letters, total=total, smtp_port=world().smtp_port)


@mailbox.get("/messages.json")
def messages() -> Response:
    with world().store.reading() as db:
        rows = db.execute("SELECT * FROM mails ORDER BY id").fetchall()
    return Response(json.dumps([parse(row) for row in rows]), content_type="application/json")


@mailbox.get("/<int:mail_id>")
def letter(mail_id: int) -> str:
    return render_template("letter.html", letter=_find(mail_id))


@mailbox.get("/<int:mail_id>/html")
def letter_html(mail_id: int) -> Response:
    html = _find(mail_id)["html"]
    if html is None:
        abort(404)
    response = Response(_links_leave_the_frame(html), content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = LETTER_POLICY
    return response


def _links_leave_the_frame(html: str) -> str:
    """``<base>`` belongs into the head: before a doctype it would change how the page looks."""
    base = '<base target="_blank">'
    at = html.lower().find("<head>")
    if at < 0:
        return html + base
    return html[: at + 6] + base + html[at + 6 :]
