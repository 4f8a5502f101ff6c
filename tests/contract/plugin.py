"""After each test, all that its stand-in said and was asked is held against Stripe's document.

A disagreement fails the test that met it first. The numbers stand in the summary.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.recordings import BOOKS

COUNTED = pytest.StashKey[Counter[str]]()
IN_WORKER = "stripe_contract"


@pytest.fixture(autouse=True, scope="session")
def _contract_at_the_end() -> Iterator[None]:
    """What was said after the last test's end: deliveries under way, fixtures tidying up."""
    yield
    _judge()


@pytest.fixture(autouse=True)
def _contract() -> Iterator[None]:
    yield
    _judge()


def _judge() -> None:
    found = BOOKS.new_disagreements()
    if found:
        told = "\n".join(f"- {one}" for one in found)
        pytest.fail(f"the stand-in and Stripe's OpenAPI document disagree:\n{told}", pytrace=False)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[COUNTED] = Counter()
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(_FromWorkers(config))


def pytest_sessionfinish(session: pytest.Session) -> None:
    output = getattr(session.config, "workeroutput", None)
    if output is None:
        session.config.stash[COUNTED].update(BOOKS.judge.counts)
    else:
        output[IN_WORKER] = dict(BOOKS.judge.counts)


class _FromWorkers:
    """A hook of pytest-xdist's, which need not be there."""

    def __init__(self, config: pytest.Config) -> None:
        self._counted = config.stash[COUNTED]

    def pytest_testnodedown(self, node: Any) -> None:
        self._counted.update(getattr(node, "workeroutput", {}).get(IN_WORKER, {}))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    counted = config.stash[COUNTED]
    if counted:
        listed = ", ".join(f"{number:,} {what}" for what, number in sorted(counted.items()))
        terminalreporter.write_line(f"Held against Stripe's OpenAPI document: {listed}")
