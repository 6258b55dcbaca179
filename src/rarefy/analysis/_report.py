"""Writes the report of the runs in folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rarefy.analysis._collect_study import COLLECTED, collect_study
from rarefy.reports import ReportProgress, render_report


def report_runs(
    paths: Sequence[Path],
    page: Path,
    *,
    published: Path | None = None,
    margin: float = 0.5,
    baseline: str = "dense",
    progress: ReportProgress = lambda what, share: None,
) -> list[Path]:
    """Writes the report of all runs in folders: a page, its figures and its tables.

    Args:
        paths: Folders of runs, or folders that hold such folders.
        page: The HTML file to write.
        published: CSV file of published numbers, drawn over those of the runs.
        margin: Equivalence margin of metrics shown in percent, in percentage points.
        baseline: The baseline, as for `compare_runs`.
        progress: Called with what is being done and the fraction done.

    Returns:
        The written files, the page first.

    Raises:
        CompareError: If a folder has no finished run.
        UnknownName: If there is no such baseline.
        ReportError: If the published numbers cannot be read.
        RecordError: If no record can be read.

    Example:
        >>> report_runs([Path("nowhere")], Path("report.html"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        rarefy.analysis._finished.CompareError: There is no folder nowhere. ...
    """
    study = collect_study(paths, published=published, margin=margin, baseline=baseline, progress=progress)
    return render_report(study, page, progress=lambda what, share: progress(what, COLLECTED + (1 - COLLECTED) * share))
