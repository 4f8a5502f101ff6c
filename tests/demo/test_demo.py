"""`make demo`'s supervisor: the whole of payflow, started, killed in every way, started again."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import requests
from dotenv import dotenv_values

from sandbox.demo.__main__ import answers
from sandbox.demo.postgres import free_port
from sandbox.demo.processes import until
from tests.demo.processes import ROOT, holding, linux_traces
from tests.http.conftest import FORM, hidden_fields

# Seconds; a machine that has much else to do takes its time.
UP_WITHIN, GONE_WITHIN = 120.0, 60.0


@dataclass
class RunningDemo:
    process: subprocess.Popen[str]
    port: int
    data: Path
    output: Path

    @property
    def settings(self) -> dict[str, str | None]:
        return dotenv_values(self.data / "demo.env")

    def is_up(self) -> bool:
        return "payflow is running" in self.output.read_text()

    def is_gone(self) -> bool:
        return self.process.poll() is not None and not holding(str(self.data))

    def one_of(self, command: str) -> int:
        """The first process, by age, of the demo's with these words in its command."""
        return min(pid for pid in holding(str(self.data)) if command in command_of(pid))


def command_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    return ""


def environment(port: int, sandbox_port: int, data: Path, **more: str) -> dict[str, str]:
    places = {"PORT": str(port), "SANDBOX_PORT": str(sandbox_port), "PAYFLOW_DATA": str(data)}
    return os.environ | places | more


