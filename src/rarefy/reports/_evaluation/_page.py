"""One page from sections, and its numbers beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

from rarefy.paths import replace_file
from rarefy.reports._csv import comma_separated
from rarefy.reports._evaluation._blocks import Label, Section
from rarefy.reports._evaluation._svg import dash, paint
from rarefy.reports._render import ReportError


def write_page(
    page: Path, title: str, sections: Sequence[Section], groups: Sequence[Label], more: Mapping[Path, str] | None = None
) -> list[Path]:
    """Writes a page that needs nothing else, and its sheets as CSV into the folder named after it without its suffix.

    All is made before anything is written, and each file is complete or as it was; a sheet of an earlier page that has
    no rows now is removed.

    Args:
        page: The HTML file.
        title: Its heading.
        sections: What is on it.
        groups: The entries of the legend.
        more: Other files that belong to it, and their text.

    Returns:
        The files written, the page first.

    Raises:
        ReportError: If the page's name has no suffix.
    """
    if not page.suffix:
        raise ReportError(f"The page {page} has no suffix, so its CSV files would need the same name: add .html.")
    folder, sheets = page.with_suffix(""), [sheet for section in sections for sheet in section.sheets]
    contents = {page: _html(title, sections, groups, folder.name)}
    contents |= {
        folder / f"{sheet.name}.csv": comma_separated(sheet.columns, sheet.rows) for sheet in sheets if sheet.rows
    }
    contents |= more or {}
    for path, content in contents.items():
        with replace_file(path) as partial:
            partial.write_bytes(content.encode())
    for stale in (folder / f"{sheet.name}.csv" for sheet in sheets if not sheet.rows):
        stale.unlink(missing_ok=True)
    return list(contents)


def _html(title: str, sections: Sequence[Section], groups: Sequence[Label], folder: str) -> str:
    import jinja2  # here, so that the command line does not wait for it

    files = resources.files(__package__)
    loader = jinja2.DictLoader({name: files.joinpath(name).read_text("utf-8") for name in ("page.html.j2", "page.css")})
    room = jinja2.Environment(
        loader=loader, autoescape=lambda name: name != "page.css", undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    room.filters |= {"paint": paint, "dash": dash}
    written = {sheet.name for section in sections for sheet in section.sheets if sheet.rows}
    return room.get_template("page.html.j2").render(
        title=title, sections=sections, groups=groups, folder=folder, written=written
    )
