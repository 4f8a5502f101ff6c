"""The form's trap: a field that people don't see, and that programs fill in as they do all."""

import re

import pytest

from tests.http.conftest import FORM, hidden_fields


@pytest.fixture
def caught(fill_in, client):
    """Send the form as such a program does."""
    return lambda **changes: client.post("/checkout", data=fill_in(subject="x", **changes))


def test_what_falls_into_the_trap_is_answered_like_a_mistake_and_asks_stripe_nothing(
    caught, rows, world, caplog
):
    answer = caught()
    assert answer.status_code == 422
    assert "Please send the form once more" in answer.text
    assert "Nothing has been charged" in answer.text
    assert "trap" not in answer.text
    assert rows("SELECT count(*) FROM payments") == [(0,)]
    assert world.api_calls() == []
    assert "form caught in the trap, from 127.0.0.1" in caplog.text


def test_a_person_who_fell_into_it_sends_the_form_once_more_and_is_through(caught, client):
    page = caught(reference="A-7").text
    for value in ("12.50", "Invoice 2026-118", "A-7", "A. Customer", "customer@example.com"):
        assert f'value="{value}"' in page
    (trap,) = re.findall(r'<input[^>]*name="subject"[^>]*>', page)
    assert 'value=""' in trap
    form = FORM | hidden_fields(page) | {"subject": ""}
    assert client.post("/checkout", data=form).status_code == 303


def test_neither_screen_readers_nor_keyboards_nor_browsers_that_fill_in_come_to_the_trap(client):
    page = client.get("/").text
    (around,) = re.findall(r"<div([^>]*)>\s*<label for=\"subject\">", page)
    assert 'aria-hidden="true"' in around
    (trap,) = re.findall(r'<input[^>]*name="subject"[^>]*>', page)
    assert 'tabindex="-1"' in trap
    assert 'autocomplete="off"' in trap
    assert 'value=""' in trap
    assert "required" not in trap


def test_the_address_cannot_fill_in_the_trap(client):
    (trap,) = re.findall(r'<input[^>]*name="subject"[^>]*>', client.get("/?subject=hello").text)
    assert 'value=""' in trap


def test_who_falls_into_it_again_and_again_is_limited(installed, world):
    browser = installed(LIMIT_PER_ADDRESS="2 per hour").test_client()
    form = FORM | hidden_fields(browser.get("/").text)
    answers = [browser.post("/checkout", data=form | {"subject": "x"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [422, 422, 429]
    assert "Nothing has been charged" in answers[2].text
    assert browser.post("/checkout", data=form).status_code == 429
