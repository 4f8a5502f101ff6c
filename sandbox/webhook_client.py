"""One sending over the wire: straight to the endpoint, no proxy, no redirect followed."""

import http.client
import threading
import time
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from sandbox import signatures
from sandbox.settings import Endpoint

TIMEOUT_S = 10.0
KEPT_OF_ANSWER = 4000  # bytes
LONGEST_ANSWER = 1024 * 1024

# Each thread keeps the lines it opened: a new one costs more than what is said over it.
_lines = threading.local()


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


def post(endpoint: Endpoint, body: bytes, at: float, *, corrupt: bool = False) -> Answer:
    """``at`` is the signature's time, epoch seconds; ``corrupt`` signs with no one's secret."""
    secret = "whsec_of_no_one" if corrupt else endpoint.secret
    headers = {
        "Accept": "*/*; q=0.5, application/xml",
        "Cache-Control": "no-cache",
        "Content-Type": "application/json; charset=utf-8",
        "Stripe-Signature": signatures.header(body, secret, int(at)),
        "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
    }
    started = time.monotonic()
    try:
        status, text = _exchange(urlsplit(endpoint.url), body, headers)
    except (OSError, http.client.HTTPException) as error:
        status, text = None, f"{type(error).__name__}: {error}"
    took_ms = round((time.monotonic() - started) * 1000)
    return Answer(status, text, headers, took_ms)


def _exchange(url: SplitResult, body: bytes, headers: dict[str, str]) -> tuple[int | None, str]:
    """A kept line may have been closed by the other side meanwhile: then over a new one."""
    kept = _kept_lines().pop(url.netloc, None)
    if kept is not None:
        try:
            return _say(kept, url, body, headers)
        except (http.client.RemoteDisconnected, ConnectionError):
            kept.close()
    return _say(_open(url), url, body, headers)


def _kept_lines() -> dict[str, http.client.HTTPConnection]:
    kept: dict[str, http.client.HTTPConnection] | None = getattr(_lines, "kept", None)
    if kept is None:
        kept = _lines.kept = {}
    return kept


def _open(url: SplitResult) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    return kind(url.hostname or "", url.port, timeout=TIMEOUT_S)


def _say(
    line: http.client.HTTPConnection, url: SplitResult, body: bytes, headers: dict[str, str]
) -> tuple[int, str]:
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    reusable = False
    try:
        line.request("POST", target, body, headers)
        response = line.getresponse()
        text = response.read(LONGEST_ANSWER)[:KEPT_OF_ANSWER].decode(errors="replace")
        reusable = response.isclosed() and not response.will_close
        return response.status, text
    finally:
        if reusable:
            _kept_lines()[url.netloc] = line
        else:
            line.close()
