"""Numbers as text on a page; a missing one is a dash."""

from __future__ import annotations

import datetime
import hashlib
import math
import re
from collections.abc import Mapping, Sequence

NOTHING = "–"  # noqa: RUF001  # a dash as wide as a digit
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_PREFIXES = ("", "k", "M", "G", "T", "P")


def format_percent(value: float | None, digits: int = 2) -> str:
    """Formats a fraction in percent: ``0.8532`` -> ``85.32%``."""
    return NOTHING if value is None else f"{100 * value:.{digits}f}%"


def format_interval(bounds: Sequence[float] | None) -> str:
    """Formats an interval of fractions in percent: ``[84.6, 86.0]``."""
    return NOTHING if not bounds else f"[{100 * bounds[0]:.1f}, {100 * bounds[1]:.1f}]"


def format_with_interval(value: float | None, bounds: Sequence[float] | None) -> str:
    """Formats a fraction with its interval, if it has one: ``85.32% [84.6, 86.0]``."""
    return (
        format_percent(value) if value is None or not bounds else f"{format_percent(value)} {format_interval(bounds)}"
    )


def format_number(value: float | None, digits: int = 4) -> str:
    """Formats a number with so many significant digits."""
    return NOTHING if value is None else f"{value:.{digits}g}"


def format_count(value: float | None) -> str:
    """Formats a count: ``270896`` -> ``270,896``."""
    return NOTHING if value is None else f"{value:,.0f}"


def format_quantity(value: float | None, unit: str = "") -> str:
    """Formats a large number in thousands, millions, ...: ``41_000_000`` -> ``41 M``; a thousand bytes are a kB."""
    if value is None:
        return NOTHING
    steps = 0
    while abs(float(f"{value:.3g}")) >= 1000 and steps < len(_PREFIXES) - 1:
        value, steps = value / 1000, steps + 1
    return f"{value:.3g} {_PREFIXES[steps]}{unit}".strip()


def format_seconds(value: float | None) -> str:
    """Formats a duration: ``0.00321`` -> ``3.21 ms``."""
    if value is None:
        return NOTHING
    scale, unit = (1, "s") if value >= 1 else (1e3, "ms") if value >= 1e-3 else (1e6, "µs")
    return f"{value * scale:.3g} {unit}"


def format_duration(seconds: float) -> str:
    """Formats a long time in the unit that fits: ``41 s``, ``12 minutes``, ``21.0 hours``, ``1,234 hours``."""
    if seconds < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 3600:
        return format_plural(round(seconds / 60), "minute")
    hours = seconds / 3600
    return f"{hours:,.1f} hours" if hours < 100 else f"{hours:,.0f} hours"


def format_points(share: float) -> str:
    """Formats a difference of fractions in percentage points: ``0.5 points``, ``1 point``."""
    points = f"{100 * share:.3g}"
    return f"{points} point{'s' * (points != '1')}"


def format_date(text: str) -> str:
    """Formats a date of ISO 8601 for readers: ``2026-11-29T09:53:11+00:00`` -> ``29 November 2026``; else as it is."""
    try:
        day = datetime.date.fromisoformat(text[:10])
    except ValueError:
        return text
    return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


def format_pixels(value: float) -> str:
    """Formats a distance between pixels, in 255ths if it is a multiple of half of one: ``8/255``."""
    steps = 510 * value
    near = round(steps)
    return f"{near / 2:g}/255" if near and math.isclose(steps, near, rel_tol=1e-4) else f"{value:g}"


def format_options(values: Mapping[str, object]) -> str:
    """Formats options in one line, distances in 255ths: ``eps 8/255, steps 20``."""
    texts = (f"{name} {_format_option(name, value)}" for name, value in values.items() if value is not None)
    return ", ".join(texts)


def _format_option(name: str, value: object) -> str:
    if isinstance(value, float):
        return format_pixels(value) if name in ("eps", "step") else f"{value:g}"
    if isinstance(value, list | tuple):
        return " ".join(_format_option(name, item) for item in value)
    return str(value)


def join_names(names: Sequence[str]) -> str:
    """Joins names: ``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def compute_mean(values: Sequence[float]) -> float | None:
    """Computes the mean; None of no values."""
    return math.fsum(values) / len(values) if values else None


def format_mean(mean: float, half: float | None, *, points: bool, sign: str = "") -> str:
    """Formats a mean and a half-width: ``92.31 ± 0.40``, in percent without the sign, or with four digits."""
    if points:
        return f"{100 * mean:{sign}z.2f}" + (f" ± {100 * half:.2f}" if half is not None else "")
    return f"{mean:{sign}z.4g}" + (f" ± {half:.2g}" if half is not None else "")


def format_density(density: float) -> str:
    """Formats a density with the sparsity that papers know it by: ``density 10% (sparsity 90%)``."""
    return f"density {100 * density:.3g}% (sparsity {100 * (1 - density):.4g}%)"


def format_share(density: float) -> str:
    """Formats a density in percent without needless digits: ``0.1`` -> ``10%``."""
    return f"{100 * density:.3g}%"


def format_plural(count: int, noun: str) -> str:
    """Formats a count with its noun: ``1 seed``, ``3 seeds``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def make_file_name(*texts: str) -> str:
    """Makes a file name for any system; a checksum stands for letters that cannot be in it.

    Example:
        >>> make_file_name("accuracy", "vgg16 on cifar10 lr=0.1"), make_file_name("pgd:steps=50")
        ('accuracy-vgg16-on-cifar10-lr=0.1', 'pgd-steps=50-5ebb29')
    """
    text = "-".join(texts)
    plain = re.sub(r"[^A-Za-z0-9._=]+", "-", text).strip("-.")
    odd = re.search(r"[^A-Za-z0-9._=, -]", text)
    return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:6]}" if odd else plain
