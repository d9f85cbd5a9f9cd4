"""Colours, marks and words that all pictures share.

The colours are told apart by the colour-blind (the first ones are Okabe and Ito's) and every one
comes with its own mark and dashes, so that none is needed. They stand out from white and from
near-black; a page may replace them by name (`CSS_COLOURS`).
"""

import math
from typing import Literal, NamedTuple

__all__ = [
    "CSS_COLOURS",
    "FONT",
    "INK",
    "MUTED",
    "PAPER",
    "RULE",
    "Look",
    "drawable",
    "label_power",
    "look_of",
    "printable",
    "shortened",
    "superscript",
]

FONT = "DejaVu Sans"  # comes with matplotlib: the same pictures everywhere
INK = "#1c2026"
MUTED = "#5b6470"
RULE = "#d9dde3"
PAPER = "#ffffff"

# On white; on near-black.
_SERIES = (
    ("#0072b2", "#5cb8ec"),
    ("#d55e00", "#ff8f45"),
    ("#009e73", "#2fc998"),
    ("#b5568f", "#e79bc7"),
    ("#8c6d00", "#dfb83a"),
    ("#6b7280", "#b3bac5"),
)
_MARKERS = "os^DvP"
_DASHES: tuple[Literal["-", "--", "-.", ":"], ...] = ("-", "--", "-.", ":")
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

# Name of a CSS variable: its colour on light and on dark paper.
CSS_COLOURS = {
    "paper": (PAPER, "#15181c"),
    "ink": (INK, "#e8eaed"),
    "muted": (MUTED, "#a4adb8"),
    "rule": (RULE, "#3a414b"),
    **{f"series-{place}": pair for place, pair in enumerate(_SERIES)},
}


class Look(NamedTuple):
    """How one candidate is drawn, everywhere."""

    colour: str
    marker: str
    dashes: Literal["-", "--", "-.", ":"]
    number: int


def look_of(place: int) -> Look:
    """Return the look of the candidate at this place; colours come again with other dashes."""
    number = place % len(_SERIES)
    turn = place // len(_SERIES)
    return Look(
        _SERIES[number][0],
        _MARKERS[(place + turn) % len(_MARKERS)],
        _DASHES[turn % len(_DASHES)],
        number,
    )


def printable(text: str) -> str:
    r"""Return text on one line that any encoding of Unicode takes, the rest escaped.

    Examples
    --------
    >>> print(printable("caf\udce9\n"))
    caf\udce9\n
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shortened(text: str, longest: int = 28) -> str:
    """Return text short enough for a picture: its beginning and its end.

    Examples
    --------
    >>> shortened("SmolLM2-135M-Instruct-imatrix-Q3_K_S.gguf")
    'SmolLM2-135M-I…x-Q3_K_S.gguf'
    """
    told = printable(text)
    if len(told) <= longest:
        return told
    half = (longest - 1) // 2
    return f"{told[: longest - 1 - half]}…{told[-half:]}"


def drawable(text: str) -> str:
    r"""Return text with what the pictures' font has no glyph for escaped.

    Examples
    --------
    >>> print(drawable("Q4 → 中"))
    Q4 → \u4e2d
    """
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont(FONT))
    return "".join(c if c == "\n" or font.get_char_index(ord(c)) else ascii(c)[1:-1] for c in text)


def label_power(value: float) -> str:
    """Return a number of few digits for an axis, far ones in powers of ten.

    Examples
    --------
    >>> label_power(0.02), label_power(1e-7), label_power(5e-4)
    ('0.02', '10⁻⁷', '5·10⁻⁴')
    """
    if value == 0 or 1e-3 <= abs(value) < 1e4 * (1 - 1e-9):
        return f"{value:g}"
    return superscript(value)


def superscript(value: float) -> str:
    """Return a number as a digit or two times a power of ten; below 1000 as it is.

    Examples
    --------
    >>> superscript(100.0), superscript(1e5)
    ('100', '10⁵')
    """
    if value == 0 or 1 <= abs(value) < 1000:
        return f"{value:g}"
    power = math.floor(math.log10(abs(value)) + 1e-9)
    digits = f"{value / 10.0**power:.3g}"
    times = "" if digits == "1" else f"{digits}·"
    return f"{times}10{str(power).translate(_SUPERSCRIPTS)}"
