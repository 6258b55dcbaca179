"""One page of many runs, with every figure and table as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    "rarefy report runs                                     report.html, and report_files/ beside it\n\n"
    "rarefy report runs -o paper/report.html --published experiments/published.csv\n\n"
    'rarefy report depth/ width/ --margin 1 --baseline "erk 0.5"\n\n'
    "Accuracy against density by depth and width, the gap to dense, layer densities, what `rarefy eval` found,\n"
    "verdicts, and what is missing. Nothing is computed anew."
)


def command(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or folders that hold them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("report.html"),
    published: Annotated[
        Path | None, typer.Option("--published", help="CSV of published numbers to draw over the runs'.")
    ] = None,
    margin: Annotated[float, typer.Option("--margin", help="What does not matter, in points.")] = 0.5,
    baseline: Annotated[
        str, typer.Option("--baseline", help="A group's name, a run's id or folder, or dense: the dense group.")
    ] = "dense",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only the page's path.")] = False,
) -> None:
    """Reads records, draws, writes."""
    import contextlib

    from rarefy.analysis import report_runs
    from rarefy.cli._console import console, show_warnings
    from rarefy.cli._progress import ShareProgress

    show_warnings()
    screen = console()
    with contextlib.nullcontext(lambda what, share: None) if quiet else ShareProgress(screen) as progress:
        written = report_runs(runs, out, published=published, margin=margin, baseline=baseline, progress=progress)
    print(out) if quiet else screen.print(f"page: {out}\nfiles: {len(written) - 1} in {out.stem}_files/")
