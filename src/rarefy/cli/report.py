"""One page of many runs, with every figure and table as files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from rarefy.cli._flags import add_flags
from rarefy.flags import BASELINE, QUIET, Flag

EXAMPLES = (
    "rarefy report runs                                     report.html and report_files/\n\n"
    "rarefy report runs -o paper/report.html --published published     the paper's numbers, which come with rarefy\n\n"
    'rarefy report depth/ width/ --margin 1 --baseline "erk 0.5"\n\n'
    "Accuracy against density by depth and width, the gap to dense, layer densities, results of `rarefy eval`,\n"
    "verdicts, and missing runs. Nothing is recomputed."
)


OPTIONS = (
    Flag(("--out", "-o"), "", Path, "The page to write.", default=Path("report.html")),
    Flag(
        ("--published",),
        "",
        Path,
        "CSV file of published numbers to draw over those of the runs; published: the paper's.",
    ),
    Flag(("--margin",), "", float, "Equivalence margin, in percentage points.", default=0.5),
    BASELINE,
    dataclasses.replace(QUIET, help="Print only the page's path."),
)


@add_flags(OPTIONS)
def command(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or folders that contain runs.")],
    *,
    out: Path,
    published: Path | None,
    margin: float,
    baseline: str,
    quiet: bool,
) -> None:
    """Writes the page of many runs, with its figures and tables."""
    import contextlib

    from rarefy.analysis import report_runs
    from rarefy.cli._console import console, show_warnings
    from rarefy.cli._progress import ShareProgress

    show_warnings()
    screen = console()
    with contextlib.nullcontext(lambda what, share: None) if quiet else ShareProgress(screen) as progress:
        written = report_runs(runs, out, published=published, margin=margin, baseline=baseline, progress=progress)
    print(out) if quiet else screen.print(f"page: {out}\nfiles: {len(written) - 1} in {out.stem}_files/")
