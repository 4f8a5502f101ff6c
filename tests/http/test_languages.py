"""Everything in the reader's language: pages by the browser's, letters by the form's."""

import html
import json
import re

import pytest

from tests.http.conftest import FORM, hidden_fields, retold, sign, words_of

GERMAN = {"Accept-Language": "de-AT,de;q=0.9,en;q=0.5"}


def test_the_browsers_language_is_answered(client):
    page = client.get("/", headers=GERMAN).text
    assert '<html lang="de">' in page
    assert "An Northlight Consulting zahlen" in words_of(page)
    # By a hyphen at which no line ends.
    assert "den Beleg per E\u2011Mail." in words_of(page)
    assert '<html lang="en">' in client.get("/").text


@pytest.mark.parametrize("header", ["", "*", "fr", "xx-YY", "de;q=0", ";;;", "d" * 5000])
def test_a_language_that_we_do_not_have_is_answered_in_the_owners(client, header):
    assert '<html lang="en">' in client.get("/", headers={"Accept-Language": header}).text


def test_the_language_that_was_chosen_is_kept(client):
    assert '<html lang="de">' in client.get("/?lang=de").text
    assert '<html lang="de">' in client.get("/").text
    assert '<html lang="en">' in client.get("/?lang=en", headers=GERMAN).text
    assert '<html lang="en">' in client.get("/?lang=xx", headers=GERMAN).text


def test_a_choice_of_language_keeps_what_the_address_prefills(client):
    page = client.get("/?amount=25&description=A+%26+B").text
    links = re.findall(r'<a href="(\?[^"]*lang=de)"', page)
    assert [link.replace("&amp;", "&") for link in links] == [
        "?amount=25&description=A+%26+B&lang=de"
    ]


def test_amounts_are_read_as_the_language_writes_them(client, world, rows):
    client.get("/?lang=de")
    form = FORM | hidden_fields(client.get("/").text) | {"amount": "1.250,50"}
    assert client.post("/checkout", data=form).status_code == 303
    assert rows("SELECT amount, language FROM payments") == [(125050, "de")]


@pytest.mark.parametrize("typed", ["12.50", "1,250.00", "1250,505", "12,5,0", "1.25"])
def test_an_amount_that_the_language_writes_otherwise_is_refused_and_not_guessed(
    client, world, rows, typed
):
    client.get("/?lang=de")
    form = FORM | hidden_fields(client.get("/").text) | {"amount": typed}
    answer = client.post("/checkout", data=form)
    assert answer.status_code == 422
    assert f'value="{typed}"' in answer.text
    words = words_of(answer.text)
    assert "etwa 25,00" in words or "höchstens zwei Nachkommastellen" in words
    assert rows("SELECT count(*) FROM payments") == [(0,)]


def test_a_wrong_input_is_told_in_the_language(client, world):
    client.get("/?lang=de")
    form = FORM | hidden_fields(client.get("/").text) | {"amount": "0,10", "email": "x"}
    page = words_of(client.post("/checkout", data=form).text)
    assert "Geben Sie mindestens 0,50 € ein" in page
    assert "Geben Sie eine E-Mail-Adresse ein, etwa name@example.com" in page


def test_a_form_with_errors_is_shown_in_another_language_with_what_was_typed(client, world, rows):
    typed = FORM | hidden_fields(client.get("/?lang=en").text) | {"amount": "1,250.00"}
    page = client.post("/checkout", data=typed | {"email": "x"}).text
    ((address, name, value),) = re.findall(
        r'<button type="submit" form="payment" formaction="([^"]+)" name="(\w+)" value="(\w+)"',
        page,
    )
    again = typed | hidden_fields(page) | {"email": "x", name: value}
    answer = client.post(address, data=again)
    assert '<html lang="de">' in answer.text
    assert "Geben Sie eine E-Mail-Adresse ein" in words_of(answer.text)
    assert 'value="1,250.00"' in answer.text
    # With nothing wrong, nothing is begun all the same; then it is, and the amount is what it was.
    mended = again | hidden_fields(answer.text) | {"email": "customer@example.com"}
    assert client.post(address, data=mended).status_code == 200
    assert rows("SELECT count(*) FROM payments") == [(0,)]
    del mended[name]
    assert client.post("/checkout", data=mended).status_code == 303
    assert rows("SELECT amount FROM payments") == [(125_000,)]


