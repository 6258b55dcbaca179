"""Curves of the learning rate: loss against the rates that were tried, and the best of them."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

from rarefy.reports.figures import Axis, Figure, Series, Sheet, fit_axis
from rarefy.reports.study._density_curves import BAND_SEEDS
from rarefy.statistics import Summary, summarize

_MOST_ABOVE = 1.5  # nats above the least loss, up to which means are drawn: the figure is about the minima
_MOST_TICKS = 7


@dataclasses.dataclass(frozen=True)
class RateCurve:
    """Losses of one method and density at several learning rates.

    Args:
        label: Name in the legend.
        style: Its style number.
        losses: Learning rate to the loss of each seed; those that are not finite are trainings that diverged.

    Example:
        >>> RateCurve("dense", -1, {0.1: [2.0, 2.2], 0.2: [1.0, 1.1], 0.4: [math.inf, 3.0]}).best
        0.2
    """

    label: str
    style: int
    losses: Mapping[float, Sequence[float]]

    @functools.cached_property
    def summaries(self) -> dict[float, Summary]:
        """Mean and interval at each rate at which no training diverged, in the order of the rates."""
        finite = (rate for rate in sorted(self.losses) if all(map(math.isfinite, self.losses[rate])))
        return {rate: summarize(self.losses[rate]) for rate in finite if self.losses[rate]}

    @property
    def best(self) -> float:
        """The rate with the least mean loss."""
        return min(self.summaries, key=lambda rate: self.summaries[rate].mean)

    @property
    def edge(self) -> str:
        """Which end of the rates the best one is: the least loss may lie beyond it; "" if it lies between others."""
        ends = {max(self.losses): "highest tried", min(self.losses): "lowest tried"}
        return ends.get(self.best, "")


def build_rate_figure(name: str, title: str, curves: Sequence[RateCurve], loss: str = "validation loss") -> Figure:
    """Builds the figure of loss against the learning rate, with one line per curve.

    Args:
        name: Name of its files.
        title: Text above it.
        curves: What is drawn; each has a rate at which no training diverged.
        loss: The quantity, with its unit.

    Example:
        >>> curve = RateCurve("dense", -1, {0.1: [2.0], 0.2: [1.0], 0.4: [math.inf]})
        >>> build_rate_figure("rates", "Rates", [curve]).series[0].x
        (0.1, 0.2)
    """
    most = min(curve.summaries[curve.best].mean for curve in curves) + _MOST_ABOVE
    series = tuple(line for curve in curves if (line := _build_line(curve, most)).x)
    rates = sorted({rate for curve in curves for rate in curve.losses})
    ticks = tuple(rates[:: math.ceil(len(rates) / _MOST_TICKS)])
    x = Axis(
        "learning rate", "lr", log=True, span=(rates[0] / 1.3, rates[-1] * 1.3), ticks=ticks,
        texts=tuple(f"{tick:.2g}" for tick in ticks),
    )  # fmt: skip
    y = fit_axis(loss, "loss", (value for one in series for value in one.y))
    caption = "Band: 95% interval of the mean over seeds." if any(one.low for one in series) else ""
    rows = [
        (curve.label, rate, value if math.isfinite(value) else None)
        for curve in curves
        for rate in sorted(curve.losses)
        for value in curve.losses[rate]
    ]
    return Figure(name, title, x, y, series, caption, sheet=Sheet(name, ("series", "lr", "loss"), rows))


def _build_line(curve: RateCurve, most: float) -> Series:
    """Builds the line through the means up to a limit."""
    shown = {rate: summary for rate, summary in curve.summaries.items() if summary.mean <= most}
    intervals = [
        summary.interval for summary in shown.values() if summary.interval and len(summary.values) >= BAND_SEEDS
    ]
    low, high = zip(*intervals, strict=True) if intervals and len(intervals) == len(shown) else ((), ())
    tips = tuple(f"{curve.label}, rate {rate:.4g}: {summary.mean:.3f}" for rate, summary in shown.items())
    return Series(
        curve.label, curve.style, tuple(shown), tuple(summary.mean for summary in shown.values()), low, high, tips
    )
