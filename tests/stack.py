"""What the tests run against: the stand-in for Stripe with its mailbox, gunicorn and the worker,
each a program of its own on a free port of the loopback."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import requests

from payflow.config import Settings
from sandbox.demo.processes import on_leash
from tests.contract.recordings import BOOKS, PAYFLOW

ROOT = Path(__file__).resolve().parent.parent
WEBHOOK_SECRET = "whsec_payflow_tests"
T = TypeVar("T")


def until(condition: Callable[[], T], seconds: float = 60) -> T:
    """What the condition answers as soon as that is true; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer or time.monotonic() > deadline:
            assert answer, f"not within {seconds} s: {condition}"
            return answer
        time.sleep(0.05)


class Program:
    """A program of the stack, started with nothing of this process's environment but PATH."""

    def __init__(self, *command: str, environment: Mapping[str, str] | None = None):
        self.command, self.environment = command, dict(environment or {})
        self.start()

    def start(self) -> None:
        self.log = tempfile.NamedTemporaryFile("r+")  # noqa: SIM115  # closed with the program
        self.process = subprocess.Popen(
            on_leash([sys.executable, "-m", *self.command], signal.SIGTERM),
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", **self.environment},
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def output(self) -> str:
        return Path(self.log.name).read_text()

    def kill(self) -> None:
        """SIGKILL to it and to all that it started, if any of that is left."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        self.process.terminate()
        self._reap()

    def _reap(self) -> None:
        self.process.wait(15)
        self.log.close()


class Web(Program):
    """payflow's web server as it is deployed, at an address on the loopback; ready once started."""

    def __init__(self, url: str, environment: Mapping[str, str]):
        self.url = url
        address = url.removeprefix("http://")
        super().__init__(
            "gunicorn", "-c", "gunicorn.conf.py", "-b", address, "wsgi:app", environment=environment
        )

    def start(self) -> None:
        super().start()
        until(lambda: answers(f"{self.url}/readyz"), seconds=60)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=10).ok
    except requests.RequestException:
        return False


class Worker(Program):
    def __init__(self, environment: Mapping[str, str]):
        super().__init__("flask", "--app", "wsgi", "worker", environment=environment)


class World(Program):
    """The stand-in for Stripe, and the mailbox."""

    def __init__(self, data: Path, webhook_url: str):
        self.recording = BOOKS.new_recording(sender=PAYFLOW)
        super().__init__(
            "sandbox", "--port", "0", "--data", str(data),
            "--webhook-url", webhook_url, "--webhook-secret", WEBHOOK_SECRET,
            "--record", str(self.recording),
        )  # fmt: skip
        match = until(lambda: re.search(r"Stripe (http://\S+) .* SMTP \S+:(\d+)", self.output()))
        self.url, self.smtp_port = match[1], int(match[2])

    def set(self, **switches: Any) -> None:
        requests.post(f"{self.url}/_sandbox/settings", json=switches, timeout=30).raise_for_status()

    def reset(self) -> None:
        requests.post(f"{self.url}/_sandbox/reset", timeout=30).raise_for_status()

    def letters(self, to: str = "") -> list[dict[str, Any]]:
        """The letters in the mailbox, oldest first."""
        inbox = requests.get(f"{self.url}/inbox/messages.json", timeout=30).json()
        return [letter for letter in inbox if not to or to in letter["to"]]

    def at_desk(self, path: str, **fields: Any) -> dict[str, Any]:
        """What happens outside of the API: a refund in the Dashboard, a bank's dispute."""
        answer = requests.post(f"{self.url}/_sandbox/{path}", json=fields, timeout=30)
        answer.raise_for_status()
        made: dict[str, Any] = answer.json()
        return made

    def api_calls(self, path: str = "") -> list[dict[str, Any]]:
        """The API requests received, oldest first."""
        received = requests.get(f"{self.url}/_sandbox/requests.json", timeout=30).json()
        return [one for one in received if path in one["path"]]

    def events(
        self, kind: str = "", version: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """The events of a type, or all, newest first, as Stripe lists them. Of an older version,
        its name marks the answer as one that is not to be judged by the pinned one."""
        path = f"events?limit={limit}" + (f"&type={kind}" if kind else "")
        listed: list[dict[str, Any]] = self.ask(path, version=version)["data"]
        return listed

    def ask(
        self, path: str, method: str = "GET", *, version: str | None = None, **data: Any
    ) -> dict[str, Any]:
        """Ask the API beside the application: a GET, or a POST such as "…/expire"."""
        headers = {"Authorization": "Bearer sk_test_payflow_tests"}
        if version:
            headers["Stripe-Version"] = version
        url = f"{self.url}/v1/{path}"
        answer = requests.request(method, url, headers=headers, data=data, timeout=30)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def charges(self) -> list[int]:
        """What was taken, in minor units: one amount for each charge that succeeded."""
        listed = self.ask("charges?limit=100")["data"]
        return [one["amount"] for one in listed if one["status"] == "succeeded"]

    def open_pages(self) -> list[str]:
        """The addresses of Stripe's pages on which somebody could pay."""
        listed = self.ask("checkout/sessions?limit=100")["data"]
        return [one["url"] for one in listed if one["status"] == "open"]

    def pay(self, session_url: str, card: str = "4242424242424242") -> requests.Response:
        """Fill in the hosted page as a customer does; the answer is not followed."""
        form = {
            "email": "customer@example.com",
            "number": card,
            "expiration": "12 / 40",
            "cvc": "123",
            "name": "A. Customer",
        }
        return requests.post(session_url, data=form, timeout=60, allow_redirects=False)

    def pay_by_debit(self, session_url: str, iban: str) -> requests.Response:
        """The same, by a bank debit, which is paid or fails days later."""
        form = {
            "method": "sepa_debit",
            "email": "customer@example.com",
            "iban": iban,
            "account_name": "A. Customer",
        }
        return requests.post(session_url, data=form, timeout=60, allow_redirects=False)


def environment(database_url: str, world: World, public_url: str) -> dict[str, str]:
    """The settings of an installation of payflow."""
    return {
        "DATABASE_URL": database_url,
        "SECRET_KEY": "payflow-tests-" + "0" * 32,
        "PUBLIC_URL": public_url,
        "STRIPE_SECRET_KEY": "sk_test_payflow_tests",
        "STRIPE_WEBHOOK_SECRET": f"whsec_payflow_next,{WEBHOOK_SECRET}",
        "STRIPE_API_BASE": world.url,
        "CHECKOUT_ORIGINS": world.url,
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": str(world.smtp_port),
        "MAIL_DEFAULT_SENDER": "Northlight Consulting <billing@northlight.example>",
        "ALERT_EMAIL": "owner@northlight.example",
        "BUSINESS_NAME": "Northlight Consulting",
        "BUSINESS_ADDRESS": "12 Quay Street, Dublin",
        "BUSINESS_URL": "https://northlight.example",
        "CURRENCIES": "USD,EUR,GBP,JPY,KWD",
        "AMOUNT_MAX": "usd:10000",
        # The tests come from one address, with one e-mail address.
        "LIMIT_PER_ADDRESS": "100000 per minute",
        "LIMIT_PER_EMAIL": "100000 per minute",
    }


def settings_of(variables: Mapping[str, str]) -> Settings:
    return Settings(**{name.lower(): value for name, value in variables.items()})  # type: ignore[arg-type]
