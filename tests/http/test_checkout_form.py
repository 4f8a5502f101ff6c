"""The payment form: what is refused and how, what is kept, and what the URL may fill in."""

import pytest

from tests.http.conftest import FORM, hidden_fields

LONG = "x" * 201


def error_beside(page, field):
    """The error's text beside a field, which names it as its description."""
    marker = f'id="{field}-error"'
    assert marker in page, f"no error beside {field}"
    text = page.split(marker, 1)[1].split("</p>", 1)[0]
    return text.rsplit("</span>", 1)[1].strip()


@pytest.mark.parametrize(
    ("field", "typed", "sentence"),
    [
        ("amount", "", "Enter the amount"),
        ("amount", "twelve", "Enter the amount as a number, like 25.00"),
        ("amount", "1e3", "Enter the amount as a number, like 25.00"),
        ("amount", "12,50", "Enter the amount as a number, like 25.00"),
        ("amount", "12.505", "EUR amounts have at most two decimals"),
        ("amount", "0", "Enter an amount greater than zero"),
        ("amount", "-12.50", "Enter an amount greater than zero"),
        ("amount", "0.49", "Enter at least €0.50"),
        ("amount", "9" * 31, "Write at most 30 characters"),
        ("amount", "12\x0050", "Enter the amount as a number, like 25.00"),
        ("amount", "1," + "1" * 28, "Enter the amount as a number, like 25.00"),
        ("amount", "1,25.00", "Enter the amount as a number, like 25.00"),
        ("amount", "1 250.00", "Enter the amount as a number, like 25.00"),
        ("amount", "€12.50", "Enter the amount as a number, like 25.00"),
        ("amount", "١٢٫٥٠", "Enter the amount as a number, like 25.00"),
        ("description", "", "Say what the payment is for"),
        ("description", "   ", "Say what the payment is for"),
        ("description", LONG, "Write at most 200 characters"),
        ("description", "Invoice\n118", "Remove the control characters from this field"),
        ("description", "Invoice\x00118", "Remove the control characters from this field"),
        ("reference", "x" * 101, "Write at most 100 characters"),
        ("reference", "A\x7f7", "Remove the control characters from this field"),
        ("name", "", "Enter your name"),
        ("name", "   ", "Enter your name"),
        ("name", "A.\r\nCustomer", "Remove the control characters from this field"),
        ("name", "x" * 101, "Write at most 100 characters"),
        ("email", "", "Enter your e-mail address"),
        ("email", "customer", "Enter one e-mail address, like name@example.com"),
        ("email", "a@example.com,b@example.com", "Enter one e-mail address, like name@example.com"),
        ("email", "a@example.com b@example.com", "Enter one e-mail address, like name@example.com"),
        ("email", "a@example.com\r\nBcc: b@x.y", "Enter one e-mail address, like name@example.com"),
        ("email", "A <a@example.com>", "Enter one e-mail address, like name@example.com"),
        ("email", "kündin@example.com", "Enter one e-mail address, like name@example.com"),
        ("email", "a\x00@example.com", "Enter one e-mail address, like name@example.com"),
        ("email", "a\t@example.com", "Enter one e-mail address, like name@example.com"),
        ("email", "a@example.com;b@example.com", "Enter one e-mail address, like name@example.com"),
        ("email", f"{'x' * 250}@x.example", "Write at most 254 characters"),
        ("name", "A.\x00Customer", "Remove the control characters from this field"),
        ("name", "\u200b\u202e", "Write something that can be read"),
        ("currency", "eu\x00r", "Choose one of the currencies in the list"),
        ("currency", "CHF", "Choose one of the currencies in the list"),
        ("currency", "euro", "Choose one of the currencies in the list"),
    ],
)  # fmt: skip
def test_a_wrong_input_is_refused_beside_its_field(submit, rows, world, field, typed, sentence):
    answer = submit(**{field: typed})
    assert answer.status_code == 422
    assert error_beside(answer.text, field) == sentence
    assert f'<li><a href="#{field}">{sentence}</a></li>' in answer.text
    kept = [value for name, value in FORM.items() if value and name not in (field, "currency")]
    assert [value for value in kept if f'value="{value}"' not in answer.text] == []
    assert rows("SELECT count(*) FROM payments") == [(0,)]
    assert world.api_calls() == []


