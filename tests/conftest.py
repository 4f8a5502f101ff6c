"""Fixtures, from the ground up: Postgres, the stand-in for Stripe, the application, its programs.

Each test process has a stack of its own, so that tests run side by side and beside a demo. Tests
commit for real; what they leave is deleted after each. Nothing is replaced but the clock.
"""

import asyncio
import contextvars
import signal
import smtplib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_migrate import upgrade
from hypothesis import settings as hypothesis_settings
from playwright.sync_api import Browser, BrowserContext, Page, expect
from procrastinate import PsycopgConnector
from procrastinate.periodic import PeriodicRegistry

from payflow import clock, create_app, queue
from payflow.db import db
from sandbox.demo.postgres import Postgres, free_port
from tests import chromium
from tests.browser.watch import Watch
from tests.stack import Program, Web, Worker, World, environment, settings_of

# A busy machine is slow, and that is no fault of what is tested.
hypothesis_settings.register_profile("payflow", deadline=None)
hypothesis_settings.load_profile("payflow")
expect.set_options(timeout=30_000)

# Holds all that the stand-in says against Stripe's published document.
pytest_plugins = ["tests.contract.plugin"]

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> Iterator[None]:
    """A shell has what it starts in its background ignore SIGINT: what is started here hears it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(autouse=True, scope="session")
def _only_loopback() -> Iterator[None]:
    """A connection to anywhere else fails the test that opens it."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in LOOPBACK:
            pytest.fail(f"a connection to {address} was opened")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield


@pytest.fixture(autouse=True)
def _no_unasked_mail(request: pytest.FixtureRequest) -> Iterator[None]:
    """A mail connection fails a test that has not asked for the mailbox."""
    with pytest.MonkeyPatch.context() as patch:
        if "mailbox" not in request.fixturenames:
            patch.setattr(smtplib.SMTP, "connect", lambda *_: pytest.fail("a letter was sent"))
        yield


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    with Postgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def public_url() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="session")
def _world(tmp_path_factory: pytest.TempPathFactory, public_url: str) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("sandbox"), f"{public_url}/webhooks/stripe")
    yield world
    world.stop()


@pytest.fixture(scope="session")
def variables(postgres: Postgres, _world: World, public_url: str) -> dict[str, str]:
    """The environment that programs of the stack run with."""
    postgres.create_database("payflow")
    return environment(postgres.url("payflow"), _world, public_url)


def _create(variables: dict[str, str]) -> Flask:
    app = create_app(settings_of(variables))
    app.config["TESTING"] = True
    app.test_client_class = Tab
    return app


@pytest.fixture(scope="session")
def _app(variables: dict[str, str]) -> Iterator[Flask]:
    app = _create(variables)
    with app.app_context():
        upgrade()
    yield app
    with app.app_context():
        db.engine.dispose()


@pytest.fixture
def world(_world: World) -> Iterator[World]:
    """The stand-in for Stripe; it delivers nothing by itself unless the web server is there."""
    yield _world
    _world.reset()


@pytest.fixture
def mailbox(world: World) -> World:
    """Asking for the mailbox allows letters to be sent."""
    return world


@pytest.fixture
def app(_app: Flask, postgres: Postgres) -> Iterator[Flask]:
    """The application with an empty database."""
    with _app.app_context():
        yield _app
        db.session.remove()
    with psycopg.connect(postgres.url("payflow"), autocommit=True) as connection:
        connection.execute(
            "TRUNCATE payments, stripe_events, sweep_state, procrastinate_jobs CASCADE"
        )


class Tab(FlaskClient):
    """A client whose requests each have an application context and a database session of their own,
    as they have in production: they share nothing with the test or with one another but cookies."""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        return contextvars.Context().run(super().open, *args, **kwargs)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def installed(app: Flask, variables: dict[str, str]) -> Iterator[Callable[..., Flask]]:
    """The application once more, on the same database, with other settings."""
    others = []

    def install(**changes: str) -> Flask:
        others.append(_create(variables | changes))
        return others[-1]

    yield install
    for other in others:
        with other.app_context():
            db.session.remove()
            db.engine.dispose()