def test_a_customer_gets_the_receipt_in_the_forms_language_and_the_owner_in_the_owners(
    client, world, deliver, work, mailbox
):
    client.get("/?lang=de")
    form = FORM | hidden_fields(client.get("/").text) | {"amount": "12,50"}
    world.pay(client.post("/checkout", data=form).location)
    deliver(world.events("checkout.session.completed")[0])
    work()
    (receipt,) = mailbox.letters(to="customer@example.com")
    assert receipt["subject"].startswith("Beleg von Northlight Consulting: 12,50\u00a0€")
    assert "Zahlung erhalten: 12,50\u00a0€" in receipt["text"]
    assert '<html lang="de">' in receipt["html"]
    (told,) = mailbox.letters(to="owner@northlight.example")
    assert told["subject"].startswith("You’ve been paid €12.50")


def test_what_is_noted_for_the_owner_is_in_the_owners_language(client, completed, rows):
    client.get("/?lang=de")
    event = retold(completed(amount="12,50"))
    body = json.dumps(event)
    headers = sign(body) | GERMAN
    assert client.post("/webhooks/stripe", data=body, headers=headers).status_code == 200
    assert rows("SELECT 1 FROM timeline_entries WHERE happened = '€12.50 received'") == [(1,)]


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        ({"amount_total": 1}, "0,01\u00a0€ statt 12,50\u00a0€"),
        ({"currency": "jpy"}, "1.250\u00a0¥ statt 12,50\u00a0€"),
        ({"livemode": True}, "Eine echte Zahlung statt einer Testzahlung"),
        ({"payment_status": "no_payment_required"}, "Es war nichts zu bezahlen"),
    ],
    ids=["amount", "currency", "mode", "nothing to pay"],
)
def test_what_disagrees_is_told_in_the_owners_language(
    completed, deliver, installed, work, mailbox, lie, words
):
    deliver(retold(completed(), **lie))
    with installed(LOCALE="de_DE").app_context():
        work()
    told = mailbox.letters(to="owner@northlight.example")
    assert [words in letter["text"] for letter in told].count(True) == 1


@pytest.mark.parametrize(
    ("description", "name"),
    [
        ("فاتورة رقم ١٢: استشارة", "مريم الأندلسي"),
        ("חשבונית 118 (ייעוץ)", "נועה"),
        ("Rechnung 🧾 für 👩\u200d💻 & 家族", "Zoë 🌻"),
    ],
    ids=["Arabic", "Hebrew", "emoji"],
)
def test_every_script_is_carried_unharmed_to_stripe_to_the_page_and_to_the_letter(
    client, completed, deliver, rows, world, work, mailbox, description, name
):
    event = completed(description=description, name=name, reference=name)
    assert deliver(event).status_code == 200
    work()
    asked = world.api_calls("/v1/checkout/sessions")[0]["parameters"]
    (item,) = asked["line_items"]
    assert item["price_data"]["product_data"]["name"] == description
    ((payment_id, *stored),) = rows("SELECT id, description, name, reference FROM payments")
    assert stored == [description, name, name]
    page = html.unescape(client.get(f"/payments/{payment_id}").text)
    assert f'<dd dir="auto">{description}</dd>' in page
    assert f'<dd dir="auto">{name}</dd>' in page
    (told,) = mailbox.letters(to="owner@northlight.example")
    for part in (told["text"], html.unescape(told["html"])):
        assert description in part.replace("\u2060", "")
        assert name in part.replace("\u2060", "")


@pytest.mark.parametrize("field", ["description", "reference", "name"])
def test_what_turns_text_round_is_taken_out_of_what_was_typed(
    completed, deliver, rows, work, mailbox, world, field
):
    """\u202e00.05€ reads as €50.00, to the owner, and in Stripe's Dashboard."""
    typed = "\u2066\u202dInvoice\u202c \u202e00.05€\u2069 \u202bשלום\u202c 👩\u200d💻\u200f"
    plain = "Invoice 00.05€ שלום 👩\u200d💻\u200f"
    assert deliver(completed(**{field: typed})).status_code == 200
    assert rows(f"SELECT {field} FROM payments") == [(plain,)]
    work()
    (told,) = mailbox.letters(to="owner@northlight.example")
    for part in (told["text"], html.unescape(told["html"])):
        assert plain in part.replace("\u2060", "")
    asked = world.api_calls("/v1/checkout/sessions")[0]["parameters"]
    assert not {"\u202d", "\u202e", "\u2066"} & set(str(asked))
