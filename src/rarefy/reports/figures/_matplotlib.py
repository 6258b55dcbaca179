"""Figures in files: PNG, PDF and SVG through matplotlib, and the SVG that a page shows where no script runs."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, cast

from rarefy.reports.figures._axes import choose_labels, needs_turning
from rarefy.reports.figures._figure import Axis, Figure, Series
from rarefy.reports.figures._style import GRID, INK, PAPER, SOFT, get_style

if TYPE_CHECKING:
    from matplotlib import figure as matplotlib_figure
    from matplotlib.axes import Axes

_DPI = 150  # of PNG
_INKS = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
_SETTINGS: Any = dict.fromkeys(_INKS, INK) | {
    "font.size": 9,
    "font.sans-serif": ["DejaVu Sans"],  # matplotlib brings it, so that it is there everywhere
    "text.parse_math": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "rarefy",
}
_LETTER, _PITCH = 5.2, 6.4  # points: a letter of texts below an axis, distance between texts that are turned
_DEFAULT_SHARE = 0.775  # of a drawing's width that a panel has before it is laid out
_BESIDE = 50.0  # points beside a panel once it is
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
        fitting = _count_legend_columns(size[0], marks)
        drawing.legend(marks.values(), marks, loc="outside lower center", ncols=fitting, fontsize=8, frameon=False)
        return _save(drawing, formats)


def _count_legend_columns(width: float, texts: Collection[str]) -> int:
    """Counts how many entries in letters of 8 points fit beside each other in a width in inches; at most six."""
    entry = 0.6 + 0.065 * max(map(len, texts), default=0)  # a mark with its gaps, and its text
    return max(1, min(6, int(width / entry)))


def _shorten_title(figure: Figure, figures: Sequence[Figure]) -> str:
    """Leaves out what the titles of all panels begin or end with: ``Accuracy: ResNet-20 on CIFAR-10``."""
    before, _, after = figure.title.partition(": ")
    parts = [other.title.partition(": ") for other in figures]
    if after and all(other[0] == before for other in parts):
        return after
    return before if all(other[2] == after for other in parts) else figure.title


def _save(drawing: matplotlib_figure.Figure, formats: Sequence[str]) -> dict[str, bytes]:
    """Saves a drawing, laid out once for all formats; `savefig` would draw it twice for each."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    layout = drawing.get_layout_engine()
    assert layout
    layout.execute(drawing)
    drawing.set_layout_engine("none")
    drawing.dpi = _DPI
    # The same figure gives the same bytes: no dates.
    canvases: dict[str, tuple[Any, dict[str, Any]]] = {
        "png": (FigureCanvasAgg, {}),
        "pdf": (FigureCanvasPdf, {"metadata": {"CreationDate": None}}),
        "svg": (FigureCanvasSVG, {"metadata": {"Date": None}}),
    }
    files = {}
    for suffix in formats:
        canvas, options = canvases[suffix]
        content = io.BytesIO()
        getattr(canvas(drawing), f"print_{suffix}")(content, **options)
        files[suffix] = content.getvalue()
    return files


def draw_on_axes(axes: Axes, figure: Figure, *, has_legend: bool = True) -> None:
    """Draws a figure on matplotlib axes, which may be one of several; the legend of several is theirs."""
    axes.grid(linewidth=0.7, color=GRID)
    axes.set_axisbelow(True)
    axes.set_title(figure.title, fontsize=10).set_gid("title")
    _set_axis(axes, "x", figure.x)
    _set_axis(axes, "y", figure.y)
    for number, series in enumerate(figure.series):
        _draw_series(axes, series, figure, f"series-{number}")
    if has_legend and len(figure.legend_series) > 1 and not figure.is_horizontal:
        axes.legend(loc="best", fontsize=7.5, facecolor=PAPER, edgecolor=GRID).set_gid("legend")


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
        turned: dict[str, Any] = {}
        if which == "x" and needs_turning(texts, width := _estimate_width(axes), _LETTER):
            shown = choose_labels(len(ticks), int(width / _PITCH))
            ticks, texts = [ticks[at] for at in shown], tuple(texts[at] for at in shown)
            turned = {"rotation": 90, "fontsize": min(8.0, max(6.0, 0.8 * width / len(shown)))}
        getattr(axes, f"set_{which}ticks")(ticks, texts, **turned)
        axes.minorticks_off()


