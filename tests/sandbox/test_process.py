"""Start, switches, end: the process as whoever runs it sees it."""

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe

from sandbox.demo.postgres import free_port
from tests.stack import until

from .conftest import (
    ROOT,
    SECRET,
    Endpoint,
    Sandbox,
    card_form,
    client_of,
    pay,
    session_params,
    start_sandbox,
)
from .merchant import expire_one

DAY = 24 * 60 * 60


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=10, check=False,
    )  # fmt: skip


def test_the_reading_order_names_every_module() -> None:
    for beginning in (ROOT / "sandbox").rglob("__init__.py"):
        names = {path.stem for path in beginning.parent.glob("*.py")} - {"__init__"}
        names |= {path.parent.name for path in beginning.parent.glob("*/__init__.py")}
        order = beginning.read_text()
        assert {name for name in names if f"``{name}``" not in order} == set(), beginning


def test_help_explains_the_arguments() -> None:
    answer = run("--help")
    assert answer.returncode == 0
    for argument in ("--port", "--smtp-port", "--data", "--webhook-url", "--webhook-secret"):
        assert argument in answer.stdout


@pytest.mark.parametrize(
    ("argument", "other"), [("--port", "--smtp-port"), ("--smtp-port", "--port")]
)
def test_a_port_that_is_taken_is_named_in_one_sentence(argument: str, other: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        answer = run(argument, port, other, "0")
    assert answer.returncode == 2
    assert port in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_an_endpoint_off_this_machine_is_refused() -> None:
    answer = run(
        "--port", "0", "--webhook-url", "https://example.com/x", "--webhook-secret", SECRET
    )
    assert answer.returncode == 2
    assert "on this machine" in answer.stderr


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_it_though_an_endpoint_has_not_answered(
    name: str, endpoint: Endpoint
) -> None:
    endpoint.open.clear()
    sandbox = start_sandbox("--webhook-url", endpoint.url, "--webhook-secret", SECRET)
    made = client_of(sandbox).v1.checkout.sessions.create(session_params())
    with pytest.raises(requests.ReadTimeout):  # the customer is held: the endpoint is slow
        requests.post(made.url or "", data=card_form(), timeout=0.3)
    until(lambda: endpoint.begun == 4)
    sandbox.process.send_signal(getattr(signal, name))
    assert sandbox.process.wait(5) == 0
    assert sandbox.process.stdout is not None
    sandbox.process.stdout.close()


def test_it_listens_on_the_loopback_only(sandbox: Sandbox) -> None:
    listening = Path(f"/proc/{sandbox.process.pid}/net/tcp").read_text().splitlines()
    ports = {int(sandbox.url.rsplit(":", 1)[1]), sandbox.smtp_port}
    local = [line.split()[1].split(":") for line in listening[1:] if line.split()[3] == "0A"]
    hosts = {host for host, port in local if int(port, 16) in ports}
    assert hosts == {"0100007F"}


def test_another_name_for_this_machine_is_not_answered(sandbox: Sandbox) -> None:
    answer = requests.get(sandbox.url, headers={"Host": "evil.example"}, timeout=5)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "switches",
    [
        {"unheard_of": 1},
        {"webhook_delay_s": "2"},
        {"webhook_delay_s": -1},
        {"webhook_delay_s": True},
        {"deliver": 1},
        {"webhook_url": "ftp://127.0.0.1"},
        {"webhook_url": "http://example.com/"},
        {"webhook_url": "http://127.0.0.1:9/ü"},
        {"webhook_url": "http://127.0.0.1:9/ x"},
        {"webhook_url": "http://127.0.0.1:9/\n"},
        {"webhook_secret": "whsec_\ud800"},
        {"debit_delay_s": 10**400},
        {"refund_delay_s": 1e15},
        {"retry_schedule_s": [1e15]},
        {"webhook_secret": ""},
        {"retry_schedule_s": 5},
        [],
        None,
    ],
)
def test_a_switch_that_does_not_fit_is_refused_with_a_sentence(
    sandbox: Sandbox, switches: Any
) -> None:
    before = sandbox.get("/_sandbox/settings").json()
    answer = sandbox.post("/_sandbox/settings", json=switches)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")
    assert sandbox.get("/_sandbox/settings").json() == before


