"""The whole of payflow on this machine: what `make demo` ends in.

Starts Postgres, the Stripe stand-in with its mailbox, the web server and the worker; writes the
settings they run with to demo.env; starts again what dies; and ends all of it when it is told
to stop, or when the process that started it is gone.
"""

import http.client
import os
import secrets
import shlex
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from dotenv import dotenv_values

from sandbox.demo.place import Place, Refused, claimed, listens
from sandbox.demo.postgres import Postgres, PostgresError, free_port
from sandbox.demo.processes import Program, describe_exit, stop_all, tail, until

ROOT = Path(__file__).resolve().parents[2]
DATABASE = "payflow"

UP_WITHIN = 60.0  # seconds, each; slow laptops
MIGRATED_WITHIN = 120.0
STOP_WITHIN = 4.0  # Postgres has its own seconds after that, and 10 are promised for all
GRACEFUL_TIMEOUT = 3  # gunicorn's, for requests under way

# Settings that the demo takes from whoever starts it: how payflow looks and what it takes.
LOOKS = (
    *("BUSINESS_NAME", "BUSINESS_ADDRESS", "BUSINESS_URL", "BUSINESS_TAX_ID", "SUPPORT_EMAIL"),
    *("BRAND_COLOR", "LOGO_URL", "TERMS_URL", "PRIVACY_URL", "STATEMENT_DESCRIPTOR"),
    *("CURRENCIES", "AMOUNT_MIN", "AMOUNT_MAX", "TIMEZONE", "LOCALE"),
    *("LIMIT_PER_ADDRESS", "LIMIT_PER_EMAIL", "MAIL_DEFAULT_SENDER", "ALERT_EMAIL"),
)
KEPT_SECRETS = {
    "STRIPE_SECRET_KEY": "sk_test_payflow",
    "STRIPE_WEBHOOK_SECRET": "whsec_payflow",
    "SECRET_KEY": "",
}


class Failed(Exception):
    """A part of the demo doesn't work; the message shows what it said."""


class Stopped(BaseException):
    """We are asked to stop. Not an Exception, so that nothing on the way catches it."""


def main() -> int:
    parent = os.getppid()
    stop_on_signals()
    try:
        place = Place.from_environment(os.environ)
        with claimed(place):
            Demo(place, parent).run()
    except Refused as refusal:
        print(f"payflow demo: {refusal}", file=sys.stderr)
        return 2
    except (Failed, PostgresError) as failure:
        print(f"payflow demo: {failure}", file=sys.stderr)
        return 1
    except Stopped:
        pass
    return 0


def stop_on_signals() -> None:
    obeyed = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # else it is `nohup make demo`
        obeyed.append(signal.SIGHUP)

    def stop(number: int, frame: object) -> None:
        for each in obeyed:  # stopping is bounded anyway, and a second Ctrl-C would leave a mess
            signal.signal(each, signal.SIG_IGN)
        raise Stopped

    for number in obeyed:
        signal.signal(number, stop)