@contextmanager
def demo(data: Path, *under: str, **more: str) -> Iterator[RunningDemo]:
    """Up and answering; whatever a test leaves of it is ended afterwards."""
    port, output = free_port(), data.with_suffix(".out")
    with output.open("w") as file:
        process = subprocess.Popen(
            [*under, sys.executable, "-m", "sandbox.demo"],
            cwd=ROOT,
            env=environment(port, free_port(), data, **more),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    running = RunningDemo(process, port, data, output)
    try:
        assert until(lambda: running.is_up() or process.poll() is not None, UP_WITHIN)
        assert running.is_up(), output.read_text()
        yield running
    finally:
        for pid in holding(str(data)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        assert until(running.is_gone, GONE_WITHIN), [command_of(pid) for pid in holding(str(data))]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "var"


def refused(**places: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", "sandbox.demo"],
        cwd=ROOT,
        env=os.environ | places,
        check=False,
        capture_output=True,
        text=True,
        timeout=UP_WITHIN,
    )
    assert result.returncode == 2, result.stderr
    return result.stderr


def test_a_busy_port_is_named_with_a_command_that_works(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        sentence = refused(PORT=str(port), SANDBOX_PORT=str(free_port()), PAYFLOW_DATA=str(data))

    assert f"port {port} is in use" in sentence
    assert f"make demo PORT={port + 1}" in sentence or f"PORT={port + 2}" in sentence
    assert f"PAYFLOW_DATA={data}" in sentence
    assert not data.exists()


@pytest.mark.parametrize("port", ["http", "0", "70000", "-1"])
def test_a_port_that_is_none_is_refused(data: Path, port: str) -> None:
    assert f"not {port!r}" in refused(PORT=port, PAYFLOW_DATA=str(data))


def test_a_data_folder_that_cannot_be_written_is_named(data: Path) -> None:
    data.write_text("a file, not a folder")
    assert f"can't use the data folder {data}" in refused(PAYFLOW_DATA=str(data))


def test_the_demo_serves_with_settings_of_its_own_that_only_its_owner_can_read(data: Path) -> None:
    with demo(
        data,
        DATABASE_URL="postgresql://leaked",
        STRIPE_PUBLISHABLE_KEY="leaked",
        BRAND_COLOR="#0f766e",
        BUSINESS_NAME="Harbour, Sons & Søn",
        ALERT_EMAIL="boss@harbour.example",
    ) as running:
        assert answers(running.port, "/healthz")
        assert answers(running.port, "/readyz")
        assert (data / "demo.env").stat().st_mode & 0o777 == 0o600
        assert running.settings["PUBLIC_URL"] == f"http://127.0.0.1:{running.port}"
        assert running.settings["BRAND_COLOR"] == "#0f766e"
        assert str(running.settings["STRIPE_SECRET_KEY"]).startswith("sk_test_payflow")
        for pid in holding(str(running.settings["SECRET_KEY"])):
            assert "leaked" not in linux_traces(Path(f"/proc/{pid}"))

        letters = letters_of_a_payment(running)
        assert letters.keys() == {"customer@example.com", "boss@harbour.example"}
        for sender in letters.values():
            assert sender == '"Harbour, Sons & Søn" <billing@northlight.example>'

        beside = refused(PORT=str(free_port()), PAYFLOW_DATA=str(data))
        assert f"already running on {data} (http://127.0.0.1:{running.port})" in beside

        # One process killed is started again, and nothing else is touched.
        killed = running.one_of("gunicorn")
        os.kill(killed, signal.SIGKILL)
        assert until(lambda: "web was ended by SIGKILL" in running.output.read_text(), 10)
        assert until(lambda: answers(running.port, "/readyz"), 20)
        assert running.one_of("gunicorn") != killed

        running.process.terminate()
        assert until(running.is_gone, GONE_WITHIN), holding(str(data))
        assert running.process.returncode == 0


def letters_of_a_payment(running: RunningDemo) -> dict[str, str]:
    """Pay, and wait for both letters; answers by recipient who each is from."""
    form, browser = str(running.settings["PUBLIC_URL"]), requests.Session()
    fields = FORM | hidden_fields(browser.get(form, timeout=30).text)
    began = browser.post(f"{form}/checkout", data=fields, timeout=30, allow_redirects=False)
    card = {"number": "4242424242424242", "expiration": "12 / 40", "cvc": "123"}
    who = {"email": FORM["email"], "name": FORM["name"]}
    requests.post(began.headers["Location"], data=card | who, timeout=30, allow_redirects=False)
    inbox = f"{running.settings['STRIPE_API_BASE']}/inbox/messages.json"
    assert until(lambda: len(requests.get(inbox, timeout=30).json()) == 2, UP_WITHIN, every=0.2)
    return {
        to: value
        for letter in requests.get(inbox, timeout=30).json()
        for to in letter["to"]
        for name, value in letter["headers"]
        if name == "From"
    }


def test_a_setting_that_is_wrong_is_told_as_that(data: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "sandbox.demo"],
        cwd=ROOT,
        env=environment(free_port(), free_port(), data, STATEMENT_DESCRIPTOR="SGES"),
        check=False,
        capture_output=True,
        text=True,
        timeout=UP_WITHIN,
    )
    assert result.returncode == 1
    assert "payflow demo: a setting is wrong:" in result.stderr
    assert "STATEMENT_DESCRIPTOR must be 5 to 22 plain Latin characters" in result.stderr
    assert "migrating" not in result.stderr


def test_after_the_supervisor_was_killed_nothing_is_left_and_the_data_is_kept(data: Path) -> None:
    with demo(data) as running:
        first = running.settings
        with psycopg.connect(str(first["DATABASE_URL"])) as connection:
            connection.execute("CREATE TABLE kept ()")
        running.process.kill()
        assert until(running.is_gone, GONE_WITHIN), holding(str(data))

    with demo(data) as again:
        for name in ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "SECRET_KEY"):
            assert again.settings[name] == first[name]
        with psycopg.connect(str(again.settings["DATABASE_URL"])) as connection:
            connection.execute("SELECT FROM kept")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_when_only_the_make_above_it_is_told_to(
    data: Path, tmp_path: Path, number: signal.Signals
) -> None:
    makefile = tmp_path / "Makefile"
    makefile.write_text(f"demo:\n\t@exec {sys.executable} -m sandbox.demo\n")
    with demo(data, "make", "-f", str(makefile), "demo", "--") as running:
        running.process.send_signal(number)
        assert until(running.is_gone, GONE_WITHIN), holding(str(data))
