"""Axes that hold given numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from rarefy.reports.figures._figure import Axis, Figure


def fit_axis(
    label: str, name: str, values: Iterable[float], *, scale: float = 1.0, log: bool = False, zero: bool = False,
    most: int = 6,
) -> Axis:  # fmt: skip
    """Builds an axis that holds all values with a margin, and 0 on request; a logarithmic one has few, round ticks.

    Args:
        label: As for `Axis`.
        name: As for `Axis`.
        values: The numbers, unscaled; those that are not finite, or not above 0 on a logarithmic axis, are ignored.
        scale: As for `Axis`.
        log: As for `Axis`.
        zero: Whether a linear axis holds 0; it is then an end if no number lies beyond it.
        most: The largest number of ticks of a logarithmic axis.
    """
    held = [value for value in values if math.isfinite(value) and (value > 0 or not log)] or [1.0]
    low, high = min(held), max(held)
    if log:
        ends = low / 1.3, high * 1.3
        ticks = choose_log_ticks(scale * ends[0], scale * ends[1], most)
        return Axis(label, name, scale, log=True, span=ends, ticks=tuple(tick / scale for tick in ticks))
    low, high = (min(low, 0.0), max(high, 0.0)) if zero else (low, high)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(label, name, scale, span=(low if zero and low == 0 else low - margin, high + margin))


def share_heights(figures: Sequence[Figure]) -> list[Figure]:
    """Gives figures the vertical span that holds all of theirs, so that they can be compared."""
    spans = [figure.y.span for figure in figures if figure.y.span]
    ends = (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None
    return [dataclasses.replace(figure, y=dataclasses.replace(figure.y, span=ends)) for figure in figures]


def choose_log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Chooses round numbers between two ends of a logarithmic axis, at most `most`; at least two wherever it can.

    Example:
        >>> choose_log_ticks(0.3, 4)
        [0.5, 1.0, 2.0]
    """
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [float(f"{factor}e{exponent}") for exponent in exponents for factor in factors]
        ticks = [tick for tick in ticks if low * (1 - 1e-9) <= tick <= high * (1 + 1e-9)]
        if len(ticks) <= most:
            return ticks if len(ticks) > 1 else _choose_even_ticks(low, high, most)
    return ticks[:: -(-len(ticks) // most)]


def _choose_even_ticks(low: float, high: float, most: int) -> list[float]:
    """Chooses round numbers at equal distances: 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(factor * power for factor in (1, 2, 5, 10) if (high - low) / (factor * power) <= most)
    first, last = math.ceil(low / step * (1 - 1e-9)), math.floor(high / step * (1 + 1e-9))
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)]


def needs_turning(texts: Sequence[str], width: float, letter: float) -> bool:
    """Whether texts below a horizontal axis do not fit beside each other, with a letter's space between them.

    Args:
        texts: The texts.
        width: Length of the axis.
        letter: Mean width of a letter, in the same unit.
    """
    return len(texts) * (max(map(len, texts), default=0) + 2) * letter > width


def choose_labels(count: int, most: int) -> list[int]:
    """Chooses which of `count` places get a label: evenly spaced, at most `most`, always the last one.

    Example:
        >>> choose_labels(5, 5), choose_labels(7, 4)
        ([0, 1, 2, 3, 4], [0, 2, 4, 6])
    """
    step = max(1, math.ceil(count / max(1, most)))
    return [place for place in range(0, count, step) if count - 1 - place >= step] + [count - 1] * (count > 0)