class Demo:
    def __init__(self, place: Place, parent: int) -> None:
        self.place = place
        self.parent = parent
        self.postgres = Postgres(place.data / "postgres")
        self.programs: list[Program] = []

    def run(self) -> None:
        """Until it is stopped: never returns, always raises."""
        began = time.monotonic()
        try:
            self.start()
            print(welcome(self.place, time.monotonic() - began), flush=True)
            self.keep_running()
        finally:
            print("\nStopping payflow …", flush=True)
            stop_all(self.programs, STOP_WITHIN)
            self.postgres.stop()
            print("Stopped.", flush=True)

    def start(self) -> None:
        for log in self.place.logs.glob("*.log"):
            log.unlink()
        self.postgres.start()
        if not self.postgres.database_exists(DATABASE):
            self.postgres.create_database(DATABASE)
        smtp_port = free_port()
        settings = self.settings(smtp_port)
        write_settings(self.place.settings_file, settings)

        self.begin(self.sandbox(settings, smtp_port))
        self.migrate(settings)
        self.begin(self.web(settings))
        self.begin(self.worker(settings))
        self.wait_until_up("the Stripe stand-in", lambda: listens(self.place.sandbox_port))
        self.wait_until_up("the mailbox", lambda: listens(smtp_port))
        self.wait_until_up("the web server", lambda: answers(self.place.port, "/healthz"))
        self.wait_until_up("the database", lambda: answers(self.place.port, "/readyz"))

    def settings(self, smtp_port: int) -> dict[str, str]:
        place = self.place
        return {
            "DATABASE_URL": self.postgres.url(DATABASE),
            **kept_secrets(place.settings_file),
            "STRIPE_API_BASE": place.sandbox_url,
            "CHECKOUT_ORIGINS": place.sandbox_url,
            "PUBLIC_URL": place.url,
            "MAIL_SERVER": "127.0.0.1",
            "MAIL_PORT": str(smtp_port),
            # Without a name: then it is BUSINESS_NAME's.
            "MAIL_DEFAULT_SENDER": "billing@northlight.example",
            "ALERT_EMAIL": "owner@northlight.example",
            "BUSINESS_NAME": "Northlight Consulting",
            "BUSINESS_ADDRESS": "12 Quay Street, Dublin",
            "BUSINESS_URL": "https://northlight.example",
            "SUPPORT_EMAIL": "billing@northlight.example",
            "CURRENCIES": "USD,EUR,GBP,JPY,KWD",
            # Who plays comes from one address only, and may play for long.
            "LIMIT_PER_ADDRESS": "1000 per hour",
            "LIMIT_PER_EMAIL": "1000 per hour",
            **{name: os.environ[name] for name in LOOKS if name in os.environ},
        }

    def sandbox(self, settings: Mapping[str, str], smtp_port: int) -> Program:
        return self.program(
            "sandbox",
            {},
            *("-m", "sandbox"),
            f"--port={self.place.sandbox_port}",
            f"--smtp-port={smtp_port}",
            f"--data={(self.place.data / 'sandbox').resolve()}",
            f"--webhook-url={self.place.url}/webhooks/stripe",
            f"--webhook-secret={settings['STRIPE_WEBHOOK_SECRET']}",
            f"--business-name={settings['BUSINESS_NAME']}",
        )

    def web(self, settings: Mapping[str, str]) -> Program:
        web = self.program(
            "web",
            settings,
            *("-m", "gunicorn", "--config=gunicorn.conf.py", "--no-control-socket"),
            f"--bind=127.0.0.1:{self.place.port}",
            f"--graceful-timeout={GRACEFUL_TIMEOUT}",
            "wsgi:app",
        )
        # Its workers are not on a leash of ours: it must live to end them.
        return replace(web, on_orphaned=signal.SIGTERM)

    def worker(self, settings: Mapping[str, str]) -> Program:
        return self.program("worker", settings, *("-m", "flask", "--app", "wsgi", "worker"))

    def program(self, name: str, settings: Mapping[str, str], *arguments: str) -> Program:
        return Program(
            name=name,
            command=[sys.executable, *arguments],
            log=self.place.logs.resolve() / f"{name}.log",
            environment={**clean_environment(), **settings},
            folder=ROOT,
        )

    def begin(self, program: Program) -> None:
        self.programs.append(program)
        program.start()

    def migrate(self, settings: Mapping[str, str]) -> None:
        migration = self.program(
            "migrate", settings, "-m", "flask", "--app", "wsgi", "db", "upgrade"
        )
        self.begin(migration)
        self.wait_until(lambda: migration.died() is not None, MIGRATED_WITHIN)
        if migration.died() != 0:
            refused = "payflow cannot start:" in migration.log.read_text()
            what = "a setting is wrong" if refused else "migrating the database failed"
            raise Failed(f"{what}:\n{tail(migration.log)}")
        self.programs.remove(migration)

    def wait_until_up(self, what: str, condition: Callable[[], bool]) -> None:
        if not self.wait_until(lambda: bool(self.dead()) or condition(), UP_WITHIN):
            raise Failed(f"{what} did not answer within {UP_WITHIN:.0f} s; see {self.place.logs}")
        for program in self.dead():
            raise Failed(report(program))

    def dead(self) -> list[Program]:
        return [program for program in self.programs if program.died() is not None]

    def keep_running(self) -> NoReturn:
        while True:
            self.wait_until(lambda: bool(self.revivable()) or self.postgres.died() is not None, 60)
            if self.postgres.died() is not None:
                print(f"\nPostgres ended; starting it again. See {self.postgres.log}", flush=True)
                self.postgres.restart()
            for program in self.revivable():
                self.revive(program)

    def revivable(self) -> list[Program]:
        return [program for program in self.dead() if program.may_restart()]

    def revive(self, program: Program) -> None:
        print(f"\n{report(program)}\nStarting it again.", flush=True)
        program.restart()
        if not program.may_restart():
            print("If it ends once more, the next start waits for a minute.", flush=True)

    def wait_until(self, condition: Callable[[], bool], within: float) -> bool:
        def condition_while_wanted() -> bool:
            if os.getppid() != self.parent or is_interrupted_make(self.parent):
                raise Stopped
            return condition()

        return until(condition_while_wanted, within, every=0.1)


