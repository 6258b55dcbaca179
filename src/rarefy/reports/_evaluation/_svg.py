"""Drawing: axes and panels of lines, as SVG whose colours come from the page's style, light or dark."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from html import escape

COLOURS = 7  # that the page's style knows
_DASHES = ("", "7 3", "2 3", "8 3 2 3")
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 20.0, 10.0, 40.0

Point = tuple[float, float]


def paint(group: int) -> str:
    """The class that gives a mark its group's colour."""
    return f"g{group % COLOURS}"


def dash(group: int) -> str:
    """The dashes of a group's lines, so that colour is not all that tells them apart."""
    pattern = _DASHES[group % len(_DASHES)]
    return f' stroke-dasharray="{pattern}"' if pattern else ""


def short(value: float) -> str:
    """A coordinate, to a tenth of a unit."""
    return f"{value:.1f}".removesuffix(".0")


def tip(words: str) -> str:
    """Words that appear when a mouse rests on a mark."""
    return f"<title>{escape(words)}</title>"


def picture(width: float, height: float, alt: str, marks: Iterable[str]) -> str:
    """Marks as one drawing that scales and says what it shows."""
    size = f"{short(width)} {short(height)}"
    return f'<svg viewBox="0 0 {size}" role="img" aria-label="{escape(alt)}">{"".join(marks)}</svg>'


@dataclasses.dataclass(frozen=True)
class Axis:
    """From numbers to places between 0 and 1.

    Args:
        label: What it measures.
        low: The number at 0.
        high: The number at 1.
        log: Whether equal factors are equally long; ``low`` is then above 0.
        say: A number as its tick says it.
    """

    label: str
    low: float
    high: float
    log: bool = False
    say: Callable[[float], str] = "{:g}".format

    def __call__(self, value: float) -> float:
        """The place of a number."""
        low, high, value = (math.log10(x) if self.log else x for x in (self.low, self.high, value))
        return (value - low) / (high - low)

    def ticks(self, most: int = 6) -> list[float]:
        """Round numbers between the ends."""
        return self._decades(most) if self.log else self._steps(most)

    def _steps(self, most: int) -> list[float]:
        width = (self.high - self.low) / most
        unit = 10.0 ** math.floor(math.log10(width))
        step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= width * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(at * step, 12) for at in range(first, last + 1)]

    def _decades(self, most: int) -> list[float]:
        exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for factors in ((1, 2, 5), (1, 3), (1,)):
            found = [factor * 10.0**exponent for exponent in exponents for factor in factors]
            found = [value for value in found if self.low * (1 - 1e-9) <= value <= self.high * (1 + 1e-9)]
            if len(found) <= most:
                return found
        return found[:: -(-len(found) // most)]


def spanning(label: str, values: Iterable[float], *, log: bool = False, say: Callable[[float], str] | None = None,
             zero: bool = False) -> Axis:  # fmt: skip
    """An axis that holds all values with a little room, and 0 if asked for."""
    kept = [value for value in values if math.isfinite(value) and (value > 0 or not log)] or [1.0]
    low, high = min(kept), max(kept)
    say = say or "{:g}".format
    if log:
        return Axis(label, low / 1.3, high * 1.3, True, say)
    low, high = (min(low, 0.0), max(high, 0.0)) if zero else (low, high)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(label, low if zero and low == 0 else low - room, high + room, False, say)


class Panel:
    """Lines and dots over two axes.

    Args:
        x: The axis below.
        y: The axis on the left.
        width: Width of the drawing; a unit is about a pixel.
        height: Its height.
    """

    def __init__(self, x: Axis, y: Axis, *, width: float = 360, height: float = 270) -> None:
        self._x, self._y, self._width, self._height = x, y, width, height
        self._marks = [*self._grid()]

    def at(self, point: Point) -> Point:
        """Where a point is drawn."""
        across, up = self._width - _LEFT - _RIGHT, self._height - _TOP - _BOTTOM
        return _LEFT + across * self._x(point[0]), _TOP + up * (1 - self._y(point[1]))

    def guide(self, start: Point, end: Point) -> None:
        """A straight thin line, for comparison."""
        (x1, y1), (x2, y2) = self.at(start), self.at(end)
        self._marks.append(f'<line class="guide" x1="{short(x1)}" y1="{short(y1)}" x2="{short(x2)}" y2="{short(y2)}"/>')

    def line(self, points: Sequence[Point], group: int, words: str) -> None:
        """A line in a group's colour; one point alone is a dot."""
        if len(points) == 1:
            self.dots(points, group, [words])
            return
        path = " ".join(f"{short(x)},{short(y)}" for x, y in map(self.at, points))
        self._marks.append(f'<polyline class="s {paint(group)}" points="{path}"{dash(group)}>{tip(words)}</polyline>')

    def band(self, low: float, high: float, group: int, words: str) -> None:
        """A strip from the left to the right, between two heights."""
        (left, top), (right, bottom) = self.at((self._x.low, high)), self.at((self._x.high, low))
        place = f'x="{short(left)}" y="{short(top)}" width="{short(right - left)}" height="{short(bottom - top)}"'
        self._marks.append(f'<rect class="m {paint(group)}" {place}>{tip(words)}</rect>')

    def bar(self, x: float, bounds: Sequence[float], group: int) -> None:
        """An upright interval."""
        (across, low), (_, high) = (self.at((x, end)) for end in bounds)
        self._marks.append(f'<path class="i {paint(group)}" d="M{short(across)},{short(low)}V{short(high)}"/>')

    def dots(
        self,
        points: Sequence[Point],
        group: int,
        words: Sequence[str],
        sizes: Iterable[float] = (),
        *,
        hollow: bool = False,
    ) -> None:
        """Dots in a group's colour, each with its words; radius 3, or the sizes given."""
        kind = "h" if hollow else "d"
        for point, said, size in zip(points, words, itertools.chain(sizes, itertools.repeat(3.0))):  # noqa: B905
            x, y = self.at(point)
            place = f'cx="{short(x)}" cy="{short(y)}" r="{short(size)}"'
            self._marks.append(f'<circle class="{kind} {paint(group)}" {place}>{tip(said)}</circle>')

    def svg(self, alt: str) -> str:
        """The drawing; ``alt`` says in words what it shows."""
        return picture(self._width, self._height, alt, self._marks)

    def _grid(self) -> Iterable[str]:
        right, bottom = self._width - _RIGHT, self._height - _BOTTOM
        for value in self._x.ticks():
            x = short(self.at((value, self._y.low))[0])
            yield f'<line class="grid" x1="{x}" y1="{short(_TOP)}" x2="{x}" y2="{short(bottom)}"/>'
            yield f'<text x="{x}" y="{short(bottom + 15)}" text-anchor="middle">{escape(self._x.say(value))}</text>'
        for value in self._y.ticks():
            y = self.at((self._x.low, value))[1]
            yield f'<line class="grid" x1="{short(_LEFT)}" y1="{short(y)}" x2="{short(right)}" y2="{short(y)}"/>'
            text = escape(self._y.say(value))
            yield f'<text x="{short(_LEFT - 6)}" y="{short(y + 4)}" text-anchor="end">{text}</text>'
        middle_x, middle_y = short((_LEFT + right) / 2), short((_TOP + bottom) / 2)
        place = f'x="{middle_x}" y="{short(self._height - 5)}"'
        yield f'<text class="label" {place} text-anchor="middle">{escape(self._x.label)}</text>'
        turned = f'transform="translate(12 {middle_y}) rotate(-90)"'
        yield f'<text class="label" {turned} text-anchor="middle">{escape(self._y.label)}</text>'
