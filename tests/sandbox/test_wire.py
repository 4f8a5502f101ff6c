"""What the HTTP server makes of requests that no library would send."""

import socket
from email.utils import parsedate_to_datetime

import pytest
import requests
import stripe

from .conftest import Sandbox
from .merchant import charge_of, paid

HOUR = 60 * 60


def say(sandbox: Sandbox, *parts: bytes) -> str:
    """What is answered to these bytes once nothing more can come."""
    host, port = sandbox.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        for part in parts:
            line.sendall(part)
        line.shutdown(socket.SHUT_WR)
        return line.makefile("rb").read().decode()


def head(path: str, length: int, *headers: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Authorization: Bearer sk_test_payflow",
        f"Content-Length: {length}",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def test_a_request_that_is_cut_off_has_no_effect(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    """Without its end, a refund of a part would be one of all."""
    charge = charge_of(client, paid(client)).id
    form = f"charge={charge}&amount=10".encode()
    assert say(sandbox, head("/v1/refunds", len(form)), form[: -len(b"&amount=10")]) == ""
    assert client.v1.refunds.list().data == []
    assert say(sandbox, head("/v1/refunds", len(form)), form).startswith("HTTP/1.1 200 ")
    assert [refund.amount for refund in client.v1.refunds.list().data] == [10]


def test_the_answers_date_is_the_stand_ins(client: stripe.StripeClient, sandbox: Sandbox) -> None:
    sandbox.advance(5 * HOUR)
    intent = client.v1.payment_intents.retrieve(paid(client))
    headers = intent.last_response.headers
    assert 0 <= parsedate_to_datetime(headers["Date"]).timestamp() - intent.created < 60


def test_an_idempotency_key_over_two_lines_is_one_key(
    client: stripe.StripeClient, sandbox: Sandbox
) -> None:
    form = f"charge={charge_of(client, paid(client)).id}&amount=10".encode()
    request = head("/v1/refunds", len(form), "Idempotency-Key: first\r\n second")
    for _ in range(2):
        answer = say(sandbox, request, form)
        assert answer.startswith("HTTP/1.1 200 ")
        assert "\r\nIdempotency-Key: first second\r\n" in answer
    assert len(client.v1.refunds.list().data) == 1


FORM = (
    "mode=payment&success_url=http://127.0.0.1:9/&line_items[][quantity]=2"
    "&line_items[][price_data][currency]=eur&line_items[][price_data][unit_amount]=500"
    "&line_items[][price_data][product_data][name]=A"
)
SECOND = (
    "&line_items[][quantity]=1&line_items[][price_data][currency]=eur"
    "&line_items[][price_data][unit_amount]=70&line_items[][price_data][product_data][name]=B"
)


def create(sandbox: Sandbox, form: str, query: str = "") -> requests.Response:
    return requests.post(
        f"{sandbox.url}/v1/checkout/sessions{query}",
        form.encode(),
        headers={"Authorization": "Bearer sk_test_payflow"},
        timeout=5,
    )


@pytest.mark.parametrize(("form", "total"), [(FORM, 1000), (FORM + SECOND, 1070)])
def test_brackets_without_a_number_go_on_with_the_item(
    sandbox: Sandbox, form: str, total: int
) -> None:
    answer = create(sandbox, form)
    assert (answer.status_code, answer.json()["amount_total"]) == (200, total)


@pytest.mark.parametrize(
    "bad",
    [
        "client_reference_id=%ff%fe",
        "client_reference_id=a%00b",
        "metadata[%00]=b",
        "metadata[%ff]=b",
        "customer_email=a@example.com%0A",
    ],
)
def test_what_no_text_can_be_is_refused(sandbox: Sandbox, bad: str) -> None:
    answer = create(sandbox, f"{FORM}&{bad}")
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


def test_parameters_in_a_posts_address_count_too(sandbox: Sandbox) -> None:
    assert (
        create(sandbox, FORM, "?client_reference_id=seven").json()["client_reference_id"] == "seven"
    )
    assert create(sandbox, FORM, "?nonsense=1").status_code == 400
