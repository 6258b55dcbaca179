"""Figures on paper: PNG, PDF and SVG through matplotlib, and the SVG that the page shows where nothing runs."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from rarefy.reports._study._describe import Axis, Figure, Series
from rarefy.reports._study._style import GRID, INK, PAPER, VARIABLES, look

if TYPE_CHECKING:
    from matplotlib import figure
    from matplotlib.axes import Axes

# A picture is the same bytes for the same records: no dates, no random ids.
_KINDS: dict[str, dict[str, Any]] = {
    "png": {"dpi": 150},
    "pdf": {"metadata": {"CreationDate": None}},
    "svg": {"metadata": {"Date": None}},
}
_INKS = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
_SETTINGS: Any = dict.fromkeys(_INKS, INK) | {
    "grid.color": GRID,
    "font.size": 9,
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib, so that it is there everywhere
    "text.parse_math": False,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "rarefy",
}
_MANY = 12  # ticks with texts from which on they are turned


def pictures(shown: Figure) -> dict[str, bytes]:
    """Draws a figure as PNG, PDF and SVG; the same figure gives the same bytes.

    Args:
        shown: What the figure shows.

    Returns:
        Suffix (``png``, ``pdf``, ``svg``) to the file's content.

    Example:
        >>> series = Series("erk", 0, (0.1, 0.5), (0.90, 0.92))
        >>> figure = Figure("f", "Accuracy", Axis("density", "density"), Axis("accuracy", "accuracy"), (series,))
        >>> sorted(pictures(figure))
        ['pdf', 'png', 'svg']
    """
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        drawn = _drawn(shown)
        files = {}
        for suffix, options in _KINDS.items():
            content = io.BytesIO()
            drawn.savefig(content, format=suffix, **options)
            drawn.set_layout_engine("none")  # the first has laid it out for all
            files[suffix] = content.getvalue()
    return files


def inlined(svg: str, name: str, alt: str) -> str:
    """An SVG file as a part of the page: its colours are the page's, its ids its own."""
    from html import escape

    text = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r"(\.\d\d)\d+", r"\1", re.sub(r'<g id="[^"]*">', "<g>", text))  # hundredths of a pixel will do
    text = re.sub(r"\s+", " ", text).replace("> <", "><")
    text = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    box = re.search(r'viewBox="[^"]*"', text)
    head = f'<svg {box.group() if box else ""} role="img" aria-label="{escape(alt)}"'
    links = 'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg"'
    return f"{head} {links}>" + text[text.index(">") + 1 :]


def _drawn(shown: Figure) -> figure.Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(5.6, 3.7), layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(canvas)
    panel = canvas.add_subplot(facecolor=PAPER)
    panel.grid(linewidth=0.7)
    panel.set_axisbelow(True)
    panel.set_title(shown.title, fontsize=10)
    _axis(panel, "x", shown.x)
    _axis(panel, "y", shown.y)
    for series in shown.series:
        _draw(panel, series, shown)
    if len(shown.series) > 1:
        panel.legend(fontsize=7.5, facecolor=PAPER, edgecolor=GRID)
    return canvas


def _axis(panel: Axes, which: str, axis: Axis) -> None:
    getattr(panel, f"set_{which}label")(axis.label)
    if axis.log:
        getattr(panel, f"set_{which}scale")("log")
    if axis.span:
        low, high = (axis.scale * end for end in axis.span)
        getattr(panel, f"set_{which}lim")(*((high, low) if axis.reverse else (low, high)))
    if axis.ticks:
        texts = axis.texts or tuple(f"{axis.scale * at:g}" for at in axis.ticks)
        turned = {"rotation": 90, "fontsize": 6} if len(texts) > _MANY else {}
        getattr(panel, f"set_{which}ticks")([axis.scale * at for at in axis.ticks], texts, **turned)
        panel.minorticks_off()


def _draw(panel: Axes, series: Series, shown: Figure) -> None:
    seen = look(series.style)
    x, y, low, high = ([axis.scale * v for v in values] for axis, values in _scaled(shown, series))
    common: Any = {"color": seen.colour, "linewidth": 1.5, "label": series.label}
    line: Any = (0, seen.dash) if seen.dash else "-"
    if series.kind == "level":
        panel.axhline(y[0], linestyle="-", **common)
        if low:
            panel.axhspan(low[0], high[0], color=seen.colour, alpha=0.12, linewidth=0)
        return
    if series.kind == "hollow":
        panel.plot(x, y, seen.drawn, markerfacecolor="none", markersize=6, **{**common, "linewidth": 0})
        return
    mark = seen.drawn if series.kind == "line" else ""
    panel.plot(x, y, marker=mark, markersize=4.5, linestyle=line, **common)
    if low:
        panel.fill_between(x, low, high, color=seen.colour, alpha=0.15, linewidth=0)


def _scaled(shown: Figure, series: Series) -> list[tuple[Axis, tuple[float, ...]]]:
    return [(shown.x, series.x), (shown.y, series.y), (shown.y, series.low), (shown.y, series.high)]
