"""Start both programs on one Postgres, let them take turns under the same load, print the ratios.

Bounded in count, and everything it starts ends with it.
"""

import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

import psycopg
from flask_migrate import upgrade

from bench import deliveries, load
from payflow import create_app
from payflow.config import Settings
from payflow.db import db
from sandbox.demo.postgres import Postgres, PostgresError, free_port
from sandbox.demo.processes import Program, stop_all, tail, until

ROOT = Path(__file__).resolve().parent.parent
SECRET = "whsec_payflow_bench"
# The first round warms up and is not counted.
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "15"))
DELIVERIES, POLLS = 120, 300  # requests per round and program
CONNECTIONS = 16

NEW, REPEATED, POLL = "new delivery", "repeated delivery", "poll"
AIMS = {NEW: ", aim 0.3", REPEATED: "", POLL: ", aim 0.6"}

# What must be as many as there were new deliveries; a receipt and a word to the owner for each.
COUNTED_IN_PAYFLOW = (
    "SELECT count(*) FROM stripe_events WHERE outcome = 'recorded'",
    "SELECT count(*) FROM payments WHERE status = 'paid'",
    "SELECT count(*) / 2 FROM emails WHERE state = 'queued'",
    "SELECT last_value / 2 FROM procrastinate_jobs_id_seq",
)
COUNTED_IN_BARE = (
    "SELECT count(*) FROM events",
    "SELECT count(*) FROM payments WHERE status = 'paid'",
)


class Failed(Exception):
    """The benchmark measures nothing; the message says why."""


@dataclass
class Contender:
    """One of the two programs under gunicorn, and the answers per second it gave in each round."""

    name: str
    target: str
    postgres: Postgres
    counted: Sequence[str]
    folder: Path
    url: str = field(default_factory=lambda: f"http://127.0.0.1:{free_port()}")
    rates: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.postgres.create_database(self.name)
        self.database_url = self.postgres.url(self.name)

    def environment(self) -> dict[str, str]:
        """The settings of an installation of payflow; the bare program reads two of them."""
        return {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": self.database_url,
            "SECRET_KEY": "payflow-bench-" + "0" * 32,
            "PUBLIC_URL": self.url,
            "STRIPE_SECRET_KEY": "sk_test_payflow_bench",
            "STRIPE_WEBHOOK_SECRET": SECRET,
            "MAIL_SERVER": "127.0.0.1",
            "MAIL_DEFAULT_SENDER": "Northlight Consulting <billing@northlight.example>",
            "ALERT_EMAIL": "owner@northlight.example",
            "BUSINESS_NAME": "Northlight Consulting",
            "CURRENCIES": "EUR,USD",
            # All its customers come from here.
            "LIMIT_PER_ADDRESS": "1000000 per minute",
            "LIMIT_PER_EMAIL": "1000000 per minute",
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        address = self.url.removeprefix("http://")
        command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "-b", address]
        log = self.folder / f"{self.name}.log"
        program = Program(self.name, [*command, self.target], log, self.environment(), ROOT)
        program.start()
        try:
            if not until(lambda: answers(address), within=30):
                raise Failed(f"{self.name} does not answer; its log says:\n{tail(log)}")
            yield
        finally:
            stop_all([program], within=5)

    def turn(self, what: str, requests: Sequence[bytes]) -> None:
        rate = load.rate(self.url, requests, CONNECTIONS)
        self.rates.setdefault(what, []).append(rate)

    def check(self, deliveries: int) -> None:
        """That the database shows so many new deliveries, with all that belongs to them."""
        with psycopg.connect(self.database_url) as connection:
            for query in self.counted:
                [found] = connection.execute(query).fetchone() or [None]
                if found != deliveries:
                    raise Failed(f"{self.name}: {query} answers {found} instead of {deliveries}")

    def forget_jobs(self) -> None:
        """In life the worker keeps the queue short; here it would take its share of the machine."""
        with psycopg.connect(self.database_url) as connection:
            connection.execute("TRUNCATE procrastinate_jobs CASCADE")


def answers(address: str) -> bool:
    connection = HTTPConnection(address, timeout=2)
    try:
        connection.request("GET", "/")
        return bool(connection.getresponse().status)
    except OSError:
        return False
    finally:
        connection.close()


def take_turns(contenders: Sequence[Contender], sales: Sequence[deliveries.Sale]) -> None:
    """Round by round, each program in turn: new deliveries, the same ones again, polls."""
    for number in range(ROUNDS + 1):
        paid = (number + 1) * DELIVERIES
        batch, waiting = sales[paid - DELIVERIES : paid], sales[-1]
        turns = contenders if number % 2 else tuple(reversed(contenders))
        news = {each.name: deliveries.sign_all(each.url, batch, SECRET) for each in turns}
        for what in (NEW, REPEATED):
            for contender in turns:
                contender.turn(what, news[contender.name])
                contender.check(paid)
        contenders[0].forget_jobs()
        for contender in turns:
            contender.turn(POLL, [deliveries.poll(contender.url, waiting)] * POLLS)


def print_figures(payflow: Contender, bare: Contender) -> None:
    """Medians over the rounds that count; a ratio is taken within its round."""
    print(f"{'answers per second':22}{'payflow':>9}{'bare':>9}   payflow ÷ bare")
    for what, aim in AIMS.items():
        ours, theirs = payflow.rates[what][1:], bare.rates[what][1:]
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        print(
            f"{what:22}{median(ours):9.0f}{median(theirs):9.0f}"
            f"   {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}){aim}"
        )


def main() -> None:
    logging.disable(logging.INFO)  # the migrations', and a line per sale
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(Postgres(folder / "postgres", durable=True))
        contenders = (
            Contender("payflow", "wsgi:app", postgres, COUNTED_IN_PAYFLOW, folder),
            Contender("bare", "bench.bare:create_app()", postgres, COUNTED_IN_BARE, folder),
        )
        sales = seed(*contenders)
        for contender in contenders:
            stack.enter_context(contender.running())
        take_turns(contenders, sales)
        print_figures(*contenders)


def seed(payflow: Contender, bare: Contender) -> list[deliveries.Sale]:
    """As many sales in both databases as will be paid, and one that stays waiting."""
    variables = {name.lower(): value for name, value in payflow.environment().items()}
    app = create_app(Settings(**variables))
    with app.app_context():
        upgrade()
        sales = deliveries.open_sales(DELIVERIES * (ROUNDS + 1) + 1)
        db.engine.dispose()
    deliveries.copy_to_bare(sales, bare.database_url)
    return sales


if __name__ == "__main__":
    try:
        main()
    except (Failed, load.WrongAnswer, PostgresError) as error:
        sys.exit(f"bench: {error}")
