"""What every answer tells browsers, what the cookie is like, and the hosts that we answer to."""

import json
import re

import pytest

from tests.http.conftest import FORM, hidden_fields, sign

NOBODYS = "7d0a2b4e-0000-4000-8000-000000000001"


@pytest.fixture
def secure(installed, public_url, world):
    """A browser of an installation that is reached by https."""
    app = installed(PUBLIC_URL=public_url.replace("http:", "https:"))
    browser = app.test_client()
    browser.environ_base["wsgi.url_scheme"] = "https"
    return browser


# --- headers ---------------------------------------------------------------------------------


def test_every_answer_tells_browsers_what_they_may_do_with_it(client, submit, rows):
    submit()
    ((payment_id,),) = rows("SELECT id FROM payments")
    answers = [
        client.get("/"),
        client.get(f"/payments/{payment_id}"),
        client.get(f"/payments/{payment_id}/status"),
        client.get(f"/payments/{NOBODYS}"),
        client.get("/static/payflow.css"),
        client.get("/assets/htmx.js"),
        client.get("/healthz"),
        client.get("/", headers={"Host": "evil.example"}),
        client.post("/checkout", data=FORM),
        client.post("/webhooks/stripe", data="{}"),
        submit(),
        submit(amount="twelve"),
    ]
    assert [one.status_code for one in answers] == [
        200, 200, 200, 404, 200, 200, 200, 400, 400, 400, 303, 422,
    ]  # fmt: skip
    for answer in answers:
        headers = answer.headers
        policy = headers["Content-Security-Policy"].split("; ")
        assert {"default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(policy)
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "payment=()" in headers["Permissions-Policy"].split(", ")
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in headers
        answer.close()  # two of them are files


@pytest.mark.parametrize("part", ["", "/status", "/on-its-way", "/retry", "/nothing"])
def test_whatever_is_under_a_payments_address_is_in_no_search_engine_and_in_no_cache(
    client, submit, rows, part
):
    submit()
    ((payment_id,),) = rows("SELECT id FROM payments")
    headers = client.get(f"/payments/{payment_id}{part}").headers
    assert headers["X-Robots-Tag"] == "noindex, nofollow"
    assert headers["Cache-Control"] == "no-store"


ASSETS = ("/static/payflow.css", "/assets/brand/colors.css", "/assets/htmx.js")


@pytest.mark.parametrize("asset", ASSETS)
def test_an_asset_is_kept_for_long_under_the_address_of_its_version_alone(
    client, submit, rows, asset
):
    """During a deploy a page of one version may be answered the other's: not for a year."""
    submit()
    ((payment_id,),) = rows("SELECT id FROM payments")
    page = client.get(f"/payments/{payment_id}").text
    (address,) = re.findall(rf'"({asset}\?v=[^"]+)"', page)
    assert kept(client, address) == "public, max-age=31536000"
    for other in (asset, f"{asset}?v=0123456789ab", f"{address}&lang=de"):
        assert kept(client, other) == "no-cache"
    assert kept(client, f"{asset}.gone?v=0123456789ab", status=404) == "no-store"


def kept(client, address, status=200):
    """What caches are told of an asset; it is the same for all, and sets nobody's cookie."""
    with client.get(address) as answer:
        assert answer.status_code == status
        assert "Set-Cookie" not in answer.headers
        assert "Expires" not in answer.headers or "max-age" in answer.headers["Cache-Control"]
        return answer.headers["Cache-Control"]


def test_the_form_itself_may_be_found(client):
    assert "X-Robots-Tag" not in client.get("/").headers


def test_only_where_it_is_reached_by_https_browsers_are_told_to_stay_with_it(client, secure):
    assert "Strict-Transport-Security" not in client.get("/").headers
    assert secure.get("/").headers["Strict-Transport-Security"] == "max-age=63072000"


# --- the cookie ------------------------------------------------------------------------------


def cookie_of(browser):
    """The cookie that the form comes with: its name, and its attributes."""
    (cookie,) = browser.get("/").headers.getlist("Set-Cookie")
    value, *attributes = cookie.split("; ")
    return value.partition("=")[0], set(attributes)


def test_the_cookie_is_for_our_pages_alone_and_for_as_long_as_the_browser_is_open(client):
    assert cookie_of(client) == ("payflow", {"HttpOnly", "Path=/", "SameSite=Lax"})


def test_on_https_the_cookie_travels_encrypted_and_no_neighbour_can_set_it(secure, rows):
    assert cookie_of(secure) == ("__Host-payflow", {"HttpOnly", "Path=/", "SameSite=Lax", "Secure"})
    form = FORM | hidden_fields(secure.get("/").text)
    assert secure.post("/checkout", data=form).status_code == 303
    assert rows("SELECT status FROM payments") == [("open",)]


def test_a_cookie_that_was_tampered_with_is_none(client, fill_in, rows):
    form = fill_in()
    contents, signature = client.get_cookie("payflow").value.rsplit(".", 1)
    # Not the last character: that has bits which base64 does not count.
    forged = ("B" if signature[0] == "A" else "A") + signature[1:]
    client.set_cookie("payflow", f"{contents}.{forged}")
    assert client.post("/checkout", data=form).status_code == 400
    assert rows("SELECT count(*) FROM payments") == [(0,)]


def test_looking_at_a_payments_page_sets_no_cookie_where_nothing_can_be_sent(
    client, app, completed, deliver, rows
):
    deliver(completed())
    ((payment_id,),) = rows("SELECT id FROM payments")
    answer = app.test_client().get(f"/payments/{payment_id}")
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers


# --- hosts -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "evil.example:80", "a b", ""]
)
def test_a_host_that_is_not_ours_gets_no_form_no_payment_and_no_delivery(
    client, fill_in, rows, host
):
    form, body = fill_in(), json.dumps({"id": "evt_1"})
    assert client.get("/", headers={"Host": host}).status_code == 400
    assert client.post("/checkout", data=form, headers={"Host": host}).status_code == 400
    delivery = sign(body) | {"Host": host}
    assert client.post("/webhooks/stripe", data=body, headers=delivery).status_code == 400
    assert rows("SELECT count(*) FROM payments") == [(0,)]
    assert rows("SELECT count(*) FROM stripe_events") == [(0,)]


def test_who_asks_whether_we_are_alive_may_do_so_by_any_name(client):
    assert client.get("/healthz", headers={"Host": "10.0.0.7:10000"}).status_code == 200


def test_no_header_leads_customers_back_to_another_site(installed, world, public_url, rows):
    browser = installed(TRUSTED_PROXIES="1").test_client()
    forged = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "203.0.113.7",
        "Forwarded": "host=evil.example",
        "X-Original-URL": "/evil",
    }
    form = FORM | hidden_fields(browser.get("/", headers=forged).text)
    answer = browser.post("/checkout", data=form, headers=forged)
    assert answer.status_code == 303
    assert "evil" not in answer.location
    (call,) = world.api_calls("/v1/checkout/sessions")
    assert call["parameters"]["success_url"].startswith(f"{public_url}/payments/")
    assert call["parameters"]["cancel_url"].startswith(f"{public_url}/payments/")
