"""Whether a process is alive, and whether it can do its work."""

import pytest

from sandbox.demo.postgres import free_port
from tests.http.conftest import sign


@pytest.fixture
def empty_database(postgres):
    """A database of its own, without a table."""
    postgres.create_database("empty")
    yield postgres.url("empty")
    postgres.drop_database("empty")


def test_a_process_that_answers_is_alive(client):
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "alive"})


def test_with_the_schema_it_was_written_for_it_is_ready(client):
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (200, {"status": "ready"})


def test_with_a_schema_that_is_behind_it_is_alive_and_not_ready(installed, empty_database):
    client = installed(DATABASE_URL=empty_database).test_client()
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "run `flask db upgrade`" in answer.json["status"]
    assert client.get("/healthz").status_code == 200


def test_without_its_database_it_is_alive_and_not_ready(installed):
    url = f"postgresql://payflow:payflow@127.0.0.1:{free_port()}/payflow"
    client = installed(DATABASE_URL=url).test_client()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json) == (503, {"status": "the database cannot be reached"})
    assert client.get("/healthz").status_code == 200


def test_without_its_database_a_delivery_is_asked_for_again(installed):
    """Stripe delivers again whatever was not answered by 2xx."""
    url = f"postgresql://payflow:payflow@127.0.0.1:{free_port()}/payflow"
    client = installed(DATABASE_URL=url).test_client()
    body = '{"id": "evt_1", "object": "event", "type": "customer.created", "livemode": false}'
    answer = client.post("/webhooks/stripe", data=body, headers=sign(body))
    assert answer.status_code == 500


def test_the_state_of_a_process_is_told_afresh_each_time(client):
    for path in ("/healthz", "/readyz"):
        assert client.get(path).headers["Cache-Control"] == "no-store"
