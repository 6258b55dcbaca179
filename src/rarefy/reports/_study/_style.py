"""How methods look: colour, mark and dash, the same in every figure, on paper and live."""

from __future__ import annotations

import dataclasses

INK, PAPER, GRID = "#1c2024", "#ffffff", "#e6e9ec"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b8558f", "#b87d00", "#2f9fd8", "#6d6d6d")
"""Those of the page in light; each has a twin in dark, by the same number."""

VARIABLES = {INK: "--text", PAPER: "--paper", GRID: "--grid"} | {hue: f"--c{at}" for at, hue in enumerate(COLOURS)}
"""The page's name of each colour."""

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
class Look:
    """How one method is drawn.

    Args:
        colour: On white paper.
        drawn: Its mark, as matplotlib names it.
        symbol: The same as Plotly names it.
        outline: The same as an SVG path in a box of 10 x 10.
        dash: Lengths of lines and gaps, in pixels; none: a solid line.
    """

    colour: str
    drawn: str
    symbol: str
    outline: str
    dash: tuple[float, ...]

    @property
    def variable(self) -> str:
        """The page's name of the colour."""
        return VARIABLES[self.colour]

    @property
    def dashes(self) -> str:
        """The dash as SVG and Plotly write it."""
        return ",".join(f"{length:g}" for length in self.dash)


def look(style: int) -> Look:
    """The look of a method by its number; below 0: of dense networks."""
    if style < 0:
        return Look(INK, *_MARKS[0], ())
    mark = _MARKS[style % len(_MARKS)]
    return Look(COLOURS[style % len(COLOURS)], *mark, _DASHES[style % len(_DASHES)])