@pytest.mark.parametrize(
    ("amount", "currency", "sentence"),
    [
        ("10000.01", "usd", "Enter at most $10,000.00"),
        ("0.49", "usd", "Enter at least $0.50"),
        ("0.29", "gbp", "Enter at least £0.30"),
        ("49", "jpy", "Enter at least ¥50"),
        ("500.50", "jpy", "JPY amounts have no decimals"),
        ("5.124", "kwd", "KWD amounts have three decimals, the last of them 0"),
        ("ten", "jpy", "Enter the amount as a number, like 25"),
        ("ten", "kwd", "Enter the amount as a number, like 25.000"),
    ],
)
def test_an_amount_is_refused_in_the_words_of_its_currency(
    submit, rows, amount, currency, sentence
):
    answer = submit(amount=amount, currency=currency)
    assert answer.status_code == 422
    assert error_beside(answer.text, "amount") == sentence
    assert rows("SELECT count(*) FROM payments") == [(0,)]


@pytest.mark.parametrize("field", ["amount", "name", "email"])
def test_an_error_stands_between_its_fields_label_and_its_input(submit, field):
    page = submit(**{field: ""}).text
    places = [f'for="{field}"', f'id="{field}-error"', f'name="{field}"']
    assert [page.index(place) for place in places] == sorted(map(page.index, places))


@pytest.mark.parametrize(
    "odd",
    [
        {"nonce": ""},
        {"nonce": "\x00"},
        {"nonce": "x" * 10_000},
        {"language": "xx\x00"},
        {"language": "../../etc"},
        {"unknown": "x" * 1000},
    ],
    ids=lambda odd: next(f"{name}: {value[:9]!r}" for name, value in odd.items()),
)
def test_what_people_cannot_see_of_the_form_may_be_anything_and_breaks_nothing(submit, rows, odd):
    assert submit(**odd).status_code == 303
    assert rows("SELECT count(*), min(amount), min(status) FROM payments") == [(1, 1250, "open")]


def test_a_form_larger_than_any_of_ours_is_refused(submit, rows, world):
    answer = submit(description="x" * 70_000)
    assert answer.status_code == 413
    assert "Nothing has been charged" in answer.text
    assert rows("SELECT count(*) FROM payments") == [(0,)]
    assert world.api_calls() == []


def test_several_errors_are_told_at_once(submit):
    page = submit(amount="", name="", email="nobody").text
    assert error_beside(page, "amount") == "Enter the amount"
    assert error_beside(page, "name") == "Enter your name"
    assert error_beside(page, "email").startswith("Enter one e-mail address")
    assert 'id="description-error"' not in page


def test_what_was_typed_is_still_there_beside_an_error(submit):
    page = submit(amount="twelve", currency="gbp", reference="A-7").text
    assert 'value="twelve"' in page
    assert 'value="Invoice 2026-118"' in page
    assert 'value="A-7"' in page
    assert 'value="A. Customer"' in page
    assert 'value="customer@example.com"' in page
    assert '<option selected value="gbp">GBP</option>' in page


def test_a_form_mended_after_an_error_leads_to_stripe(client, submit, rows):
    page = submit(amount="twelve").text
    answer = client.post("/checkout", data=FORM | hidden_fields(page))
    assert answer.status_code == 303
    assert rows("SELECT count(*) FROM payments") == [(1,)]


def test_what_was_typed_is_escaped(submit):
    markup = '"><script>alert(1)</script>'
    page = submit(amount="0", description=markup, name=markup, reference=markup).text
    assert "<script>alert" not in page
    assert page.count("&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt;") == 3


@pytest.mark.parametrize("token", [None, "", "forged"])
def test_a_form_without_our_token_is_refused(client, fill_in, rows, world, token):
    form = fill_in(csrf_token=token)
    if token is None:
        del form["csrf_token"]
    answer = client.post("/checkout", data=form)
    assert answer.status_code == 400
    assert "Please send the form once more" in answer.text
    assert "Nothing has been charged" in answer.text
    assert 'value="Invoice 2026-118"' in answer.text
    assert rows("SELECT count(*) FROM payments") == [(0,)]
    assert world.api_calls() == []


