"""The mailbox: an SMTP server that takes every letter, and the pages to read them."""

import json
import socket
from datetime import UTC, datetime
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from flask import Blueprint, Response, abort, render_template

from sandbox import store
from sandbox.mailbox import letters
from sandbox.store import JsonDict, Store
from sandbox.world import world

mailbox = Blueprint("mailbox", __name__, url_prefix="/inbox")

SHOWN = 50
KEPT = 2000
BYTES_KEPT = 64 * 1024 * 1024

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
                    letters.clean(envelope.mail_from or ""),
                    json.dumps([letters.clean(address) for address in envelope.rcpt_tos]),
                    envelope.original_content or b"",
                ),
            )
            store.keep_newest(db, "mails", "raw", KEPT, BYTES_KEPT)
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


def _find(mail_id: int) -> JsonDict:
    with world().store.reading() as db:
        row = db.execute("SELECT * FROM mails WHERE id = ?", (mail_id,)).fetchone()
    if row is None:
        abort(404)
    return letters.read(row)


@mailbox.get("")
def inbox() -> str:
    with world().store.reading() as db:
        rows = db.execute("SELECT * FROM mails ORDER BY id DESC LIMIT ?", (SHOWN,)).fetchall()
        total = db.execute("SELECT count(*) AS n FROM mails").fetchone()["n"]
    return render_template(
        "inbox.html",
        letters=[letters.summary(row) for row in rows],
        total=total,
        smtp_port=world().smtp_port,
    )


@mailbox.get("/messages.json")
def messages() -> Response:
    with world().store.reading() as db:
        rows = db.execute("SELECT * FROM mails ORDER BY id").fetchall()
    return Response(
        json.dumps([letters.read(row) for row in rows]), content_type="application/json"
    )


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
