"""A customer in a browser, and one without one. Tests that wait for letters ask for the whole
`site`, worker and all."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.customer import Customer
from tests.stack import World
from tests.states import Payer


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


@pytest.fixture
def payer(web: str, world: World, variables: Mapping[str, str]) -> Payer:
    """Somebody with a payment, which `tests.states` bring where it is to be looked at."""
    return Payer(web, world, variables)
