"""Processes that die at the worst moment: nothing is lost, and nothing done twice."""

import asyncio
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from aiosmtpd.controller import Controller

from sandbox.demo.postgres import free_port
from tests.http.conftest import FORM, hidden_fields
from tests.stack import Web, Worker, until


@pytest.fixture
def mortal_web(app: Any, variables: dict[str, str]) -> Iterator[Web]:
    """A web server of the test's own, to be killed."""
    web = Web(f"http://127.0.0.1:{free_port()}", variables)
    yield web
    web.stop()


def test_web_killed_between_the_rows_commit_and_stripes_answer(mortal_web, world, rows):
    web, url = mortal_web, mortal_web.url
    browser = requests.Session()
    form = FORM | hidden_fields(browser.get(url).text)
    world.set(api_delay_s=2)
    with ThreadPoolExecutor() as customer:
        click = customer.submit(browser.post, f"{url}/checkout", data=form, allow_redirects=False)
        until(lambda: world.api_calls("/v1/checkout/sessions"))
        web.kill()
        assert isinstance(click.exception(timeout=10), requests.ConnectionError)

    # What was to be asked is there, and nobody was given the address of a page to pay on.
    assert rows("SELECT status FROM payments") == [("created",)]
    [(attempt_id,)] = rows("SELECT id FROM attempts WHERE session_id IS NULL")

    # The server is back, and the customer clicks again once the dead process's claim has lapsed.
    until(lambda: world.api_calls("/v1/checkout/sessions")[0]["status"])
    world.set(api_delay_s=0)
    rows("UPDATE attempts SET claimed_at = claimed_at - interval '1 min' RETURNING id")
    web.start()
    # While Stripe is still at the dead process's question, it answers 409: the customer clicks on.
    answer = until(lambda: _redirect_of(browser.post(f"{url}/checkout", data=form,
                                                     allow_redirects=False)))  # fmt: skip

    # The same question under the same key: Stripe has made one session, and it can be paid once.
    first, *others = (
        call for call in world.api_calls("/v1/checkout/sessions") if call["status"] != 409
    )
    assert first["idempotency_key"] == str(attempt_id)
    assert others
    assert all(call["idempotency_key"] == first["idempotency_key"] for call in others)
    assert all(call["parameters"] == first["parameters"] for call in others)
    assert rows("SELECT count(*), count(session_id) FROM attempts") == [(1, 1)]
    assert world.pay(answer.headers["Location"]).status_code == 303


def _redirect_of(answer: requests.Response) -> requests.Response | None:
    return answer if answer.status_code == 303 else None


def test_worker_killed_in_the_middle_of_a_delivery(app, variables, submit, deliver, world, rows):
    sink = Sink()
    controller = Controller(sink, hostname="127.0.0.1", port=free_port())
    controller.start()
    environment = variables | {"MAIL_PORT": str(controller.port)}
    worker = Worker(environment)
    try:
        session_page = submit().location
        world.pay(session_page)
        deliver(world.events("checkout.session.completed")[0])

        # The server has the whole letter and not yet said so when the worker dies.
        until(sink.holding.is_set)
        worker.kill()
        assert rows("SELECT state, tries FROM emails WHERE kind = 'receipt'") == [("queued", 0)]

        worker.start()
        until(lambda: rows("SELECT state FROM emails WHERE kind = 'receipt'") == [("sent",)], 60)
        [before_the_crash, after_it] = sink.letters
        assert message_id(before_the_crash) == message_id(after_it)
        assert sink.accepted.count(message_id(after_it)) == 1
    finally:
        worker.stop()
        controller.stop()


class Sink:
    """A mail server that holds the first receipt it is sent, and never answers for it."""

    def __init__(self) -> None:
        self.holding = threading.Event()
        self.letters: list[str] = []
        self.accepted: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        letter = envelope.content.decode()
        if envelope.rcpt_tos != ["customer@example.com"]:
            return "250 OK"
        self.letters.append(letter)
        if not self.holding.is_set():
            self.holding.set()
            await asyncio.Event().wait()
        self.accepted.append(message_id(letter))
        return "250 OK"


def message_id(letter: str) -> str:
    found = re.search(r"^Message-ID: *(\S+)", letter, re.MULTILINE)
    assert found
    return found[1]
