"""Builds the HTML of a page from its sections."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import itertools
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from rarefy.reports.figures import Figure, build_plotly, draw_files, get_style, inline_svg
from rarefy.reports.pages._blocks import Section

_MOST_ROWS = 250  # of a figure's numbers that are a table on the page


@dataclasses.dataclass(frozen=True)
class PageText:
    """What a page says.

    Args:
        title: Its heading.
        sections: Its sections.
        subtitle: A line below the heading.
        folder: Name of the folder of its files.
        files: Names of these files.
        formats: Formats of the figures' files.
        report: Address of a report that it leads to; "": none.
        is_live: Whether it reloads itself while a server gives it anew.
    """

    title: str
    sections: Sequence[Section]
    subtitle: str = ""
    folder: str = ""
    files: frozenset[str] = frozenset()
    formats: tuple[str, ...] = ()
    report: str = ""
    is_live: bool = False


@dataclasses.dataclass(frozen=True)
class _ShownFigure:
    """A figure at one place of a page."""

    figure: Figure
    id: str
    svg: str
    plot: dict[str, Any] | None


def build_page(title: str, sections: Sequence[Section], *, subtitle: str, report: str, is_live: bool) -> str:
    """Builds a page that is not written to a file, and has none beside it; arguments as for `PageText`."""
    figures = {figure.name: figure for section in sections for figure in section.figures}
    svgs = {name: draw_files(figure, ("svg",))["svg"].decode() for name, figure in figures.items()}
    return build_html(PageText(title, sections, subtitle, report=report, is_live=is_live), svgs, can_zoom=False)


def build_html(text: PageText, svgs: Mapping[str, str], *, can_zoom: bool) -> str:
    """Builds the HTML of a page.

    Args:
        text: What it says.
        svgs: Name of each figure to its drawing.
        can_zoom: As for `write_page`.
    """
    import jinja2  # here, so that the command line does not wait for it

    numbers = itertools.count()

    def show_figure(figure: Figure) -> _ShownFigure:
        name = f"f{next(numbers)}"
        plot = build_plotly(figure) if can_zoom else None
        return _ShownFigure(figure, name, inline_svg(svgs[figure.name], name, figure), plot)

    package = resources.files(__package__)
    sources = {
        name: package.joinpath(name).read_text("utf-8")
        for name in ("page.html.j2", "page.css", "page.js", "still.js", "live.js")
    }
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(sources), autoescape=lambda name: name == "page.html.j2",
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"style": get_style, "show_figure": show_figure, "json": _format_json}
    return environment.get_template("page.html.j2").render(
        page=text, most_rows=_MOST_ROWS, can_zoom=can_zoom, plotly=_compress_plotly() if svgs and can_zoom else ""
    )


def _compress_plotly() -> str:
    """Compresses Plotly's script to a third; the page unpacks it with DecompressionStream."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def _format_json(values: Any) -> str:
    """Formats JSON that cannot end the script it stands in."""
    return json.dumps(values, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")