@pytest.fixture
def rows(app: Flask, postgres: Postgres) -> Callable[..., list[Any]]:
    """Ask the database beside the application: what has been committed, as tuples."""

    def ask(query: str, *parameters: Any) -> list[Any]:
        with psycopg.connect(postgres.url("payflow"), autocommit=True) as connection:
            return connection.execute(query, parameters).fetchall()

    return ask


@pytest.fixture
def pass_time(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], None]:
    """Move the application's clock on."""
    shift = timedelta()
    now = clock.now

    def shifted() -> datetime:
        return now() + shift

    def move(by: timedelta) -> None:
        nonlocal shift
        shift += by

    monkeypatch.setattr(clock, "now", shifted)
    return move


@pytest.fixture
def work(app: Flask, postgres: Postgres) -> Callable[..., None]:
    """Do all the jobs that are due, as the worker does, and come back; one after the other, unless
    told otherwise."""

    def run(at_once: int = 1) -> None:
        connector = PsycopgConnector(conninfo=postgres.url("payflow"))
        # In a thread of its own, where no event loop runs: a browser's stays in the main one.
        context = contextvars.copy_context()
        with (
            queue.app.replace_connector(connector) as worker,
            pytest.MonkeyPatch.context() as patch,
            ThreadPoolExecutor(1) as thread,
        ):
            # What is due by the clock on the wall would come between, once a minute.
            patch.setattr(worker, "periodic_registry", PeriodicRegistry())
            thread.submit(context.run, asyncio.run, _work_off(worker, at_once)).result()

    return run


async def _work_off(worker: Any, at_once: int) -> None:
    async with worker.open_async():
        await worker.run_worker_async(
            concurrency=at_once, wait=False, listen_notify=False, install_signal_handlers=False
        )


@pytest.fixture
def flask(app: Flask) -> Callable[..., Any]:
    """Run a command; answers its result, with output and exit status."""

    def run(*words: str, ends: int = 0) -> Any:
        result = app.test_cli_runner().invoke(args=list(words))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == ends, result.output
        return result

    return run


@pytest.fixture(scope="session")
def _web(variables: dict[str, str], public_url: str, _app: Flask) -> Iterator[Program]:
    web = Web(public_url, variables)
    yield web
    web.stop()


@pytest.fixture
def _worker(variables: dict[str, str], app: Flask) -> Iterator[Program]:
    worker = Worker(variables)
    yield worker
    worker.stop()


@pytest.fixture
def web(_web: Program, app: Flask, world: World, public_url: str) -> str:
    """payflow's web server without its worker: no letter leaves, and Stripe is not asked by itself.
    Answers its address."""
    return public_url


@pytest.fixture
def site(web: str, _worker: Program) -> str:
    """The whole of payflow, running as it is deployed; answers its address."""
    return web


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium.started() as browser:
        yield browser


@pytest.fixture
def new_page(browser: Browser, web: str, world: World) -> Iterator[Callable[..., Page]]:
    """Pages in a browser of its own each, set up by Playwright's words for a context, or with the
    settings in a folder of its own (`profile`). What one says on its console, or asks of any origin
    but its own, fails the test, unless it `may` say so."""
    with ExitStack() as contexts:
        watches = []

        def open_page(may: str = "", profile: Path | None = None, **options: Any) -> Page:
            context = contexts.enter_context(
                _browser_of(browser, profile) if profile else browser.new_context(**options)
            )
            watches.append(Watch(context, {web, world.url}, may))
            return context.new_page()

        yield open_page
        assert [fault for watch in watches for fault in watch.faults] == []


def _browser_of(browser: Browser, profile: Path) -> BrowserContext:
    return browser.browser_type.launch_persistent_context(profile, **chromium.how_to_start())


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    """A page in a browser of its own."""
    return new_page()


@pytest.fixture
def plain_page(new_page: Callable[..., Page]) -> Page:
    """A page in a browser with JavaScript switched off."""
    return new_page(java_script_enabled=False)
