"""Figures that answer: Plotly's JSON, whose colours the page's script fills in, light or dark."""

from __future__ import annotations

import html
import math
from typing import Any

from rarefy.reports._study._describe import Axis, Figure, Series
from rarefy.reports._study._style import look


def plot(shown: Figure) -> dict[str, Any]:
    """``data`` and ``layout`` of a figure. Every trace says in ``meta`` its series, its colour and what to colour."""
    traces = [trace for at, series in enumerate(shown.series) for trace in _traces(series, at, shown)]
    return {"data": traces, "layout": {"xaxis": _axis(shown.x), "yaxis": _axis(shown.y)}}


def _axis(axis: Axis) -> dict[str, Any]:
    made: dict[str, Any] = {"title": {"text": html.escape(axis.label)}, "type": "log" if axis.log else "linear"}
    if axis.span:
        ends = [axis.scale * end for end in axis.span]
        made["range"] = [math.log10(end) if axis.log else end for end in (ends[::-1] if axis.reverse else ends)]
    if axis.ticks:
        made["tickvals"] = [axis.scale * at for at in axis.ticks]
        made["ticktext"] = [html.escape(text) for text in axis.texts] or [f"{at:g}" for at in made["tickvals"]]
    return made


def _traces(series: Series, at: int, shown: Figure) -> list[dict[str, Any]]:
    """The band first, so that the line lies over it."""
    x = [_short(shown.x.scale * value) for value in series.x]
    heights = (series.y, series.low, series.high)
    y, low, high = ([_short(shown.y.scale * value) for value in values] for values in heights)
    if series.kind == "level" and shown.x.span:
        x = [shown.x.scale * end for end in shown.x.span]
        y, low, high = 2 * y, 2 * low, 2 * high
    seen = look(series.style)
    meta = {"series": at, "colour": seen.variable, "part": "line"}
    said = [html.escape(text) for text in series.said]
    said *= len(x) // max(len(said), 1)  # a level is said at both of its ends
    line: dict[str, Any] = {
        "type": "scatter", "x": x, "y": y, "name": html.escape(series.label), "meta": meta, "text": said,
        "hovertemplate": f"{_SAID if said else _POINT}<extra></extra>",
        "mode": _MODES[series.kind],
        "line": {"width": 2, "dash": ",".join(f"{v:g}px" for v in seen.dash) or "solid"},
    }  # fmt: skip
    if "markers" in line["mode"]:
        hollow = series.kind == "hollow"
        line["marker"] = {"symbol": seen.symbol + ("-open" if hollow else ""), "size": 10 if hollow else 7}
    return [*([_band(x, low, high, meta)] if low else []), line]


def _short(value: float) -> float:
    """What can be told apart on a screen, for a small page; the CSV has it all."""
    return float(f"{value:.6g}")


_SAID, _POINT = "%{text}", "%{fullData.name}: %{y:.4~g} at %{x:.4~g}"
_MODES = {"line": "lines+markers", "curve": "lines", "level": "lines", "hollow": "markers"}


def _band(x: list[float], low: list[float], high: list[float], meta: dict[str, Any]) -> dict[str, Any]:
    """A closed outline, along the lower ends and back along the upper ones."""
    return {
        "type": "scatter", "x": [*x, *x[::-1]], "y": [*low, *high[::-1]], "fill": "toself", "mode": "lines",
        "line": {"width": 0}, "hoverinfo": "skip", "meta": {**meta, "part": "band"},
    }  # fmt: skip
