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
    Flag(("--serve",), "", bool, "Show runs as they are trained, on a page of this machine that reloads itself."),
    Flag(("--port",), "", int, "Port of that page; 0: any that is free.", default=8350),
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
    serve: bool,
    port: int,
    quiet: bool,
) -> None:
    """Writes the page of many runs, with its figures and tables."""
    import contextlib

    if serve:
        return _serve(runs, port, margin=margin, baseline=baseline)

    from rarefy.analysis import report_runs
    from rarefy.cli._console import console, show_warnings
    from rarefy.cli._progress import ShareProgress

    show_warnings()
    screen = console()
    with contextlib.nullcontext(lambda what, share: None) if quiet else ShareProgress(screen) as progress:
        written = report_runs(runs, out, published=published, margin=margin, baseline=baseline, progress=progress)
    print(out) if quiet else screen.print(f"page: {out}\nfiles: {len(written) - 1} in {out.stem}_files/")
    return None


def _serve(runs: list[Path], port: int, *, margin: float, baseline: str) -> None:
    """Serves the page of runs as they are trained, until it is interrupted."""
    import contextlib
    import tempfile

    from rarefy.analysis import LivePages, LiveServer
    from rarefy.cli._console import console, show_warnings

    show_warnings()
    screen = console()
    with tempfile.TemporaryDirectory(prefix="rarefy-report-") as folder:
        pages = LivePages(runs, Path(folder), margin, baseline)
        try:
            server = LiveServer(pages, port)
        except OSError as error:
            raise typer.BadParameter(
                f"{port} cannot be used ({error.strerror}); another one: --port {port + 1}"
            ) from None
        with server, contextlib.suppress(KeyboardInterrupt):
            screen.print(f"page: {server.address}   (Ctrl-C ends it)")
            server.serve_forever()
