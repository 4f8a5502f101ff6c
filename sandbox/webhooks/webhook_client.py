"""One sending over the wire: straight to the endpoint, no proxy, no redirect followed.

What was written once is never written again from here, whatever became of it: the endpoint may have
done its work. The retry schedule sends anew, as Stripe's does.
"""

import http.client
import io
import select
import socket
import threading
import time
from collections import OrderedDict
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

# From the first packet of the connection to the last byte of the answer.
TIMEOUT_S = 10.0
KEPT_OF_ANSWER = 4000  # bytes
LONGEST_ANSWER = 1024 * 1024
MOST_LINES_KEPT = 32


class Answer(NamedTuple):
    """What became of one sending; ``status`` is None if no answer came."""

    status: int | None
    text: str
    headers: dict[str, str]
    took_ms: int

    @property
    def good(self) -> bool:
        """Redirects are failures, as they are with Stripe."""
        return self.status is not None and 200 <= self.status < 300


def post(url: str, body: bytes, signature: str) -> Answer:
    """``signature`` is the value of ``Stripe-Signature``. Raises nothing."""
    headers = {
        "Accept": "*/*; q=0.5, application/xml",
        "Cache-Control": "no-cache",
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signature,
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }
    started = time.monotonic()
    status: int | None = None
    try:
        status, text = _exchange(urlsplit(url), body, headers, started + TIMEOUT_S)
    except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
        text = f"Not answered: {error}"
    except Exception as error:
        # Whatever an endpoint says to us is its failure and must be recorded as one.
        text = f"{type(error).__name__}: {error}"
    took_ms = round((time.monotonic() - started) * 1000)
    return Answer(status, text, headers, took_ms)


class _Lines:
    """Connections that nobody uses now: a new one costs more than what is said over it.

    Only so many, the longest unused closed first: each holds a file descriptor, and endpoints come
    and go.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[http.client.HTTPConnection, tuple[str, str]] = OrderedDict()

    def take(self, url: SplitResult) -> http.client.HTTPConnection:
        """One that is open still, or a new one."""
        while (line := self._last_used(_place(url))) is not None:
            if _is_quiet(line):
                return line
            line.close()
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        return kind(url.hostname or "", url.port, timeout=TIMEOUT_S)

    def _last_used(self, place: tuple[str, str]) -> http.client.HTTPConnection | None:
        with self._lock:
            for line in reversed(self._kept):
                if self._kept[line] == place:
                    del self._kept[line]
                    return line
        return None

    def keep(self, url: SplitResult, line: http.client.HTTPConnection) -> None:
        with self._lock:
            self._kept[line] = _place(url)
            surplus = [
                self._kept.popitem(last=False)[0] for _ in range(len(self._kept) - MOST_LINES_KEPT)
            ]
        for each in surplus:
            each.close()


_lines = _Lines()


def _place(url: SplitResult) -> tuple[str, str]:
    return url.scheme, url.netloc


def _is_quiet(line: http.client.HTTPConnection) -> bool:
    """Nothing came since the last answer: what is there to be read is the other side's end."""
    if line.sock is None:
        return False
    look = select.poll()
    look.register(line.sock, select.POLLIN)
    return not look.poll(0)


class _Timed(io.RawIOBase):
    """Reads from a socket until a moment, however little comes at a time."""

    def __init__(self, sock: socket.socket, until: float) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        self._until = until

    def makefile(self, _: str) -> io.BufferedReader:
        return io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_left(self._until))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _answer_until(until: float) -> Any:
    def response(sock: socket.socket, **more: Any) -> http.client.HTTPResponse:
        # Of a socket it wants makefile() alone, which _Timed has.
        return http.client.HTTPResponse(_Timed(sock, until), **more)  # type: ignore[arg-type]

    return response


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left


def _exchange(
    url: SplitResult, body: bytes, headers: dict[str, str], until: float
) -> tuple[int, str]:
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    line = _lines.take(url)
    reusable = False
    try:
        if line.sock is None:
            line.connect()
        line.sock.settimeout(_left(until))
        line.request("POST", target, body, headers)
        line.response_class = _answer_until(until)
        with closing(line.getresponse()) as response:
            text = response.read(LONGEST_ANSWER)[:KEPT_OF_ANSWER].decode(errors="replace")
            reusable = response.isclosed() and not response.will_close
        return response.status, text
    finally:
        if reusable:
            _lines.keep(url, line)
        else:
            line.close()
