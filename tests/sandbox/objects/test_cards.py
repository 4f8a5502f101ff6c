"""The test values: all that Stripe publishes are there, and the README tells of each as it is."""

import json
import re
from collections.abc import Iterator

from sandbox.objects.bank_debits import ACCOUNTS, BankAccount
from sandbox.objects.bank_debits import grouped as grouped_iban
from sandbox.objects.cards import CARDS, GROUPS, MISTYPED, Card, grouped
from tests.sandbox.conftest import ROOT

PUBLISHED = json.loads((ROOT / "tests" / "data" / "test-cards.json").read_text())
README = (ROOT / "sandbox" / "README.md").read_text()


def test_every_published_card_is_there_and_does_what_stripe_says() -> None:
    """What each of them does over HTTP, its code and its later events, the other tests show."""
    assert all(story(CARDS[number]) == "paid" for number in PUBLISHED["success"].values())
    for number, (code, decline_code) in PUBLISHED["decline"].items():
        decline = CARDS[number].decline
        if number == MISTYPED.number:
            assert (code, decline) == ("incorrect_number", None)
        elif number == "4000000000000341":  # Stripe names no code for it
            assert decline is not None
        else:
            assert decline is not None
            assert (decline.code, decline.decline_code) == (code, decline_code)
    for number, said in PUBLISHED["three_d_secure"].items():
        asked = CARDS[number].authentication == "required"
        assert asked == ("not required" not in said), number
        assert (CARDS[number].decline is not None) == ("card_declined" in said), number
    for number, said in PUBLISHED["dispute"].items():
        assert (CARDS[number].dispute or "nothing") in said, number
    refunds = {number: CARDS[number].refund for number in PUBLISHED["refund"]}
    assert refunds == {"4000000000007726": "pending", "4000000000005126": "fails"}


def test_every_published_account_is_there_but_those_of_banks_in_the_united_states() -> None:
    names = [name.split() for name in PUBLISHED["async_methods"]]
    assert {number for kind, number in names if kind == "sepa"} <= set(ACCOUNTS)
    assert {kind for kind, _ in names} == {"sepa", "ach"}
    assert "ACH and other delayed debits | left out" in README


def test_the_readme_tells_of_each_card_and_account_what_becomes_of_it() -> None:
    number = re.compile(r"^\| `(?:[0-9]{4} |[A-Z]{2}[0-9]{2} )")
    assert [line for line in README.splitlines() if number.match(line)] == list(expected_rows())


def expected_rows() -> Iterator[str]:
    for cards in GROUPS.values():
        for card in cards:
            yield f"| `{grouped(card.number)}` | {card.title} | {story(card)} |"
    for account in ACCOUNTS.values():
        yield f"| `{grouped_iban(account.iban)}` | {account.title} | {ending(account)} |"


def story(card: Card) -> str:
    if card == MISTYPED:
        return "refused by the form"
    asked = "3-D Secure, then " if card.authentication == "required" else ""
    if card.decline:
        codes = [f"`{code}`" for code in (card.decline.code, card.decline.decline_code) if code]
        return f"{asked}declined: {', '.join(codes)}"
    later = {
        "inquiry": ", then an inquiry",
        "warning": ", then an early fraud warning",
        "pending": "; a refund is `pending`, then `succeeded`",
        "fails": "; a refund has `succeeded`, then `failed`",
        None: "",
    }
    told = later.get(card.dispute or card.refund, f", then disputed: `{card.dispute}`")
    return f"{asked}paid{told}"


def ending(account: BankAccount) -> str:
    if account.refusal:
        return f"failed: `{account.refusal.code}`"
    return f"paid, then disputed: `{account.dispute}`" if account.dispute else "paid"
