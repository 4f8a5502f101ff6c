"""A customer in a browser. Tests that wait for letters ask for the whole `site`, worker and all."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.customer import Customer
from tests.stack import World


@pytest.fixture
def new_customer(
    new_page: Callable[..., Page],
    web: str,
    world: World,
    rows: Callable[..., list[Any]],
) -> Callable[..., Customer]:
    """A person with a browser, set up by Playwright's words for a context."""
    return lambda **options: Customer(new_page(**options), web, world, rows)


@pytest.fixture
def customer(new_customer: Callable[..., Customer]) -> Customer:
    return new_customer()
