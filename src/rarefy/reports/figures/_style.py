"""The look of a method: colour, mark and dash, the same on every page and in every file."""

from __future__ import annotations

import dataclasses
import re
import zlib
from collections.abc import Mapping

INK, SOFT, PAPER, GRID = "#1c2024", "#5b636b", "#ffffff", "#e6e9ec"
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#b8558f", "#b87d00", "#2f9fd8", "#6d6d6d"),  # after Okabe and Ito
    *("#7a4fb5", "#8a5a2b", "#a3294f"),
)
"""Colours on white; the page has a lighter one of the same number for dark screens."""

VARIABLES = {INK: "--text", SOFT: "--soft", PAPER: "--paper", GRID: "--grid"} | {
    colour: f"--c{number}" for number, colour in enumerate(COLOURS)
}
"""The page's name of each colour."""

DENSE = -1
"""The style of dense networks."""

# The number of a method is its colour. Methods that are not here get the colour that their name hashes to.
_METHODS = (
    *("erk", "uniform", "er", "erk_plus", "uniform_plus", "snip", "grasp"),
    *("erk rigl", "erk set", "synflow", "balanced", "pyramidal", "igq", "smart_ratio"),
)

# matplotlib's mark, Plotly's, and its outline in a box of 10 x 10 for the page's own legend
_MARKS = (
    ("o", "circle", "M5,1.5a3.5,3.5 0 1,0 .01,0z"),
    ("s", "square", "M2,2h6v6h-6z"),
    ("^", "triangle-up", "M5,1l4,7.5h-8z"),
    ("D", "diamond", "M5,.8l4.2,4.2l-4.2,4.2l-4.2,-4.2z"),
    ("v", "triangle-down", "M5,9l4,-7.5h-8z"),
    ("P", "cross", "M3.5,1h3v2.5h2.5v3h-2.5v2.5h-3v-2.5h-2.5v-3h2.5z"),
    ("X", "x", "M2.5,1L5,3.5L7.5,1L9,2.5L6.5,5L9,7.5L7.5,9L5,6.5L2.5,9L1,7.5L3.5,5L1,2.5z"),
    ("*", "star", "M5,.5l1.3,3.1l3.2,.3l-2.4,2.2l.7,3.2l-2.8,-1.7l-2.8,1.7l.7,-3.2l-2.4,-2.2l3.2,-.3z"),
)  # fmt: skip
_DASHES: tuple[tuple[float, ...], ...] = ((), (7, 3), (2, 2.5), (8, 3, 2, 3))


@dataclasses.dataclass(frozen=True)
class Style:
    """How one method is drawn.

    Args:
        colour: The colour on white paper.
        mark: The mark as matplotlib names it.
        symbol: The mark as Plotly names it.
        outline: The mark as an SVG path in a box of 10 x 10.
        dash: Lengths of lines and gaps, in pixels; none: a solid line.
    """

    colour: str
    mark: str
    symbol: str
    outline: str
    dash: tuple[float, ...]

    @property
    def variable(self) -> str:
        """The page's name of the colour."""
        return VARIABLES[self.colour]

    @property
    def dashes(self) -> str:
        """The dash as SVG writes it."""
        return ",".join(f"{length:g}" for length in self.dash)


def get_style(number: int) -> Style:
    """Returns the style of a number: its last digit is the colour, the rest varies mark and dash; below 0: dense."""
    variant, colour = (-1 - number, 0) if number < 0 else divmod(number, len(COLOURS))
    shift = variant + colour
    mark, dash = _MARKS[shift % len(_MARKS)], _DASHES[shift % len(_DASHES)]
    return Style(INK if number < 0 else COLOURS[colour], *mark, dash)


def assign_styles(methods: Mapping[str, str]) -> dict[str, int]:
    """Assigns a style number to each name on a page.

    The colour depends on the method only, so that a method has one colour on every page. Names with the same colour
    differ in mark and dash.

    Args:
        methods: Name on the page to its method: ``dense``, an allocation, or an allocation and a topology. Options
            (words with ``=``) and remarks in brackets do not change the colour.

    Returns:
        Name to style number, in the same order.

    Example:
        >>> assign_styles({"dense": "dense", "erk 0.1": "erk", "erk 0.05": "erk", "uniform": "uniform"})
        {'dense': -1, 'erk 0.1': 0, 'erk 0.05': 10, 'uniform': 1}
    """
    styles: dict[str, int] = {}
    for name, method in methods.items():
        words = " ".join(word for word in re.sub(r"\(.*?\)", "", method).split() if "=" not in word)
        number, step = (DENSE, -1) if words == "dense" else (_get_colour(words), len(COLOURS))
        while number in styles.values():
            number += step
        styles[name] = number
    return styles


def _get_colour(method: str) -> int:
    return _METHODS.index(method) if method in _METHODS else zlib.crc32(method.encode()) % len(COLOURS)
