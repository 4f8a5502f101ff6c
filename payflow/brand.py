"""The business's one colour → the colours of pages and letters, each readable where it stands.

Pure. Contrast is WCAG 2's: 4.5 for text, 3 for what is to be seen, such as the ring of the focus.
https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
"""

import colorsys
import math
import re
from dataclasses import dataclass
from typing import NamedTuple

DEFAULT = "#4338ca"
COLOR = re.compile(r"#[0-9a-f]{6}")


class Grounds(NamedTuple):
    """What text stands on in pages and letters: the ground, and the surface of a card on it."""

    ground: str
    surface: str


LIGHT_GROUNDS = Grounds("#f5f6f9", "#ffffff")
DARK_GROUNDS = Grounds("#0d111b", "#161c2a")

TEXT, GRAPHIC = 4.5, 3.0
# Light type on a dark page looks thinner, and may stand out more.
TEXT_ON_DARK = 6.0
# A button's fill against the light page. Its edge has GRAPHIC: a yellow darkened so far would be
# brown, and nobody's brand. On the dark page the fill itself has GRAPHIC, since a dark colour
# made lighter stays what it is.
VISIBLE = 1.25
# What may stand on a button's fill, the first that can be read on it; on no colour neither white
# nor black can.
INKS = ("#ffffff", "#10172a", "#000000")
# How much darker (under white) or lighter a button's fill is while it is pointed at.
HOVER = 0.07

STEPS = 256


@dataclass(frozen=True)
class Scheme:
    """The colours of light pages or of dark ones, as #rrggbb."""

    ground: str
    surface: str
    fill: str
    fill_hover: str
    on_fill: str
    edge: str
    text: str


@dataclass(frozen=True)
class Palette:
    light: Scheme
    dark: Scheme


def palette(color: str) -> Palette:
    """The colours that follow from one, given as #rrggbb in lower case."""
    return Palette(
        light=_scheme(color, LIGHT_GROUNDS, VISIBLE, TEXT, darker=True),
        dark=_scheme(color, DARK_GROUNDS, GRAPHIC, TEXT_ON_DARK, darker=False),
    )


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours: 1 (the same) to 21 (black and white)."""
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    """WCAG's relative luminance: 0 (black) to 1 (white)."""
    red, green, blue = (_linear(channel) for channel in _channels(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _scheme(
    color: str, grounds: Grounds, visible: float, readable: float, *, darker: bool
) -> Scheme:
    fill = _shifted(color, grounds, visible, darker=darker)
    on_fill = next(ink for ink in INKS if contrast(ink, fill) >= TEXT)
    return Scheme(
        **grounds._asdict(),
        fill=fill,
        fill_hover=_moved(fill, -HOVER if on_fill == INKS[0] else HOVER),
        on_fill=on_fill,
        edge=_shifted(color, grounds, GRAPHIC, darker=darker),
        text=_shifted(color, grounds, readable, darker=darker),
    )


def _shifted(color: str, grounds: Grounds, least: float, *, darker: bool) -> str:
    """The colour itself, or the nearest of its hue that stands out enough from the grounds."""
    for step in range(STEPS + 1):
        # Not moved at all it stays what it is, whatever floats make of it on the way.
        candidate = _moved(color, -step / STEPS if darker else step / STEPS) if step else color
        if all(contrast(candidate, ground) >= least for ground in grounds):
            return candidate
    raise AssertionError("neither black nor white stands out from the grounds")


def _moved(color: str, by: float) -> str:
    """The colour with another lightness, 0 (black) to 1 (white)."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*_channels(color))
    channels = colorsys.hls_to_rgb(hue, min(max(lightness + by, 0.0), 1.0), saturation)
    return "#" + "".join(f"{round(channel * 255):02x}" for channel in channels)


def _channels(color: str) -> tuple[float, float, float]:
    red, green, blue = bytes.fromhex(color[1:])
    return red / 255, green / 255, blue / 255


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else math.pow((channel + 0.055) / 1.055, 2.4)
