"""Deliveries that are refused: nothing of them is stored, and Stripe is told so by a 400."""

import io
import json
import socket
from contextlib import ExitStack, suppress
from time import sleep

import pytest
import stripe

from payflow import clock
from payflow.web import webhooks
from sandbox.demo.postgres import free_port
from tests.http.conftest import retold, sign
from tests.stack import WEBHOOK_SECRET, Web, answers

# Of 50 kB each: more than a system keeps for a client that takes none of it (Linux: 4 MB).
ANSWERS = 120

BODY = '{"id": "evt_1", "object": "event", "type": "customer.created", "livemode": false}'


@pytest.fixture
def post(client):
    """Deliver a body under a Stripe-Signature header."""

    def deliver(body, header):
        headers = {} if header is None else {"Stripe-Signature": header}
        return client.post("/webhooks/stripe", data=body, headers=headers)

    return deliver


@pytest.fixture
def nothing_stored(rows):
    yield
    assert rows("SELECT count(*) FROM stripe_events") == [(0,)]
    assert rows("SELECT status FROM payments WHERE status <> 'open'") == []


def header(body=BODY, secret=WEBHOOK_SECRET, age=0):
    timestamp = int(clock.now().timestamp()) - age
    return stripe.WebhookSignature.generate_signature_header(body, secret, timestamp)


def signed_as(change):
    """The header of a good delivery, changed."""
    return change(header())


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda good: None, id="no header"),
        pytest.param(lambda good: "", id="an empty header"),
        pytest.param(lambda good: "signed", id="no signature"),
        pytest.param(lambda good: header(age=301), id="older than five minutes"),
        pytest.param(lambda good: header(secret="whsec_other"), id="another secret"),
        pytest.param(lambda good: header(body=BODY + " "), id="another body"),
        pytest.param(lambda good: good.replace("v1=", "v0="), id="another scheme"),
        pytest.param(lambda good: good.replace("v1=", "v1=0"), id="a digit more"),
        pytest.param(lambda good: good.split(",")[0], id="a time alone"),
        pytest.param(lambda good: good.split(",")[1], id="a signature alone"),
        pytest.param(lambda good: good + "é", id="other characters at the end"),
        pytest.param(lambda good: good.replace("v1=", "v1=é"), id="other characters in it"),
    ],
)
def test_a_body_not_known_to_be_stripes_is_refused(post, change):
    answer = post(BODY, signed_as(change))
    assert answer.status_code == 400
    assert answer.json["error"]


def test_the_same_body_with_a_good_signature_is_taken(post, rows):
    assert post(BODY, header()).status_code == 200
    assert rows("SELECT id FROM stripe_events") == [("evt_1",)]


@pytest.mark.parametrize("first", ["wrong", "good"])
def test_one_good_signature_among_several_suffices(post, rows, first):
    time, good = header().split(",")
    signatures = ["v1=" + "0" * 64, good, "v0=" + "0" * 64]
    if first == "good":
        signatures.reverse()
    assert post(BODY, ",".join([time, *signatures])).status_code == 200
    assert rows("SELECT id FROM stripe_events") == [("evt_1",)]


@pytest.mark.parametrize("secret", ["whsec_payflow_next", WEBHOOK_SECRET])
def test_while_a_secret_is_rolled_the_old_and_the_new_one_verify(post, secret):
    assert post(BODY, header(secret=secret)).status_code == 200


def test_a_body_that_is_signed_as_it_came_is_not_parsed_and_written_anew_first(
    completed, post, rows
):
    """Stripe's bytes are no JSON library's default: indented, in plain UTF-8."""
    event = retold(completed(), customer_email="kündin@example.com")
    body = json.dumps(event, indent=2, ensure_ascii=False)
    assert post(body.encode(), header(body)).status_code == 200
    assert rows("SELECT payload FROM stripe_events") == [(event,)]


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "not JSON"),
        ("this is not JSON", "not JSON"),
        ('{"id": "evt_1",}', "not JSON"),
        ("[]", "no event id"),
        ('[{"id": "evt_1"}]', "no event id"),
        ("null", "no event id"),
        ('"evt_1"', "no event id"),
        ("{}", "no event id"),
        ('{"id": null}', "no event id"),
        ('{"id": 7}', "no event id"),
        ('{"id": ""}', "no event id"),
        ('{"id": ["evt_1"]}', "no event id"),
        ('{"id": "evt_\\u0000"}', "no event id"),
        ('{"id": "evt_\\ud800"}', "no event id"),
        ('{"id": "evt_1", "created": NaN}', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('\ufeff{"id": "evt_1"}', "not JSON"),
    ],
)
def test_a_signed_body_that_is_no_event_is_refused(post, body, told):
    answer = post(body, header(body))
    assert answer.status_code == 400
    assert told in answer.json["error"]


@pytest.mark.usefixtures("nothing_stored")
def test_a_body_that_is_not_text_is_refused(post):
    assert post(b"\xff\xfe{}", header()).status_code == 400


