"""How numbers are said on the page. What is not there is a dash."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

NOTHING = "–"  # noqa: RUF001  # a dash as wide as a digit
_PREFIXES = ("", "k", "M", "G", "T", "P")


def percent(value: float | None, digits: int = 2) -> str:
    """A fraction in percent: ``0.8532`` -> ``85.32%``."""
    return NOTHING if value is None else f"{100 * value:.{digits}f}%"


def interval(bounds: Sequence[float] | None) -> str:
    """An interval of fractions in percent: ``[84.6, 86.0]``."""
    return NOTHING if not bounds else f"[{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]"


def with_interval(value: float | None, bounds: Sequence[float] | None) -> str:
    """``85.32% [84.6, 86.0]``, or without the interval where there is none."""
    return percent(value) if value is None or not bounds else f"{percent(value)} {interval(bounds)}"


def number(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits."""
    return NOTHING if value is None else f"{value:.{digits}g}"


def whole(value: float | None) -> str:
    """A count: ``270896`` -> ``270,896``."""
    return NOTHING if value is None else f"{value:,.0f}"


def quantity(value: float | None, unit: str = "") -> str:
    """A large number in thousands, millions, ...: ``41_000_000`` -> ``41 M``; a thousand bytes are a kB."""
    if value is None:
        return NOTHING
    steps = 0
    while abs(float(f"{value:.3g}")) >= 1000 and steps < len(_PREFIXES) - 1:
        value, steps = value / 1000, steps + 1
    return f"{value:.3g} {_PREFIXES[steps]}{unit}".strip()


def seconds(value: float | None) -> str:
    """A duration: ``0.00321`` -> ``3.21 ms``."""
    if value is None:
        return NOTHING
    scale, unit = (1, "s") if value >= 1 else (1e3, "ms") if value >= 1e-3 else (1e6, "µs")
    return f"{value * scale:.3g} {unit}"


def pixels(value: float) -> str:
    """A distance in pixel units, in 255ths where it is a multiple of a half of one: ``8/255``."""
    steps = 510 * value
    near = round(steps)
    return f"{near / 2:g}/255" if near and math.isclose(steps, near, rel_tol=1e-4) else f"{value:g}"


def settings(values: Mapping[str, object]) -> str:
    """Options in one line; distances in 255ths: ``eps 8/255, steps 20``."""
    said = (f"{name} {_setting(name, value)}" for name, value in values.items() if value is not None)
    return ", ".join(said)


def _setting(name: str, value: object) -> str:
    if isinstance(value, float):
        return pixels(value) if name in ("eps", "step") else f"{value:g}"
    if isinstance(value, list | tuple):
        return " ".join(_setting(name, item) for item in value)
    return str(value)


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def mean(values: Sequence[float]) -> float | None:
    """The mean, or None of nothing."""
    return math.fsum(values) / len(values) if values else None
