"""How the business looks: its colour, logo, terms and tax line, on pages and in letters."""

import re

import pytest

LOOKS = {
    "BRAND_COLOR": "#FFD400",
    "LOGO_URL": "https://cdn.northlight.example/logo.svg?v=2",
    "TERMS_URL": "https://northlight.example/terms",
    "PRIVACY_URL": "https://northlight.example/privacy",
    "BUSINESS_TAX_ID": "VAT IE1234567X",
    "STATEMENT_DESCRIPTOR": "NORTHLIGHT",
}


@pytest.fixture
def decked_out(installed):
    """A client of an installation that says how it looks."""
    return installed(**LOOKS).test_client()


def style_of(client):
    (address,) = re.findall(r'href="([^"]+colors\.css[^"]*)"', client.get("/").text)
    return address, client.get(address)


def test_the_colours_are_a_stylesheet_that_browsers_keep_until_it_changes(client, decked_out):
    ours, plain = style_of(client)
    theirs, styled = style_of(decked_out)
    assert ours != theirs
    assert "--brand: #4338ca;" in plain.text
    for ground in ("#f5f6f9", "#0d111b"):
        assert f"--ground: {ground};" in plain.text
    assert "--brand: #ffd400;" in styled.text
    assert "--on-brand: #10172a;" in styled.text
    assert styled.headers["Content-Type"] == "text/css; charset=utf-8"
    assert styled.headers["Cache-Control"] == "public, max-age=31536000"
    assert decked_out.get(theirs.replace("colors", "other")).status_code == 404


def test_the_favicon_is_in_the_businesss_colour(decked_out):
    (address,) = re.findall(r'rel="icon" href="([^"]+)"', decked_out.get("/").text)
    icon = decked_out.get(address)
    assert icon.mimetype == "image/svg+xml"
    assert 'fill="#ffd400"' in icon.text


def test_the_logo_stands_for_the_name_and_is_the_one_picture_from_elsewhere(client, decked_out):
    page = decked_out.get("/")
    (logo,) = re.findall(r"<img[^>]*>", page.text)
    assert f'src="{LOOKS["LOGO_URL"]}"' in logo
    assert 'alt="Northlight Consulting"' in logo
    assert 'referrerpolicy="no-referrer"' in logo
    policy = page.headers["Content-Security-Policy"].split("; ")
    assert "img-src 'self' https://cdn.northlight.example/logo.svg" in policy
    without = client.get("/")
    assert "<img" not in without.text
    assert "img-src 'self'" in without.headers["Content-Security-Policy"].split("; ")


def test_every_page_names_the_terms_the_privacy_notice_and_the_tax_number(client, decked_out):
    for path in ("/", "/nothing-here"):
        page = decked_out.get(path).text
        assert f'<a href="{LOOKS["TERMS_URL"]}">Terms</a>' in page
        assert f'<a href="{LOOKS["PRIVACY_URL"]}">Privacy</a>' in page
        assert "VAT IE1234567X" in page
        assert "Terms" not in client.get(path).text


def test_letters_bear_the_colour_the_logo_and_the_tax_number(
    installed, completed, deliver, mailbox, work
):
    deliver(completed())
    with installed(**LOOKS).app_context():
        work()
    (receipt,) = mailbox.letters("customer@example.com")
    (button,) = re.findall(r'<table class="button".*?</table>', receipt["html"], flags=re.DOTALL)
    assert "#ffd400" in button
    assert "#10172a" in button
    (logo,) = re.findall(r"<img[^>]*>", receipt["html"])
    assert 'alt="Northlight Consulting"' in logo
    for part in ("html", "text"):
        assert "VAT IE1234567X" in receipt[part]
        assert "NORTHLIGHT" in receipt[part]
