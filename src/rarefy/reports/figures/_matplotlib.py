"""Figures in files: PNG, PDF and SVG through matplotlib, and the SVG that a page shows where no script runs."""

from __future__ import annotations

import dataclasses
import html
import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rarefy.reports.figures._figure import Axis, Figure, Series
from rarefy.reports.figures._style import GRID, INK, PAPER, SOFT, VARIABLES, get_style

if TYPE_CHECKING:
    from matplotlib import figure as matplotlib_figure
    from matplotlib.axes import Axes

# The same records give the same bytes: no dates, no random ids.
_FORMATS: dict[str, dict[str, Any]] = {
    "png": {"dpi": 150},
    "pdf": {"metadata": {"CreationDate": None}},
    "svg": {"metadata": {"Date": None}},
}
_INKS = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
_SETTINGS: Any = dict.fromkeys(_INKS, INK) | {
    "font.size": 9,
    "font.sans-serif": ["DejaVu Sans"],  # matplotlib brings it, so that it is there everywhere
    "text.parse_math": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "rarefy",
}
_MANY_TICKS, _MANY_LETTERS = 12, 60  # of texts below an axis, above which they are turned
_WIDTH = 5.6  # inches of 560 pixels
_MOST_PANELS, _PANEL = 4, 2.9  # panels of a row, inches of one


def draw_files(figure: Figure, formats: Sequence[str] = ("png", "pdf", "svg")) -> dict[str, bytes]:
    """Draws a figure with matplotlib; the same figure gives the same bytes.

    Args:
        figure: The description of the figure.
        formats: Some of ``png``, ``pdf``, ``svg``.

    Returns:
        Format to the file's content.

    Example:
        >>> series = Series("erk", 0, (0.1, 0.5), (0.90, 0.92))
        >>> figure = Figure("f", "Accuracy", Axis("density", "density"), Axis("accuracy", "accuracy"), (series,))
        >>> sorted(draw_files(figure))
        ['pdf', 'png', 'svg']
    """
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        return _save(_draw(figure), formats)


def draw_panels(figures: Sequence[Figure], formats: Sequence[str] = ("png", "pdf", "svg")) -> dict[str, bytes]:
    """Draws figures as panels of one drawing, rows of at most four, with one legend and shared heights.

    Args:
        figures: The panels; where all have one vertical span, only the first of a row has its numbers.
        formats: Some of ``png``, ``pdf``, ``svg``.

    Returns:
        Format to the file's content.
    """
    import matplotlib
    from matplotlib import figure as matplotlib_figure
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    columns = len(figures) if len(figures) <= _MOST_PANELS else _MOST_PANELS - 1
    rows = -(-len(figures) // columns)
    with matplotlib.rc_context(_SETTINGS):
        size = (_PANEL * columns, 0.85 * _PANEL * rows + 0.5)
        drawing = matplotlib_figure.Figure(figsize=size, layout="constrained", facecolor=PAPER)
        FigureCanvasAgg(drawing)
        shares = len({figure.y.span for figure in figures}) == 1 and figures[0].y.span is not None
        grid = drawing.subplots(rows, columns, sharey=shares, squeeze=False)
        for axes in grid.flat[len(figures) :]:
            axes.set_visible(False)
        for number, (axes, figure) in enumerate(zip(grid.flat, figures, strict=False)):
            draw_on_axes(axes, dataclasses.replace(figure, title=_shorten_title(figure, figures)), has_legend=False)
            if shares and number % columns:
                axes.set_ylabel("")
        marks = {text: mark for axes in grid.flat for mark, text in zip(*axes.get_legend_handles_labels(), strict=True)}
        drawing.legend(marks.values(), marks.keys(), loc="outside lower center", ncols=6, fontsize=8, frameon=False)
        return _save(drawing, formats)


def _shorten_title(figure: Figure, figures: Sequence[Figure]) -> str:
    """Leaves out what the titles of all panels begin or end with: ``Accuracy: ResNet-20 on CIFAR-10``."""
    before, _, after = figure.title.partition(": ")
    parts = [other.title.partition(": ") for other in figures]
    if after and all(other[0] == before for other in parts):
        return after
    return before if all(other[2] == after for other in parts) else figure.title


def _save(drawing: matplotlib_figure.Figure, formats: Sequence[str]) -> dict[str, bytes]:
    files = {}
    for suffix in formats:
        content = io.BytesIO()
        drawing.savefig(content, format=suffix, **_FORMATS[suffix])
        drawing.set_layout_engine("none")  # the first file has laid it out for all
        files[suffix] = content.getvalue()
    return files


def inline_svg(svg: str, name: str, alt: str) -> str:
    """Turns an SVG file into a part of a page: with the page's colours, and with ids of its own."""
    text = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"(\.\d\d)\d+", r"\1", re.sub(r'<g id="[^"]*">', "<g>", text))  # hundredths of a pixel will do
    text = re.sub(r"\s+", " ", text).replace("> <", "><")
    text = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    box = re.search(r'viewBox="[^"]*"', text)
    head = f'<svg {box.group() if box else ""} role="img" aria-label="{html.escape(alt)}"'
    links = 'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg"'
    return f"{head} {links}>" + text[text.index(">") + 1 :]


