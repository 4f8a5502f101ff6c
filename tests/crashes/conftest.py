"""The process that dies, and what the tests over HTTP have: the form, deliveries, Stripe's API."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from payflow import clock
from sandbox.demo.processes import on_leash
from tests.http.conftest import (  # noqa: F401  # fixtures
    asked,
    at_stripe,
    completed,
    deliver,
    fill_in,
    move_clocks,
    paid,
    submit,
    world,
)
from tests.stack import ROOT, Program

NOW = clock.now


@pytest.fixture(scope="session")
def _child(variables: dict[str, str], _app: object) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        on_leash([sys.executable, "-W", "ignore", "-m", "tests.crashes.child"], signal.SIGTERM),
        cwd=ROOT,
        env={"PATH": "", **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield child
    child.terminate()
    child.communicate(timeout=15)


@pytest.fixture
def child(_child: subprocess.Popen[str]) -> Callable[..., dict[str, Any]]:
    """Do a scenario in a process of its own, which dies at the n-th point (0: at none)."""

    def run(scenario: str, die_at: int = 0, **arguments: Any) -> dict[str, Any]:
        order = {"scenario": scenario, "arguments": arguments, "die_at": die_at,
                 "shift_s": (clock.now() - NOW()).total_seconds()}  # fmt: skip
        assert _child.stdin
        assert _child.stdout
        _child.stdin.write(json.dumps(order) + "\n")
        _child.stdin.flush()
        answer: dict[str, Any] = json.loads(_child.stdout.readline())
        return answer

    return run


@pytest.fixture
def die_everywhere(child: Callable[..., dict[str, Any]]) -> Callable[..., list[str]]:
    """Do a scenario once to count its points, and then again and again, dying at each in turn.

    Between what is after one thing and before the next nothing happens that the world could see, so
    that only the latter is tried, and the end.

    `prepare` makes what it is about, anew each time, and answers the scenario's arguments; `check`
    gets those and the points met up to the death: it restarts, and asserts.
    """

    def run(
        scenario: str,
        prepare: Callable[[], dict[str, Any]],
        check: Callable[[dict[str, Any], Sequence[str]], None],
    ) -> list[str]:
        points: list[str] = child(scenario, **prepare())["points"]
        for n, point in enumerate(points, 1):
            if point.startswith("after") and n < len(points):
                continue
            arguments = prepare()
            came_to = child(scenario, n, **arguments)
            where = f"{scenario}, point {n} of {len(points)}: {came_to}"
            assert came_to["died"], where
            try:
                check(arguments, came_to["points"])
            # Whatever it is, it is raised again, and says at which point.
            except Exception as error:
                error.add_note(where)
                raise
        return points

    return run


@pytest.fixture
def start(
    variables: dict[str, str], rows: Callable[..., list[Any]]
) -> Iterator[Callable[..., Program]]:
    """Start a worker, a quick one, that sends its letters to the server on this port."""
    # Those of earlier tests, which were killed.
    rows("DELETE FROM procrastinate_workers RETURNING 1")
    workers: list[Program] = []

    def run(port: int, **changes: str) -> Program:
        environment = variables | {"MAIL_PORT": str(port), **changes}
        workers.append(Program("tests.crashes.worker", environment=environment))
        return workers[-1]

    yield run
    for worker in workers:
        worker.kill()