@pytest.mark.usefixtures("nothing_stored")
def test_an_event_of_live_mode_is_refused_where_the_key_is_a_test_one(completed, deliver):
    event = completed() | {"livemode": True}
    answer = deliver(event)
    assert answer.status_code == 400
    assert "livemode" in answer.json["error"]


@pytest.mark.usefixtures("nothing_stored")
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_a_post_is_a_delivery(client, method):
    assert client.open("/webhooks/stripe", method=method).status_code == 405


# --- size ------------------------------------------------------------------------------------


class Unread(io.BytesIO):
    """A request's body that nobody may read."""

    def read(self, *args):
        pytest.fail("the body was read")

    readinto = readline = readlines = __iter__ = read


@pytest.mark.usefixtures("nothing_stored")
def test_a_body_over_the_limit_is_refused_before_it_is_read(client):
    answer = client.post(
        "/webhooks/stripe",
        input_stream=Unread(b"x" * (webhooks.LARGEST_BODY + 1)),
        headers=sign(BODY),
    )
    assert answer.status_code == 413


def test_a_body_just_below_the_limit_is_taken(post, rows):
    event = json.loads(BODY) | {"padding": ""}
    event["padding"] = "x" * (webhooks.LARGEST_BODY - len(json.dumps(event)))
    body = json.dumps(event)
    assert len(body) == webhooks.LARGEST_BODY
    assert post(body, header(body)).status_code == 200
    assert rows("SELECT id FROM stripe_events") == [("evt_1",)]


@pytest.mark.usefixtures("_web", "world")
def test_gunicorn_reads_a_body_of_no_told_length_up_to_the_limit(public_url, rows):
    """What is beyond is not read, so that the signature can't be right."""
    head = "\r\n".join(f"{name}: {value}" for name, value in sign(BODY).items())
    assert chunked(public_url, head, BODY.encode()) == 200
    assert rows("SELECT id FROM stripe_events") == [("evt_1",)]
    endless = BODY.ljust(webhooks.LARGEST_BODY) + " "
    head = "\r\n".join(f"{name}: {value}" for name, value in sign(endless).items())
    assert chunked(public_url, head, endless.encode()) in (400, 413)
    assert rows("SELECT count(*) FROM stripe_events") == [(1,)]


def chunked(url, head, body):
    """The status that a delivery in chunks is answered with."""
    host, port = url.removeprefix("http://").split(":")
    request = (
        f"POST /webhooks/stripe HTTP/1.1\r\nHost: {host}:{port}\r\n{head}\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request.encode())
        for start in range(0, len(body), 60_000):
            piece = body[start : start + 60_000]
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        return int(connection.recv(64).split()[1])


# --- time ------------------------------------------------------------------------------------


@pytest.fixture
def one_thread(variables):
    """The port of a web server of one thread that has a second's patience with its clients."""
    port = free_port()
    settings = {"GUNICORN_CMD_ARGS": "--workers=1 --threads=1", "CLIENT_PATIENCE": "1"}
    web = Web(f"http://127.0.0.1:{port}", variables | settings)
    yield port
    web.stop()


@pytest.mark.usefixtures("nothing_stored", "app", "world")
def test_a_delivery_that_stops_in_the_middle_does_not_hold_its_thread(one_thread):
    """There is one thread here: the next request is answered once the one before is given up."""
    head = f"POST /webhooks/stripe HTTP/1.1\r\nHost: 127.0.0.1:{one_thread}\r\n"
    assert answer_to(head, one_thread) == b""
    assert answer_to(f"{head}Content-Length: 100\r\n\r\n{{", one_thread) == b"HTTP/1.1 400"
    assert answers(f"http://127.0.0.1:{one_thread}/healthz")


@pytest.mark.usefixtures("app", "world")
def test_connections_on_which_nothing_is_said_hold_no_thread(one_thread):
    with ExitStack() as silent:
        for _ in range(40):
            silent.enter_context(socket.create_connection(("127.0.0.1", one_thread)))
        assert answers(f"http://127.0.0.1:{one_thread}/healthz")


@pytest.mark.usefixtures("app", "world")
def test_answers_that_nobody_takes_do_not_hold_their_thread(one_thread):
    request = f"GET /assets/htmx.js HTTP/1.1\r\nHost: 127.0.0.1:{one_thread}\r\n\r\n".encode()
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2304)
        deaf.settimeout(0.1)
        deaf.connect(("127.0.0.1", one_thread))
        # One after another, for the server looks for the next once the last has left its hands.
        with suppress(OSError):
            for _ in range(ANSWERS):
                deaf.sendall(request)
                sleep(0.02)
        assert answers(f"http://127.0.0.1:{one_thread}/healthz")


def answer_to(begun, port):
    """The first words of the answer to a request of which no more comes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(begun.encode())
        return connection.recv(12)
