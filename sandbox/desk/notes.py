"""What a page has to say after a form was sent: saved, started, or refused and why.

A form is answered with a redirect, so that Reload sends nothing again; the note waits here under a
token in the address. It lives as long as the process and about a hundred forms.
"""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from flask import request

MOST = 100


class Note(NamedTuple):
    """``where`` names the part of the page; ``typed`` is what a refused form held."""

    where: str
    sentence: str
    refused: bool = False
    typed: Mapping[str, str] = {}


NOTHING = Note("", "")

_kept: "OrderedDict[str, Note]" = OrderedDict()
_lock = threading.Lock()


def keep(note: Note) -> str:
    """The token to put into the address as ``note``."""
    token = secrets.token_urlsafe(6)
    with _lock:
        _kept[token] = note
        while len(_kept) > MOST:
            _kept.popitem(last=False)
    return token


def of_this_page() -> Note:
    with _lock:
        return _kept.get(request.args.get("note", ""), NOTHING)
