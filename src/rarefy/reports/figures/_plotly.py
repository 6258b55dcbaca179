"""Figures on a page: Plotly's JSON; the page's script adds the colours, light or dark."""

from __future__ import annotations

import dataclasses
import html
import math
from typing import Any

from rarefy.reports.figures._axes import choose_labels, needs_turning
from rarefy.reports.figures._figure import Axis, Figure, Series
from rarefy.reports.figures._style import get_style

_MODES = {
    "line": "lines+markers", "curve": "lines", "level": "lines", "guide": "lines", "dots": "markers",
    "hollow": "markers", "ticks": "markers",
}  # fmt: skip
_LETTER, _PITCH = 7.0, 9.5  # pixels: a letter of texts below an axis, distance between texts that are turned
_TIP, _POINT = "%{text}<extra></extra>", "%{fullData.name}: %{y:.4~g} at %{x:.4~g}<extra></extra>"


def build_plotly(figure: Figure) -> dict[str, Any]:
    """Builds ``data`` and ``layout``. Each trace says in ``meta`` its series, its colour and which part it is."""
    traces = [trace for number, series in enumerate(figure.series) for trace in _build_traces(series, number, figure)]
    layout: dict[str, Any] = {"xaxis": _build_x_axis(figure), "yaxis": _build_axis(figure.y), "barmode": "overlay"}
    return {"data": traces, "layout": layout}


def _build_x_axis(figure: Figure) -> dict[str, Any]:
    """Builds the horizontal axis; texts that do not fit beside each other are turned, and some are left out."""
    axis = figure.x
    if not axis.texts or not needs_turning(axis.texts, figure.width, _LETTER):
        return _build_axis(axis)
    shown = choose_labels(len(axis.ticks), int(figure.width / _PITCH))
    ticks, texts = (tuple(values[at] for at in shown) for values in (axis.ticks, axis.texts))
    built = _build_axis(dataclasses.replace(axis, ticks=ticks, texts=texts))  # type: ignore[arg-type]
    return {**built, "tickangle": -90, "tickfont": {"size": min(11.0, max(8.5, 0.8 * figure.width / len(shown)))}}


def _build_axis(axis: Axis) -> dict[str, Any]:
    built: dict[str, Any] = {"title": {"text": html.escape(axis.label)}, "type": "log" if axis.log else "linear"}
    if axis.span:
        ends = [axis.scale * end for end in axis.span]
        built["range"] = [math.log10(end) if axis.log else end for end in (ends[::-1] if axis.reverse else ends)]
    if axis.ticks:
        built["tickvals"] = [_round(axis.scale * tick) for tick in axis.ticks]
        built["ticktext"] = [html.escape(text) for text in axis.texts] or [f"{tick:g}" for tick in built["tickvals"]]
    return built


def _build_traces(series: Series, number: int, figure: Figure) -> list[dict[str, Any]]:
    """Builds the band first, so that the line lies over it."""
    x, y = _scale(figure.x, series.x), _scale(figure.y, series.y)
    values = figure.x if figure.is_horizontal else figure.y
    low, high = _scale(values, series.low), _scale(values, series.high)
    tips = [html.escape(tip) for tip in series.tips]
    if series.kind == "level" and figure.x.span:
        x, y, low, high, tips = _scale(figure.x, figure.x.span), 2 * y, 2 * low, 2 * high, 2 * tips
    style = get_style(series.style)
    meta = {"series": number, "colour": style.variable, "part": "line"}
    common = {"x": x, "y": y, "name": html.escape(series.label), "meta": meta, "text": tips}
    if series.kind == "cells":
        return [_build_cells(series, common)]
    if series.kind == "bars":
        bars = {"type": "bar", "orientation": "h", "width": list(series.sizes), "hovertemplate": _TIP}
        return [
            {**common, **bars, "marker": {"opacity": 0.55}, "meta": {**meta, "part": "bars"}, "textposition": "none"}
        ]
    line: dict[str, Any] = {
        "type": "scatter", **common, "mode": _MODES[series.kind], "hovertemplate": _TIP if tips else _POINT,
        "line": {"width": 2, "dash": ",".join(f"{length:g}px" for length in style.dash) or "solid"},
    }  # fmt: skip
    if series.kind == "guide":
        line |= {"line": {"width": 1, "dash": "3px,3px"}, "hoverinfo": "skip", "meta": {**meta, "colour": "--soft"}}
    if "markers" in line["mode"]:
        line["marker"] = _build_marker(series, style.symbol)
    if low and series.has_bars:
        line["error_x" if figure.is_horizontal else "error_y"] = _build_error_bars(
            x if figure.is_horizontal else y, low, high
        )
    return [*([_build_band(x, low, high, meta)] if low and not series.has_bars else []), line]


def _scale(axis: Axis, values: tuple[float, ...]) -> list[float]:
    return [_round(axis.scale * value) for value in values]


def _round(value: float) -> float:
    """Rounds to the resolution of a screen, for a small page; the CSV has all digits."""
    return float(f"{value:.6g}")


def _build_marker(series: Series, symbol: str) -> dict[str, Any]:
    if series.kind == "ticks":
        return {"symbol": "line-ns-open", "size": 8}
    if series.sizes:
        opacity = {"opacity": list(series.opacities)} if series.opacities else {}
        return {"symbol": "circle", "size": [3 + 12 * size**0.5 for size in series.sizes], **opacity}
    is_hollow = series.kind == "hollow"
    return {"symbol": symbol + ("-open" if is_hollow else ""), "size": 9 if is_hollow else 7}


def _build_cells(series: Series, common: dict[str, Any]) -> dict[str, Any]:
    return {
        **common, "type": "heatmap", "z": [_round(size) for size in series.sizes], "zmin": 0, "zmax": 1,
        "showscale": False, "xgap": 1, "ygap": 1, "text": list(series.texts), "texttemplate": "%{text}",
        "hovertext": common["text"], "hovertemplate": "%{hovertext}<extra></extra>",
        "meta": {**common["meta"], "part": "cells"},
    }  # fmt: skip


def _build_band(x: list[float], low: list[float], high: list[float], meta: dict[str, Any]) -> dict[str, Any]:
    """Builds a closed outline, along the lower ends and back along the upper ones."""
    return {
        "type": "scatter", "x": [*x, *x[::-1]], "y": [*low, *high[::-1]], "fill": "toself", "mode": "lines",
        "line": {"width": 0}, "hoverinfo": "skip", "meta": {**meta, "part": "band"},
    }  # fmt: skip


def _build_error_bars(values: list[float], low: list[float], high: list[float]) -> dict[str, Any]:
    above = [_round(end - value) for value, end in zip(values, high, strict=True)]
    below = [_round(value - end) for value, end in zip(values, low, strict=True)]
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "width": 0, "thickness": 1.4}