def test_a_reset_forgets_all_but_the_endpoint(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    pay(client.v1.checkout.sessions.create(session_params()))
    sandbox.set(webhook_delay_s=5, api_delay_s=0.01)
    after = sandbox.post("/_sandbox/reset").json()
    assert (after["webhook_delay_s"], after["api_delay_s"], after["deliver"]) == (0, 0, True)
    assert after["webhook_url"] == endpoint.url
    assert client.v1.events.list().data == []
    assert client.v1.checkout.sessions.list().data == []


def test_the_delay_can_be_set_on_the_start_page(sandbox: Sandbox) -> None:
    assert sandbox.post("/settings", data={"webhook_delay_s": "2.5"}).status_code == 303
    assert sandbox.get("/_sandbox/settings").json()["webhook_delay_s"] == 2.5
    refused = sandbox.post("/settings", data={"webhook_delay_s": "soon"})
    assert "must be a number" in sandbox.get(refused.headers["Location"]).text


def test_the_start_page_shows_what_happened(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    pay(made)
    page = sandbox.get("/").text.replace("<wbr>", "")
    assert "✓ paid" in page
    assert f'href="/c/pay/{made.id}"' in page
    assert "checkout.session.completed" in page
    assert "This is not Stripe" in page


def test_a_session_expires_by_the_clock(
    client: stripe.StripeClient, sandbox: Sandbox, endpoint: Endpoint
) -> None:
    made = client.v1.checkout.sessions.create(session_params())
    moved = sandbox.post("/_sandbox/clock", json={"advance_s": 24 * 3600})
    assert moved.status_code == 200
    told = until(lambda: endpoint.of_type("checkout.session.expired"))
    assert told[0].event["data"]["object"]["status"] == "expired"
    assert told[0].event["request"] == {"id": None, "idempotency_key": None}
    assert client.v1.checkout.sessions.retrieve(made.id).status == "expired"
    assert sandbox.post("/_sandbox/reset").status_code == 200
    assert sandbox.get("/_sandbox/clock").json()["offset_s"] == 0


def test_the_temporary_folder_goes_with_the_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "--port", "0"],
        cwd=ROOT, env=os.environ | {"TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline().startswith("sandbox: Stripe ")
    assert list(tmp_path.iterdir())
    process.terminate()
    assert process.wait(5) == 0
    process.stdout.close()
    assert list(tmp_path.iterdir()) == []


def test_a_second_process_on_the_same_folder_is_refused_and_disturbs_nothing(
    tmp_path: Path, endpoint: Endpoint
) -> None:
    """It would send each event a second time."""
    endpoint.open.clear()
    hook = ("--webhook-url", endpoint.url, "--webhook-secret", SECRET)
    first = start_sandbox("--data", str(tmp_path), *hook)
    expire_one(client_of(first))
    until(lambda: endpoint.begun == 1)
    second = run("--port", "0", "--data", str(tmp_path))
    assert second.returncode == 2
    assert f"another sandbox runs on {tmp_path}" in second.stderr
    endpoint.open.set()
    expire_one(client_of(first))
    until(lambda: len({item.event["id"] for item in endpoint.received}) == 2)
    assert endpoint.begun == 2
    assert first.stop() == 0


def test_a_folder_of_another_version_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "sandbox.sqlite3")) as db:
        db.execute("CREATE TABLE objects (id TEXT)")
    answer = run("--port", "0", "--data", str(tmp_path))
    assert answer.returncode == 2
    assert "another version of the sandbox made it" in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize("argument", ["--webhook-url", "--webhook-secret"])
def test_an_endpoint_and_its_secret_go_together(argument: str) -> None:
    answer = run("--port", "0", argument, "http://127.0.0.1:9/")
    assert answer.returncode == 2
    assert "both or neither" in answer.stderr


def test_the_first_thing_after_a_restart_is_dated_by_the_moved_clock(tmp_path: Path) -> None:
    port = free_port()
    first = start_sandbox("--data", str(tmp_path))
    first.advance(DAY)
    first.stop()
    dates: list[str] = []
    asking = threading.Thread(target=lambda: dates.extend(first_answers(port, 8)))
    asking.start()
    second = start_sandbox("--data", str(tmp_path), "--port", str(port))
    asking.join()
    second.stop()
    assert len(dates) == 8
    for date in dates:
        assert parsedate_to_datetime(date).timestamp() > time.time() + DAY - 60


def first_answers(port: int, number: int) -> list[str]:
    """Asked before the server serves, as soon as it listens: when its answers are from."""
    lines = [until(lambda: connected(port)) for _ in range(number)]
    for line in lines:
        line.sendall(b"GET /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    answers = [line.makefile("rb").read().decode() for line in lines]
    for line in lines:
        line.close()
    return [re.findall(r"^Date: (.*)\r$", answer, re.MULTILINE)[0] for answer in answers]


def connected(port: int) -> socket.socket | None:
    with contextlib.suppress(ConnectionRefusedError):
        return socket.create_connection(("127.0.0.1", port))
    return None
