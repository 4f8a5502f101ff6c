"""How many payments a second the stand-in for Stripe takes: `python -m bench.sandbox`.

Customers pay one after the other, as fast as they are answered: a session by the API, its page, the
form sent, the way back that waits for the webhook's answer. Prints payments per second and the CPU
time of one. Everything is on the loopback, and ends within half a minute.
"""

import asyncio
import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import quantiles
from urllib.parse import urlencode, urlsplit

ROOT = Path(__file__).resolve().parent.parent
SECONDS = float(os.environ.get("BENCH_SECONDS", "10"))
CUSTOMERS = 16
LONGEST_WAIT_S = 10.0  # for what is still to be delivered at the end
STARTED = re.compile(r"sandbox: Stripe (http://\S+)")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
FORM = "application/x-www-form-urlencoded"

SESSION = urlencode(
    {
        "mode": "payment",
        "line_items[0][price_data][currency]": "eur",
        "line_items[0][price_data][unit_amount]": "1250",
        "line_items[0][price_data][product_data][name]": "Invoice 2026-118",
        "line_items[0][quantity]": "1",
        "success_url": "http://127.0.0.1:9/paid",
    }
).encode()
CARD = urlencode(
    {
        "email": "customer@example.com",
        "number": "4242424242424242",
        "expiration": "12 / 40",
        "cvc": "123",
        "name": "A. Customer",
    }
).encode()

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Receiver:
    """A merchant's webhook; counts deliveries and notes which sessions it was told are paid."""

    def __init__(self) -> None:
        self.deliveries = 0
        self.paid: set[str] = set()

    async def serve(self) -> tuple[asyncio.Server, str]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        return server, f"http://127.0.0.1:{port}/webhooks"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            _, body = await read_message(reader)
            event = json.loads(body)
            self.deliveries += 1
            if event["type"] == "checkout.session.completed":
                self.paid.add(event["data"]["object"]["id"])
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        writer.close()


async def read_message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The head and the body of a request or an answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = LENGTH.search(head)
    return head, await reader.readexactly(int(length[1]) if length else 0)


async def ask(streams: Streams, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    reader, writer = streams
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {FORM}\r\n"
        f"Authorization: Bearer sk_test_payflow_bench\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    answer, content = await read_message(reader)
    return int(answer.split(b" ", 2)[1]), content


async def customer(url: str, until: float, took_s: list[float], paid: list[str]) -> None:
    parts = urlsplit(url)
    streams = await asyncio.open_connection(parts.hostname, parts.port)
    while time.monotonic() < until:
        began = time.monotonic()
        status, content = await ask(streams, "POST", "/v1/checkout/sessions", SESSION)
        expect(status, 200, content)
        session = json.loads(content)
        page = urlsplit(session["url"]).path
        expect((await ask(streams, "GET", page))[0], 200, content)
        status, content = await ask(streams, "POST", page, CARD)
        expect(status, 303, content)
        took_s.append(time.monotonic() - began)
        paid.append(session["id"])
    streams[1].close()


def expect(status: int, wanted: int, content: bytes) -> None:
    if status != wanted:
        raise SystemExit(f"the stand-in answered {status}: {content[:300].decode()}")


async def measure() -> str:
    receiver = Receiver()
    server, webhook = await receiver.serve()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "sandbox", "--port", "0"),
            *("--webhook-url", webhook, "--webhook-secret", "whsec_payflow_bench"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = await asyncio.to_thread(process.stdout.readline)
        match = STARTED.match(line)
        if match is None:
            raise SystemExit(f"the stand-in did not start: {line}")
        return await load(match[1], receiver, process)
    finally:
        process.kill()
        process.wait()
        server.close()


async def load(url: str, receiver: Receiver, process: "subprocess.Popen[str]") -> str:
    took_s: list[float] = []
    paid: list[str] = []
    began = time.monotonic()
    await asyncio.gather(*[customer(url, began + SECONDS, took_s, paid) for _ in range(CUSTOMERS)])
    lasted = time.monotonic() - began
    deadline = time.monotonic() + LONGEST_WAIT_S
    while not receiver.paid.issuperset(paid) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    process.terminate()
    await asyncio.to_thread(process.wait, 5)
    return report(paid, lasted, took_s, receiver)


def report(paid: list[str], lasted: float, took_s: list[float], receiver: Receiver) -> str:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_ms = (used.ru_utime + used.ru_stime) / len(paid) * 1000
    cuts = [cut * 1000 for cut in quantiles(took_s, n=20)]
    return (
        f"{len(paid) / lasted:.0f} payments/s ({len(paid)} in {lasted:.1f} s, {CUSTOMERS} customers"
        f" at a time), {cpu_ms:.1f} ms of CPU each, its start included\n"
        f"a payment took {cuts[9]:.0f} ms in the middle, {cuts[18]:.0f} ms at the 95th percentile\n"
        f"{len(receiver.paid.intersection(paid))} of {len(paid)} told by webhook,"
        f" {receiver.deliveries} deliveries in all"
    )


if __name__ == "__main__":
    print(asyncio.run(measure()))
