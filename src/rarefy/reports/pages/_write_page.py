"""Writes a page from sections, with its figures, its tables and their numbers in a folder next to it."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from rarefy.paths import replace_file
from rarefy.reports._render import ReportError
from rarefy.reports.figures import Figure, build_plotly, draw_files, draw_panels, get_style, inline_svg
from rarefy.reports.pages._blocks import Section
from rarefy.reports.pages._csv import format_csv

ReportProgress = Callable[[str, float], None]
"""Called with what is being done and the share of the work that is done, in [0, 1]."""

_MOST_ROWS = 250  # of a figure's numbers that are a table on the page
_LISTING = ".files"  # names of the files that a page has written


@dataclasses.dataclass(frozen=True)
class _ShownFigure:
    """A figure at one place of a page."""

    figure: Figure
    id: str
    svg: str
    plot: dict[str, Any] | None


def write_page(
    page: Path,
    title: str,
    sections: Sequence[Section],
    *,
    folder: Path,
    subtitle: str = "",
    formats: Sequence[str] = (),
    more: Mapping[str, bytes] | None = None,
    can_zoom: bool = True,
    progress: ReportProgress = lambda what, share: None,
) -> list[Path]:
    """Writes a page that needs no other file and no network, and the files of its figures and tables.

    Everything is made before anything is written. Each file is complete or as it was; the page is written last, and
    files of an earlier page that this one does not have are removed.

    Args:
        page: The HTML file.
        title: Its heading.
        sections: Its sections.
        folder: The folder of the other files.
        subtitle: A line below the heading.
        formats: Formats of the figures' files (``png``, ``pdf``, ``svg``); their numbers are always written, as CSV.
        more: Names of other files for the folder, and their contents.
        can_zoom: Whether Plotly draws the figures where scripts run; it adds 2 MB. Without it figures cannot be
            enlarged, and their points have titles.
        progress: Called as the figures are drawn.

    Returns:
        The files written, the page first.

    Raises:
        ReportError: If the page's name has no suffix.
    """
    if not page.suffix:
        raise ReportError(f"The page {page} has no suffix, so its folder of files would need the same name: add .html.")
    contents, svgs = dict(more or {}), {}
    figures = {figure.name: figure for section in sections for figure in section.figures}
    for number, (name, figure) in enumerate(figures.items()):
        progress(f"figure {name}", number / len(figures))
        drawn = draw_files(figure, tuple(dict.fromkeys([*formats, "svg"])))
        svgs[name] = drawn["svg"].decode()
        contents |= {f"{name}.{suffix}": drawn[suffix] for suffix in formats}
        contents |= _write_numbers(figure)
    for name, row in ((name, row) for section in sections if formats for name, row in section.panels.items()):
        contents |= {f"{name}.{suffix}": content for suffix, content in draw_panels(row, formats).items()}
    for table in (table for section in sections for table in section.tables):
        contents |= {name: text.encode() for name, text in table.files.items()}
    html = _build_html((title, subtitle), sections, svgs, contents.keys(), folder.name, formats, can_zoom=can_zoom)
    written = _write_files(contents, html.encode(), folder, page)
    progress("done", 1.0)
    return written


def _write_numbers(figure: Figure) -> dict[str, bytes]:
    """Returns the CSV file of a figure: its sheet, or the points of its series."""
    sheet = figure.sheet
    if sheet is None:
        return {f"{figure.name}.csv": format_csv(figure.columns, figure.rows()).encode()}
    return {f"{sheet.name}.csv": format_csv(sheet.columns, sheet.rows).encode()} if sheet.rows else {}


def _write_files(contents: dict[str, bytes], html: bytes, folder: Path, page: Path) -> list[Path]:
    """Writes the page last, so that it never links to missing files, and then removes what an earlier one has left."""
    listing = folder / _LISTING
    before = listing.read_text("utf-8").splitlines() if listing.is_file() else []
    files = {folder / name: content for name, content in sorted(contents.items())}
    listed = "\n".join(path.name for path in files).encode()
    for path, content in (files | {listing: listed, page: html}).items():
        with replace_file(path) as partial:
            partial.write_bytes(content)
    for name in before:
        if name not in contents and Path(name).name == name:
            (folder / name).unlink(missing_ok=True)
    return [page, *files]


def _build_html(
    titles: tuple[str, str], sections: Sequence[Section], svgs: Mapping[str, str], written: Iterable[str], folder: str,
    formats: Sequence[str], *, can_zoom: bool,
) -> str:  # fmt: skip
    import jinja2  # here, so that the command line does not wait for it

    numbers = itertools.count()

    def show_figure(figure: Figure) -> _ShownFigure:
        name = f"f{next(numbers)}"
        plot = build_plotly(figure) if can_zoom else None
        return _ShownFigure(figure, name, inline_svg(svgs[figure.name], name, figure), plot)

    package = resources.files(__package__)
    sources = {
        name: package.joinpath(name).read_text("utf-8") for name in ("page.html.j2", "page.css", "page.js", "still.js")
    }
    environment = jinja2.Environment(
        loader=jinja2.DictLoader(sources), autoescape=lambda name: name == "page.html.j2",
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"style": get_style, "show_figure": show_figure, "json": _format_json}
    return environment.get_template("page.html.j2").render(
        title=titles[0], subtitle=titles[1], sections=sections, folder=folder, written=set(written),
        figure_formats=formats, most_rows=_MOST_ROWS, can_zoom=can_zoom,
        plotly=_compress_plotly() if svgs and can_zoom else "",
    )  # fmt: skip


def _compress_plotly() -> str:
    """Compresses Plotly's script to a third; the page unpacks it with DecompressionStream."""
    from plotly.offline import get_plotlyjs

    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()


def _format_json(values: Any) -> str:
    """Formats JSON that cannot end the script it stands in."""
    return json.dumps(values, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")
