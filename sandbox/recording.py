"""``--record FILE``: each exchange under /v1 and each event, one line of JSON each.

For checks that hold them against Stripe's published document. It stands outside of the API, so what
is written is what went over the wire: the body as it came, the answer as it left. Events are
written as they are stored, whether anybody fetches them or not.
"""

import io
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

from sandbox.server import RESET, SILENCE
from sandbox.store import JsonDict, Store


class Recording:
    """Appends to one file, each line in one write."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def watch(self, store: Store) -> None:
        store.on_event(lambda body: self.write({"event": json.loads(body)}))

    def write(self, record: JsonDict) -> None:
        line = json.dumps(record, ensure_ascii=False) + "\n"
        os.write(self._file, line.encode())

    def around(self, app: WSGIApplication) -> WSGIApplication:
        """The app, its API's exchanges written down; an answer that never came has no status."""

        def recorded(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            if not environ["PATH_INFO"].startswith("/v1/"):
                return app(environ, start_response)
            exchange = _request(environ)
            started: list[Any] = []

            def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
                started[:] = [int(status[:3]), dict(headers)]
                return start_response(status, headers, exc_info)

            try:
                content = _all_of(app(environ, start))
                if RESET not in environ and SILENCE not in environ:
                    exchange |= {"status": started[0], "answer_headers": started[1]}
                    exchange["answer"] = content.decode(errors="replace")
            finally:
                self.write({"exchange": exchange})
            return [content]

        return recorded


def _request(environ: dict[str, Any]) -> JsonDict:
    body = environ["wsgi.input"].read()
    environ["wsgi.input"] = io.BytesIO(body)
    return {
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "query": environ["QUERY_STRING"],
        "body": body.decode(errors="replace"),
        "stripe_version": environ.get("HTTP_STRIPE_VERSION"),
        "user_agent": environ.get("HTTP_USER_AGENT"),
        "status": None,
        "answer_headers": {},
        "answer": None,
    }


def _all_of(chunks: Iterable[bytes]) -> bytes:
    try:
        return b"".join(chunks)
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()
