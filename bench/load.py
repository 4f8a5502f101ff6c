"""The load: requests made beforehand, sent over a few kept-alive connections as fast as they are
answered. Knows nothing of what it asks; an answer other than 200 ends the benchmark."""

import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

# Seconds that an answer may take.
TIMEOUT = 15
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class WrongAnswer(Exception):
    """An answer other than 200; the message is its beginning."""


def request(
    method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> bytes:
    """An HTTP request as it goes over the wire."""
    parts = urlsplit(url)
    lines = {"Host": parts.netloc, "Content-Length": str(len(body)), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def rate(url: str, requests: Sequence[bytes], connections: int) -> float:
    """Send all requests, each over whichever connection is free; answers per second."""
    parts = urlsplit(url)
    address, waiting = (str(parts.hostname), int(parts.port or 80)), iter(requests)
    connected = threading.Barrier(connections + 1)
    with ThreadPoolExecutor(connections) as pool:
        senders = [pool.submit(_send, address, waiting, connected) for _ in range(connections)]
        connected.wait(TIMEOUT)
        started = time.perf_counter()
        for sender in senders:
            sender.result()
        return len(requests) / (time.perf_counter() - started)


def _send(address: tuple[str, int], waiting: Iterator[bytes], connected: threading.Barrier) -> None:
    with socket.create_connection(address, TIMEOUT) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.wait(TIMEOUT)
        for each in waiting:
            connection.sendall(each)
            _read_answer(connection)


def _read_answer(connection: socket.socket) -> None:
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += _receive(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    length = CONTENT_LENGTH.search(head + b"\r\n")
    if not head.startswith(b"HTTP/1.1 200 ") or length is None:
        raise WrongAnswer(answer[:500].decode(errors="replace"))
    missing = int(length[1]) - len(body)
    while missing > 0:
        missing -= len(_receive(connection))


def _receive(connection: socket.socket) -> bytes:
    received = connection.recv(65536)
    if not received:
        raise WrongAnswer("the server closed the connection")
    return received
