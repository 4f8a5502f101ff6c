"""One sending over the wire, to endpoints that behave worse than any library's."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import stripe

from sandbox.webhooks import webhook_client
from tests.sandbox.conftest import SECRET, Sandbox
from tests.sandbox.merchant import expire_one
from tests.stack import until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

# Gets the open line; sends what it likes.
Behaviour = Callable[["Rude", socket.socket], None]


class Rude:
    """An endpoint on bare sockets: ``posts`` counts the requests that came, whole."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.posts = 0
        self.lines = 0
        self._behaviour = behaviour
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            self.lines += 1
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with line:
            try:
                self._behaviour(self, line)
            except OSError:
                return

    def take(self, line: socket.socket) -> bool:
        """Reads one request; False at the end of the line."""
        with line.makefile("rb") as request:
            head = request.readline()
            length = 0
            while (header := request.readline()).strip():
                if header.lower().startswith(b"content-length:"):
                    length = int(header.split(b":")[1])
            request.read(length)
        self.posts += bool(head)
        return bool(head)

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


@pytest.fixture
def rude() -> Iterator[Callable[[Behaviour], Rude]]:
    made: list[Rude] = []

    def make(behaviour: Behaviour) -> Rude:
        made.append(Rude(behaviour))
        return made[-1]

    yield make
    for each in made:
        each.close()


def patient(rude: Rude, line: socket.socket) -> None:
    while rude.take(line):
        line.sendall(OK)


def hangs_up_on_the_second(rude: Rude, line: socket.socket) -> None:
    rude.take(line)
    line.sendall(OK)
    rude.take(line)


def hangs_up_when_answered(rude: Rude, line: socket.socket) -> None:
    rude.take(line)
    line.sendall(OK)


def answers_a_byte_at_a_time(rude: Rude, line: socket.socket) -> None:
    rude.take(line)
    while True:
        line.sendall(b"H" if rude.posts == 0 else OK[:1])
        threading.Event().wait(0.05)


def test_what_was_written_is_not_written_again_when_the_line_is_cut(
    client: stripe.StripeClient, sandbox: Sandbox, rude: Any
) -> None:
    it = rude(hangs_up_on_the_second)
    sandbox.set(webhook_url=it.url, webhook_secret=SECRET, retry_schedule_s=[])
    expire_one(client)
    until(lambda: len(delivered(client)) == 1)
    expire_one(client)
    (lost,) = until(lambda: undelivered(client))
    page = until(lambda: (page := sandbox.get(f"/events/{lost}").text).count("attempt-") and page)
    assert "Not answered" in page
    assert page.count('class="attempt"') == 1
    assert (it.posts, it.lines) == (2, 1)


def delivered(client: stripe.StripeClient) -> list[str]:
    return [event.id for event in client.v1.events.list({"delivery_success": True}).data]


def undelivered(client: stripe.StripeClient) -> list[str]:
    return [event.id for event in client.v1.events.list({"delivery_success": False}).data]


def test_a_line_that_was_closed_meanwhile_is_not_used(
    client: stripe.StripeClient, sandbox: Sandbox, rude: Any
) -> None:
    it = rude(hangs_up_when_answered)
    sandbox.set(webhook_url=it.url, webhook_secret=SECRET, retry_schedule_s=[])
    for number in (1, 2, 3):
        expire_one(client)
        until(lambda number=number: len(delivered(client)) == number)
    assert (it.posts, it.lines) == (3, 3)


def test_an_endpoint_has_ten_seconds_for_all_of_its_answer(
    rude: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_client, "TIMEOUT_S", 0.5)
    answer = webhook_client.post(rude(answers_a_byte_at_a_time).url, b"{}", "t=1,v1=0")
    assert answer.status is None
    assert "timed out" in answer.text
    assert answer.took_ms >= 500


def test_lines_to_endpoints_of_the_past_are_closed(rude: Any) -> None:
    port = rude(patient).url.rsplit(":", 1)[1]
    before = len(os.listdir("/proc/self/fd"))
    for number in range(webhook_client.MOST_LINES_KEPT * 2):
        answer = webhook_client.post(f"http://user-{number}@127.0.0.1:{port}", b"{}", "t=1,v1=0")
        assert answer.status == 200
    # Both ends of each line are this process's.
    until(
        lambda: len(os.listdir("/proc/self/fd")) <= before + 2 * webhook_client.MOST_LINES_KEPT + 2
    )


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/ü", "http://127.0.0.1:9/ x", "nonsense"])
def test_whatever_goes_wrong_is_an_answer(url: str) -> None:
    answer = webhook_client.post(url, b"{}", "t=1,v1=0")
    assert answer.status is None
    assert answer.text