def is_interrupted_make(pid: int) -> bool:
    """Whether it is a make that got a SIGINT of its own and now waits for us to end.

    It hands on a SIGTERM, but not a SIGINT: that is taken to have come from the terminal, to all
    of us. While it waits it has the signal blocked, which Linux lets us see.
    """
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        name, blocked = (status_field(status, "Name"), int(status_field(status, "SigBlk"), 16))
        return name in ("make", "gmake") and bool(blocked & 1 << (signal.SIGINT - 1))
    return False


def status_field(status: str, name: str) -> str:
    return next(line.split()[1] for line in status.splitlines() if line.startswith(f"{name}:"))


def kept_secrets(settings_file: Path) -> dict[str, str]:
    """Made at the first start on a data folder; the same ever after."""
    before = dotenv_values(settings_file)
    return {
        name: before.get(name) or prefix + secrets.token_hex(24)
        for name, prefix in KEPT_SECRETS.items()
    }


def write_settings(path: Path, settings: Mapping[str, str]) -> None:
    """KEY=value lines, for dotenv and for a shell; whole or not at all, and for our eyes only."""
    unfinished = path.with_suffix(".env.unfinished")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    lines = ["# Written by `make demo` at each start."]
    lines += [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
    unfinished.write_text("\n".join(lines) + "\n")
    unfinished.replace(path)


def clean_environment() -> dict[str, str]:
    """A developer's own DATABASE_URL or STRIPE_* must not leak in, nor a .env file's."""
    wanted = ("PATH", "HOME", "LANG", "TMPDIR")
    kept = {name: os.environ[name] for name in wanted if name in os.environ}
    return kept | {"FLASK_SKIP_DOTENV": "1", "PYTHONUNBUFFERED": "1"}


def answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with closing(connection), suppress(OSError, http.client.HTTPException):
        connection.request("GET", path)
        return connection.getresponse().status == 200
    return False


def report(program: Program) -> str:
    status = program.died()
    how = "still runs" if status is None else describe_exit(status)
    return f"{program.name} {how}. The end of {program.log}:\n{tail(program.log)}"


def welcome(place: Place, seconds: float) -> str:
    return f"""
payflow is running (started in {seconds:.1f} s).

  Payment form       {place.url}/
  Stripe stand-in    {place.sandbox_url}/
  Mailbox            {place.sandbox_url}/inbox
  Card that works    4242 4242 4242 4242, any future date, any CVC

  Settings           {place.settings_file}
  Commands           .venv/bin/flask -e {place.settings_file} payments list
  Logs               {place.logs}/

Ctrl-C stops all of it. The data stays in {place.data} for the next start.
"""


if __name__ == "__main__":
    sys.exit(main())
