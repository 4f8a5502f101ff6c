"""From the form to Stripe's page."""


def test_a_filled_in_form_leads_to_stripes_page(submit, rows, world):
    answer = submit()
    assert answer.status_code == 303
    assert answer.location.startswith(f"{world.url}/c/pay/cs_test_")
    assert rows("SELECT status, amount, currency FROM payments") == [("open", 1250, "eur")]
