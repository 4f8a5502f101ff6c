"""Start, switches, end: the process as whoever runs it sees it."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe

from .conftest import (
    ROOT,
    SECRET,
    Endpoint,
    Sandbox,
    card_form,
    client_of,
    eventually,
    pay,
    session_params,
    start_sandbox,
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=10, check=False,
    )  # fmt: skip


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
def test_a_signal_ends_it_within_a_second_even_while_it_is_busy(
    name: str, endpoint: Endpoint
) -> None:
    endpoint.slow_s = 3
    sandbox = start_sandbox("--webhook-url", endpoint.url, "--webhook-secret", SECRET)
    made = client_of(sandbox).v1.checkout.sessions.create(session_params())
    with pytest.raises(requests.ReadTimeout):  # the customer is held: the endpoint is slow
        requests.post(made.url or "", data=card_form(), timeout=0.3)
    eventually(lambda: endpoint.begun == 4)
    started = time.monotonic()
    sandbox.process.send_signal(getattr(signal, name))
    assert sandbox.process.wait(5) == 0
    assert time.monotonic() - started < 1
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
    told = eventually(lambda: endpoint.of_type("checkout.session.expired"))
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


def test_a_second_process_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """It would send each event a second time."""
    first = start_sandbox("--data", str(tmp_path))
    second = run("--port", "0", "--data", str(tmp_path))
    assert second.returncode == 2
    assert f"another sandbox runs on {tmp_path}" in second.stderr
    assert first.stop() == 0