def test_a_form_that_was_refused_for_its_token_is_sent_again_as_it_is_shown(client, fill_in, rows):
    page = client.post("/checkout", data=fill_in(csrf_token="of long ago", reference="A-7")).text
    answer = client.post("/checkout", data=FORM | {"reference": "A-7"} | hidden_fields(page))
    assert answer.status_code == 303
    assert rows("SELECT reference, status FROM payments") == [("A-7", "open")]


def test_a_browser_that_refuses_cookies_is_told_so_and_what_was_typed_is_kept(app, world, rows):
    browser = app.test_client(use_cookies=False)
    answer = browser.post("/checkout", data=FORM | hidden_fields(browser.get("/").text))
    assert answer.status_code == 400
    assert "your browser refuses cookies, which this form needs" in answer.text
    for value in ("12.50", "Invoice 2026-118", "A. Customer", "customer@example.com"):
        assert f'value="{value}"' in answer.text
    assert rows("SELECT count(*) FROM payments") == [(0,)]
    assert world.api_calls() == []


def test_the_token_of_another_browser_is_refused(app, client, fill_in, rows):
    form = fill_in()
    stranger = app.test_client()
    stranger.get("/")
    assert stranger.post("/checkout", data=form).status_code == 400
    assert app.test_client().post("/checkout", data=form).status_code == 400
    assert rows("SELECT count(*) FROM payments") == [(0,)]


# --- prefilled by the URL --------------------------------------------------------------------


def test_the_url_fills_the_form_in(client):
    page = client.get(
        "/?amount=25&currency=gbp&description=Invoice+7&reference=A-7"
        "&name=A.+Customer&email=customer%40example.com"
    ).text
    for value in ("25", "Invoice 7", "A-7", "A. Customer", "customer@example.com"):
        assert f'value="{value}"' in page
    assert '<option selected value="gbp">GBP</option>' in page
    assert "field-error" not in page


def test_the_first_currency_is_chosen_where_the_url_names_none(client):
    assert '<option selected value="usd">USD</option>' in client.get("/").text


def test_a_currency_in_the_url_that_is_not_taken_breaks_nothing(client):
    answer = client.get("/?currency=xxx")
    assert answer.status_code == 200
    assert "XXX" not in answer.text


def test_the_url_is_escaped(client):
    page = client.get("/", query_string={"description": '"><script>alert(1)</script>'}).text
    assert "<script>alert" not in page


def test_the_url_cannot_choose_the_forms_nonce_or_token(client):
    fields = hidden_fields(client.get("/?nonce=chosen&csrf_token=chosen").text)
    assert fields["nonce"] != "chosen"
    assert fields["csrf_token"] != "chosen"


def test_a_form_of_a_prefilled_url_leads_to_stripe(client, rows):
    page = client.get("/?amount=25&currency=gbp&description=Invoice+7").text
    answer = client.post(
        "/checkout",
        data=hidden_fields(page)
        | {"amount": "25", "currency": "gbp", "description": "Invoice 7"}
        | {"name": "A. Customer", "email": "customer@example.com"},
    )
    assert answer.status_code == 303
    assert rows("SELECT amount, currency, reference FROM payments") == [(2500, "gbp", "")]


def test_the_limits_are_told_in_each_currency(client):
    page = client.get("/").text
    assert "Between $0.50 and $10,000.00" in page
    assert "At least €0.50" in page
    assert "At least ¥50" in page


def test_the_form_may_be_shown_again_by_going_back(client):
    answer = client.get("/")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_the_form_may_lead_to_stripes_page_and_nowhere_else(client, world):
    policy = client.get("/").headers["Content-Security-Policy"]
    assert f"form-action 'self' {world.url}" in policy.split("; ")
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_form_tells_that_no_money_moves_in_test_mode(client):
    assert "Test mode" in client.get("/").text


def test_search_engines_are_told_what_the_form_is_for(client, world):
    page = client.get("/").text
    assert '<meta name="description" content="Pay Northlight Consulting. Enter the amount' in page
    assert "noindex" not in page


def test_who_comes_back_to_a_refused_forms_address_gets_the_form(client):
    answer = client.get("/checkout")
    assert (answer.status_code, answer.location) == (303, "/")
