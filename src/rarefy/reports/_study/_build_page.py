"""The verb: a study in, one page and its files out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from rarefy.paths import replace_file
from rarefy.reports._csv import comma_separated
from rarefy.reports._render import ReportError
from rarefy.reports._study import _tables
from rarefy.reports._study._blocks import Figures, Section, Sheet
from rarefy.reports._study._describe import Figure
from rarefy.reports._study._live import plot
from rarefy.reports._study._paper import inlined, pictures
from rarefy.reports._study._study import Study
from rarefy.reports._study._style import look
from rarefy.reports._study._tables import Table
from rarefy.reports._study.accuracy import accuracy
from rarefy.reports._study.evaluated import evaluated
from rarefy.reports._study.flow import flow
from rarefy.reports._study.gap import gap
from rarefy.reports._study.layers import layers
from rarefy.reports._study.missing import SWEEP, missing, runs_to_add, sweep_file
from rarefy.reports._study.ran import ran
from rarefy.reports._study.verdicts import verdicts

Progress = Callable[[str, float], None]
"""Told what is done, and the share of all of it that is, in [0, 1]."""

_MOST_ROWS = 250  # of a figure's numbers that are a table on the page
_FORMATS = ("png", "pdf", "svg", "csv")


@dataclasses.dataclass(frozen=True)
class _Shown:
    """A figure as the page has it, once for each place."""

    figure: Figure
    id: str
    svg: str
    plot: dict[str, Any]


def render_report(study: Study, page: Path, *, progress: Progress = lambda what, share: None) -> list[Path]:
    """Writes what many runs show as one page, its figures also as PNG, PDF, SVG and CSV, its tables as CSV, TeX and MD.

    The page is a single HTML file that needs nothing else and asks nobody for anything; without scripts it shows the
    figures as they are printed. The same study gives the same bytes. Each file is complete or as it was; the page is
    written last, and files of an earlier report that this one does not have are removed.

    Args:
        study: What to show.
        page: The HTML file to write; the others go to a folder beside it, named after it: ``report_files``.
        progress: Told how far it is.

    Returns:
        The files written, the page first.

    Raises:
        ReportError: If there are no runs, or the page's name has no suffix.

    Example:
        >>> import tempfile
        >>> record = {"id": "3f2a", "config": {"seed": 17}, "layers": [], "history": [], "metrics": {"test": {}}}
        >>> from rarefy.reports import Cell, Sample
        >>> cell = Cell("dense", "mlp_16 on digits", "dense", "digits", "mlp_16", records=(record,),
        ...     folders=("runs/3f2a",), numbers={"accuracy": Sample((0.9,), 0.9)})
        >>> page = Path(tempfile.mkdtemp()) / "report.html"
        >>> written = render_report(Study((cell,), ()), page)
        >>> [path.relative_to(page.parent).as_posix() for path in written][:2]
        ['report.html', 'report_files/accuracy-mlp_16-on-digits.csv']
    """
    if not page.suffix:
        raise ReportError(f"The page {page} has no suffix, so its files' folder could not be told from it: add .html.")
    if not study.cells:
        raise ReportError("There are no runs to show. Name folders that hold finished runs.")
    folder = page.with_name(f"{page.stem}_files")
    study = dataclasses.replace(study, files=str(folder))
    sections = [section for section in _sections(study) if section.blocks]
    contents = {SWEEP: sweep_file(study)} if runs_to_add(study) else {}
    svgs: dict[str, str] = {}
    figures = {figure.name: figure for section in sections for figure in _figures(section)}
    for number, (name, figure) in enumerate(figures.items()):
        progress(f"figure {name}", number / len(figures))
        drawn = pictures(figure)
        svgs[name] = drawn["svg"].decode()
        contents |= {f"{name}.{suffix}": content for suffix, content in drawn.items()}
        contents[f"{name}.csv"] = comma_separated(figure.columns, figure.rows()).encode()
    for table in (table for section in sections for table in _sheets(section)):
        contents |= {f"{table.name}.{suffix}": content for suffix, content in _tables.files(table).items()}
    html = _html(study, sections, svgs, folder.name)
    written = _write(contents, html.encode(), folder, page)
    progress("done", 1.0)
    return written


def _sections(study: Study) -> Iterator[Section]:
    yield from (section(study) for section in (ran, accuracy, gap, verdicts, layers))
    yield from evaluated(study)
    yield from (section(study) for section in (flow, missing))


def _figures(section: Section) -> Iterator[Figure]:
    return (figure for block in section.walk() if isinstance(block, Figures) for figure in block.figures)


def _sheets(section: Section) -> Iterator[Table]:
    return (block.table for block in section.walk() if isinstance(block, Sheet))


def _write(contents: dict[str, bytes], html: bytes, folder: Path, page: Path) -> list[Path]:
    """The page last, so that it never leads to files that are not there; then what is left of an earlier one goes."""
    listing = folder / ".files"
    before = listing.read_text("utf-8").splitlines() if listing.is_file() else []
    contents = dict(sorted(contents.items()))
    everything = {folder / name: content for name, content in contents.items()}
    for path, content in (everything | {listing: "\n".join(contents).encode(), page: html}).items():
        with replace_file(path) as partial:
            partial.write_bytes(content)
    for name in before:
        if name not in contents and Path(name).name == name:
            (folder / name).unlink(missing_ok=True)
    return [page, *everything]


def _html(study: Study, sections: Sequence[Section], svgs: dict[str, str], folder: str) -> str:
    import jinja2  # here, so that the command line does not wait for it
    from plotly.offline import get_plotlyjs

    counts = iter(range(10**9))

    def shown(figure: Figure) -> _Shown:
        name = f"f{next(counts)}"
        return _Shown(figure, name, inlined(svgs[figure.name], name, figure.alt), plot(figure))

    files = resources.files(__package__)
    sheets = {name: files.joinpath(name).read_text("utf-8") for name in ("report.html.j2", "report.css", "report.js")}
    sheets["page.css"] = resources.files("rarefy.reports._evaluation").joinpath("page.css").read_text("utf-8")
    room = jinja2.Environment(
        loader=jinja2.DictLoader(sheets), autoescape=lambda name: name == "report.html.j2",
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    room.filters |= {"look": look, "shown": shown, "script": _script}
    runs = sum(len(cell.records) for cell in study.cells)
    return room.get_template("report.html.j2").render(
        title=f"Report of {runs:,} run{'s' * (runs != 1)}", sections=sections, folder=folder, formats=_FORMATS,
        plotly=get_plotlyjs(), most_rows=_MOST_ROWS,
    )  # fmt: skip


def _script(values: Any) -> str:
    """JSON that cannot end the script it stands in."""
    return json.dumps(values, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c").replace("&", "\\u0026")
