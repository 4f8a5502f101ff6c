"""What stands in a letter: subject, bodies, headers, attachments, for programs and pages.

Letters are strangers' and may be hostile: the email package raises whatever on some of them, at any
depth. No letter may hide the others, so what can't be read is shown as it came.
"""

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from email import policy
from email.message import EmailMessage, MIMEPart
from email.parser import BytesParser
from typing import TypeVar

from sandbox.store import JsonDict

log = logging.getLogger(__name__)

Read = TypeVar("Read")


def read(row: sqlite3.Row) -> JsonDict:
    """A row of the table ``mails``, for programs; ``to`` is the envelope's."""
    found = _attempt(lambda: _read(row))
    return _envelope(row) | ({"text": _as_it_came(row), **UNREAD} if found is None else found)


def summary(row: sqlite3.Row) -> JsonDict:
    """What the list shows; the bodies stay unread, as the page looks again every two seconds."""
    return _envelope(row) | (_attempt(lambda: _heading(row, headers_only=True)[0]) or {})


UNREAD: JsonDict = {"html": None, "headers": [], "attachments": []}


def _attempt(reading: Callable[[], Read]) -> Read | None:
    try:
        return reading()
    except Exception:
        # Among them RecursionError, TypeError, KeyError: see above.
        log.info("a letter can't be read, and is shown as it came", exc_info=True)
        return None


def _envelope(row: sqlite3.Row) -> JsonDict:
    return {
        "id": row["id"],
        "to": json.loads(row["recipients"]),
        "from": row["sender"],
        "subject": "",
        "received": row["received"],
    }


def _as_it_came(row: sqlite3.Row) -> str:
    return bytes(row["raw"]).decode(errors="replace").replace("\r\n", "\n")


def _heading(row: sqlite3.Row, *, headers_only: bool) -> tuple[JsonDict, EmailMessage]:
    message = BytesParser(policy=policy.default).parsebytes(row["raw"], headersonly=headers_only)
    sender = _header(message, "From") or row["sender"]
    return {"from": sender, "subject": _header(message, "Subject")}, message


def _read(row: sqlite3.Row) -> JsonDict:
    heading, message = _heading(row, headers_only=False)
    return heading | {
        "text": _body(message, "plain"),
        "html": _body(message, "html"),
        "headers": [
            (name, value) for name in dict.fromkeys(message) for value in _values(message, name)
        ],
        "attachments": list(_attachments(message)),
    }


def _header(message: EmailMessage, name: str) -> str:
    return next(iter(_values(message, name)), "")


def _values(message: EmailMessage, name: str) -> list[str]:
    """Decoded, or as they came."""
    found = _attempt(lambda: [str(value) for value in message.get_all(name, [])])
    if found is None:
        found = [str(value) for key, value in message.raw_items() if key.lower() == name.lower()]
    return [clean(value) for value in found]


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    return None if part is None else clean(_content(part)).replace("\r\n", "\n")


def _content(part: MIMEPart) -> str:
    try:
        return str(part.get_content())
    except (LookupError, ValueError):  # a charset nobody knows
        return _bytes(part).decode(errors="replace")


def _attachments(message: EmailMessage) -> Iterator[JsonDict]:
    """What has a name, or says that it is one; ``size`` in bytes, decoded."""
    for part in message.walk():
        name = part.get_filename()
        if name or part.get_content_disposition() == "attachment":
            yield {
                "filename": clean(name or ""),
                "type": part.get_content_type(),
                "size": len(_bytes(part)),
            }


def _bytes(part: MIMEPart) -> bytes:
    if part.is_multipart():  # a letter in the letter
        return b"".join(bytes(inner) for inner in part.iter_parts())
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def clean(text: str) -> str:
    """Without halves of characters, which no answer of ours could carry."""
    return text.encode(errors="replace").decode()
