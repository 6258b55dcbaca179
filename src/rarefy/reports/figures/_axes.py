"""Axes that hold given numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rarefy.reports.figures._figure import Axis


def fit_axis(
    label: str, name: str, values: Iterable[float], *, scale: float = 1.0, log: bool = False, zero: bool = False
) -> Axis:
    """Builds an axis that holds all values with a margin, and 0 on request; a logarithmic one has few, round ticks.

    Args:
        label: As for `Axis`.
        name: As for `Axis`.
        values: The numbers, unscaled; those that are not finite, or not above 0 on a logarithmic axis, are ignored.
        scale: As for `Axis`.
        log: As for `Axis`.
        zero: Whether a linear axis holds 0; it is then an end if no number lies beyond it.
    """
    held = [value for value in values if math.isfinite(value) and (value > 0 or not log)] or [1.0]
    low, high = min(held), max(held)
    if log:
        ends = low / 1.3, high * 1.3
        ticks = choose_log_ticks(scale * ends[0], scale * ends[1])
        return Axis(label, name, scale, log=True, span=ends, ticks=tuple(tick / scale for tick in ticks))
    low, high = (min(low, 0.0), max(high, 0.0)) if zero else (low, high)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return Axis(label, name, scale, span=(low if zero and low == 0 else low - margin, high + margin))


def choose_log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Chooses round numbers between two ends of a logarithmic axis, at most `most`.

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
            return ticks
    return ticks[:: -(-len(ticks) // most)]
