"""Builds the report of many runs from a study."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from rarefy.reports._render import ReportError
from rarefy.reports.pages import ReportProgress, Section, format_date, format_plural, join_names, write_page
from rarefy.reports.study import accuracy, answer, flow, gap, layers, missing, parts, rates, runs, tradeoffs, verdicts
from rarefy.reports.study._study import Study


def render_report(study: Study, page: Path, *, progress: ReportProgress = lambda what, share: None) -> list[Path]:
    """Writes what many runs show as one page, its figures also as PNG, PDF, SVG and CSV, its tables as CSV, TeX and MD.

    The page is a single HTML file that needs no other file and no network; without scripts it shows the figures as
    they are printed. The same study gives the same bytes. Each file is complete or as it was; the page is written
    last, and files of an earlier report that this one does not have are removed.

    Args:
        study: The data of the report.
        page: The HTML file to write; the others go to a folder next to it, named after it: ``report_files``.
        progress: Called with what is being done and the share that is done.

    Returns:
        The files written, the page first.

    Raises:
        ReportError: If there are no runs, or the page's name has no suffix.

    Example:
        >>> import tempfile
        >>> record = {"id": "3f2a", "config": {"seed": 17}, "layers": [], "history": [], "metrics": {"test": {}}}
        >>> from rarefy.reports import RunGroup, SeedSummary
        >>> group = RunGroup("dense", "mlp_16 on digits", "dense", "digits", "mlp_16", records=(record,),
        ...     folders=("runs/3f2a",), numbers={"accuracy": SeedSummary((0.9,), 0.9)})
        >>> page = Path(tempfile.mkdtemp()) / "report.html"
        >>> written = render_report(Study((group,), ()), page)
        >>> [path.relative_to(page.parent).as_posix() for path in written][:2]
        ['report.html', 'report_files/accuracy-mlp_16-on-digits.csv']
    """
    if not study.groups:
        raise ReportError("There are no runs to show. Name folders that hold finished runs.")
    folder = page.with_name(f"{page.stem}_files")
    study = dataclasses.replace(study, files=str(folder))
    sections = [section for section in _build_sections(study) if section.blocks]
    more = {missing.SWEEP: missing.write_sweep(study)} if missing.list_missing_runs(study) else {}
    return write_page(
        page, study.title or _make_title(study), sections, folder=folder, subtitle=_make_subtitle(study),
        formats=("png", "pdf", "svg"), more=more, progress=progress,
    )  # fmt: skip


def _make_title(study: Study) -> str:
    """Makes the title of runs that no sweep names: by their networks, if they are few."""
    names = list(study.networks)
    return join_names(names) if len(names) <= _MOST_NAMES else f"{format_plural(len(names), 'network')} and their runs"


def _make_subtitle(study: Study) -> str:
    """``33 runs in 11 groups, 29 November 2026``."""
    dates = sorted(str(record["created"]) for record in study.records if record.get("created"))
    days = list(dict.fromkeys(format_date(date) for date in (dates[:1] + dates[-1:])))
    counts = f"{format_plural(len(study.records), 'run')} in {format_plural(len(study.groups), 'group')}"
    return ", ".join([counts, *([" to ".join(days)] if days else [])])


_MOST_NAMES = 2


def _build_sections(study: Study) -> Iterator[Section]:
    first = (answer, accuracy, tradeoffs, verdicts, gap, rates, layers)
    yield from (module.build_section(study) for module in first)
    yield from parts.build_sections(study)
    yield from (module.build_section(study) for module in (flow, missing, runs))
