"""Writes a page from sections, with its figures, its tables and their numbers in a folder next to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rarefy.paths import replace_file
from rarefy.reports._render import ReportError
from rarefy.reports.figures import Figure, draw_files, draw_panels
from rarefy.reports.pages._blocks import Section
from rarefy.reports.pages._build_html import PageText, build_html
from rarefy.reports.pages._csv import format_csv

ReportProgress = Callable[[str, float], None]
"""Called with what is being done and the share of the work that is done, in [0, 1]."""

_LISTING = ".files"  # names of the files that a page has written


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
    text = PageText(title, sections, subtitle, folder=folder.name, files=frozenset(contents), formats=tuple(formats))
    html = build_html(text, svgs, can_zoom=can_zoom)
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
