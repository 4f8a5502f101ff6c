"""From the business's one colour: whatever it is, all that is written in it can be read."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from payflow import brand
from tests.stack import ROOT

COLORS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


@given(COLORS)
@example("#ffffff")
@example("#000000")
@example("#ffff00")
@example("#808080")
@example("#0000ff")
def test_whatever_the_colour_text_and_buttons_can_be_read(color):
    made = brand.palette(color)
    for accent, grounds in (
        (made.light, brand.LIGHT_GROUNDS),
        (made.dark, brand.DARK_GROUNDS),
    ):
        assert all(brand.COLOR.fullmatch(one) for one in vars(accent).values())
        assert brand.contrast(accent.on_fill, accent.fill) >= 4.5
        assert brand.contrast(accent.on_fill, accent.fill_hover) >= 4.5
        for ground in grounds:
            assert brand.contrast(accent.text, ground) >= 4.5
            assert brand.contrast(accent.edge, ground) >= 3
            assert brand.contrast(accent.fill, ground) >= 1.25


@given(COLORS)
def test_a_colour_that_can_be_read_as_it_is_stays_as_it_is(color):
    light = brand.palette(color).light
    if all(brand.contrast(color, ground) >= 4.5 for ground in brand.LIGHT_GROUNDS):
        assert (light.fill, light.edge, light.text) == (color, color, color)


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [("#ffffff", "#000000", 21), ("#777777", "#ffffff", 4.48), ("#ffff00", "#ffffff", 1.07)],
)
def test_contrast_is_wcags(one, other, ratio):
    assert brand.contrast(one, other) == pytest.approx(ratio, abs=0.01)
    assert brand.contrast(other, one) == brand.contrast(one, other)


def test_the_grounds_of_pages_and_letters_stand_here_alone():
    style = (ROOT / "static" / "payflow.css").read_text().partition("@media print")[0]
    assert re.findall(r"--(ground|surface):", style) == []
    letter = (ROOT / "templates" / "emails" / "letter.html").read_text()
    # White is also what a logo stands on.
    grounds = {*brand.LIGHT_GROUNDS, *brand.DARK_GROUNDS} - {"#ffffff"}
    assert grounds & set(re.findall(r"#\w{6}", letter)) == set()
