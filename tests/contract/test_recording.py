"""`--record`: what is written, and that a disagreement in it fails a run of the tests."""

import json
import subprocess
import sys
from pathlib import Path

import requests

from tests.contract.judge import Judge
from tests.sandbox.conftest import ROOT, client_of, pay, session_params, start_sandbox

KEY = {"Authorization": "Bearer sk_test_payflow_contract"}

CRITICISED = """
import json
from tests.contract.recordings import BOOKS

def test_something_else_altogether():
    line = {"event": {"id": "evt_1", "object": "event", "api_version": "2026-05-27.dahlia",
            "created": 1, "data": {"object": {"object": "cat"}}, "livemode": False,
            "pending_webhooks": 0, "type": "charge.succeeded"}}
    BOOKS.new_recording(sender="tests").write_text(json.dumps(line) + "\\n")
"""


def test_exchanges_and_events_are_appended_one_a_line(tmp_path: Path) -> None:
    file = tmp_path / "recording.jsonl"
    for _ in range(2):
        sandbox = start_sandbox("--record", str(file))
        pay(client_of(sandbox).v1.checkout.sessions.create(session_params()))
        requests.get(f"{sandbox.url}/v1/charges?limit=x", headers=KEY, timeout=5)
        requests.get(f"{sandbox.url}/inbox", timeout=5)
        assert sandbox.stop() == 0

    lines = [json.loads(line) for line in file.read_text().splitlines()]
    exchanges = [line["exchange"] for line in lines if "exchange" in line]
    assert [(one["method"], one["path"], one["status"]) for one in exchanges] == [
        ("POST", "/v1/checkout/sessions", 200),
        ("GET", "/v1/charges", 400),
    ] * 2
    assert exchanges[0]["body"].startswith("mode=payment&")
    assert exchanges[1]["query"] == "limit=x"
    assert json.loads(exchanges[1]["answer"])["error"]["param"] == "limit"
    told = [line["event"]["type"] for line in lines if "event" in line]
    assert told.count("checkout.session.completed") == 2
    judge = Judge()
    assert [judge.judge(line, "tests") for line in lines] == [[] for _ in lines]


def test_a_file_that_cannot_be_written_is_named_in_one_sentence(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "sandbox", "--port", "0", "--record", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=10, check=False,
    )  # fmt: skip
    assert answer.returncode == 2
    assert str(tmp_path) in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_disagreement_fails_the_test_that_met_it(tmp_path: Path) -> None:
    file = tmp_path / "test_criticised.py"
    file.write_text(CRITICISED)
    options = ["-p", "tests.contract.plugin", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)]
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(file)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert answer.returncode == 1
    assert "cat: itself: there is no such object" in answer.stdout
    assert "Held against Stripe's OpenAPI document: 1 events, 2 objects" in answer.stdout