def draw_on_axes(axes: Axes, figure: Figure, *, has_legend: bool = True) -> None:
    """Draws a figure on matplotlib axes, which may be one of several; the legend of several is theirs."""
    axes.grid(linewidth=0.7, color=GRID)
    axes.set_axisbelow(True)
    axes.set_title(figure.title, fontsize=10)
    _set_axis(axes, "x", figure.x)
    _set_axis(axes, "y", figure.y)
    for series in figure.series:
        _draw_series(axes, series, figure)
    if has_legend and len(figure.legend_series) > 1 and not figure.is_horizontal:
        axes.legend(fontsize=7.5, facecolor=PAPER, edgecolor=GRID)


def _draw(figure: Figure) -> matplotlib_figure.Figure:
    from matplotlib import figure as matplotlib_figure
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    size = (_WIDTH * figure.width / 560, _WIDTH * figure.height / 560)
    drawing = matplotlib_figure.Figure(figsize=size, layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(drawing)
    draw_on_axes(drawing.add_subplot(facecolor=PAPER), figure)
    return drawing


def _set_axis(axes: Axes, which: str, axis: Axis) -> None:
    getattr(axes, f"set_{which}label")(axis.label)
    if axis.log:
        getattr(axes, f"set_{which}scale")("log")
    if axis.span:
        low, high = (axis.scale * end for end in axis.span)
        getattr(axes, f"set_{which}lim")(*((high, low) if axis.reverse else (low, high)))
    if axis.ticks:
        ticks = [axis.scale * tick for tick in axis.ticks]
        texts = axis.texts or tuple(f"{tick:g}" for tick in ticks)
        is_full = len(texts) > _MANY_TICKS or sum(map(len, texts)) > _MANY_LETTERS
        turned = {"rotation": 90, "fontsize": 6} if which == "x" and is_full else {}
        getattr(axes, f"set_{which}ticks")(ticks, texts, **turned)
        axes.minorticks_off()


def _draw_series(axes: Axes, series: Series, figure: Figure) -> None:
    style, is_hollow = get_style(series.style), series.kind == "hollow"
    x, y = ([axis.scale * v for v in values] for axis, values in ((figure.x, series.x), (figure.y, series.y)))
    common: Any = {"color": style.colour, "linewidth": 1.5, "label": series.label}
    _draw_interval(axes, series, figure, x, y)
    if series.kind == "guide":
        axes.plot(x, y, color=SOFT, linewidth=0.8, linestyle=(0, (3, 3)))
    elif series.kind == "level":
        axes.axhline(y[0], linestyle="-", **common)
    elif series.kind == "cells":
        _draw_cells(axes, series, x, y)
    elif series.kind == "bars":
        axes.barh(y, x, series.sizes, color=style.colour, alpha=0.55, label=series.label)
    elif series.sizes:
        axes.scatter(x, y, [4 + 60 * size for size in series.sizes], style.colour, label=series.label)
    elif series.kind in ("dots", "hollow", "ticks"):
        fill: Any = {"markerfacecolor": "none"} if is_hollow else {}
        mark = "|" if series.kind == "ticks" else style.mark
        axes.plot(x, y, mark, markersize=6 if is_hollow else 5, **fill, **{**common, "linewidth": 0})
    else:
        mark = style.mark if series.kind == "line" else ""
        axes.plot(x, y, marker=mark, markersize=4.5, linestyle=(0, style.dash) if style.dash else "-", **common)


def _draw_interval(axes: Axes, series: Series, figure: Figure, x: Sequence[float], y: Sequence[float]) -> None:
    if not series.low:
        return
    colour, values = get_style(series.style).colour, figure.x if figure.is_horizontal else figure.y
    low, high = ([values.scale * end for end in ends] for ends in (series.low, series.high))
    if series.kind == "level":
        axes.axhspan(low[0], high[0], color=colour, alpha=0.12, linewidth=0)
    elif not series.has_bars:
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    elif figure.is_horizontal:
        axes.hlines(y, low, high, color=colour, linewidth=1.1)
    else:
        axes.vlines(x, low, high, color=colour, linewidth=1.1)


def _draw_cells(axes: Axes, series: Series, x: Sequence[float], y: Sequence[float]) -> None:
    from matplotlib.patches import Rectangle

    colour = get_style(series.style).colour
    for column, row, share, text in zip(x, y, series.sizes, series.texts, strict=True):
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(Rectangle(corner, 1, 1, facecolor=colour, alpha=share, edgecolor=GRID, linewidth=0.5))
        if text:
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=PAPER if share > 0.62 else INK)