def _estimate_width(axes: Axes) -> float:
    """Estimates the length of the horizontal axis in points as it is once the drawing is laid out."""
    share = axes.get_position().width / _DEFAULT_SHARE
    return float(axes.figure.bbox.width / axes.figure.dpi * 72 * share - _BESIDE)


def _draw_series(axes: Axes, series: Series, figure: Figure, gid: str) -> None:
    style, is_hollow = get_style(series.style), series.kind == "hollow"
    x, y = ([axis.scale * v for v in values] for axis, values in ((figure.x, series.x), (figure.y, series.y)))
    common: Any = {"color": style.colour, "linewidth": 1.5, "label": series.label, "gid": gid}
    _draw_interval(axes, series, figure, x, y, gid)
    if series.kind == "guide":
        axes.plot(x, y, color=SOFT, linewidth=0.8, linestyle=(0, (3, 3)))
    elif series.kind == "level":
        axes.axhline(y[0], linestyle="-", **common)
    elif series.kind == "cells":
        _draw_cells(axes, series, x, y, gid)
    elif series.kind == "bars":
        for number, bar in enumerate(axes.barh(y, x, series.sizes, color=style.colour, alpha=0.55, label=series.label)):
            bar.set_gid(f"{gid}-{number}")
    elif series.sizes:
        areas, alphas = [4 + 60 * size for size in series.sizes], cast(Any, list(series.opacities) or None)
        axes.scatter(x, y, areas, style.colour, label=series.label, gid=gid, alpha=alphas, linewidths=0)
    elif series.kind in ("dots", "hollow", "ticks"):
        fill: Any = {"markerfacecolor": "none"} if is_hollow else {}
        mark = "|" if series.kind == "ticks" else style.mark
        axes.plot(x, y, mark, markersize=6 if is_hollow else 5, **fill, **{**common, "linewidth": 0})
    else:
        mark = style.mark if series.kind == "line" else ""
        axes.plot(x, y, marker=mark, markersize=4.5, linestyle=(0, style.dash) if style.dash else "-", **common)


def _draw_interval(
    axes: Axes, series: Series, figure: Figure, x: Sequence[float], y: Sequence[float], gid: str
) -> None:
    if not series.low:
        return
    colour, values = get_style(series.style).colour, figure.x if figure.is_horizontal else figure.y
    low, high = ([values.scale * end for end in ends] for ends in (series.low, series.high))
    if series.kind == "level":
        axes.axhspan(low[0], high[0], color=colour, alpha=0.12, linewidth=0, gid=gid)
    elif not series.has_bars:
        axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0, gid=gid)
    elif figure.is_horizontal:
        axes.hlines(y, low, high, color=colour, linewidth=1.1, gid=gid)
    else:
        axes.vlines(x, low, high, color=colour, linewidth=1.1, gid=gid)


def _draw_cells(axes: Axes, series: Series, x: Sequence[float], y: Sequence[float], gid: str) -> None:
    from matplotlib.patches import Rectangle

    colour = get_style(series.style).colour
    for number, (column, row, share, text) in enumerate(zip(x, y, series.sizes, series.texts, strict=True)):
        corner = (column - 0.5, row - 0.5)
        axes.add_patch(
            Rectangle(corner, 1, 1, facecolor=colour, alpha=share, edgecolor=GRID, linewidth=0.5, gid=f"{gid}-{number}")
        )
        if text:
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=PAPER if share > 0.62 else INK)
