"""The verb: records in, one page and its numbers out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy.reports._evaluation._blocks import Section
from rarefy.reports._evaluation._page import write_page
from rarefy.reports._evaluation._runs import Run, grouped, named
from rarefy.reports._evaluation._words import listed
from rarefy.reports._evaluation.accuracy import accuracy
from rarefy.reports._evaluation.attacks import attacks
from rarefy.reports._evaluation.calibration import calibration
from rarefy.reports._evaluation.corruptions import corruptions
from rarefy.reports._evaluation.cost import cost
from rarefy.reports._evaluation.flow import flow
from rarefy.reports._evaluation.how import how
from rarefy.reports._evaluation.ood import ood
from rarefy.reports._evaluation.ran import ran
from rarefy.reports._render import ReportError

SECTIONS: tuple[Callable[[Sequence[Run]], Section], ...] = (
    *(ran, accuracy, calibration, ood, attacks, corruptions, cost, flow, how),
)


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """A run to show.

    Args:
        record: The JSON object of its ``record.json``.
        folder: Its folder, in which pictures of examples are looked for.
        name: What it is called on the page. Runs of one name, such as seeds, share a colour.

    Example:
        >>> Evaluated({"id": "3f2a"}, Path("runs/3f2a"), "dense").name
        'dense'
    """

    record: Mapping[str, Any]
    folder: Path
    name: str


def render_evaluation(runs: Sequence[Evaluated], page: Path) -> list[Path]:
    """Writes what `rarefy eval` found about one or several runs as one page, and its numbers as CSV beside it.

    The page is a single HTML file that needs nothing else, neither network nor scripts. What a record lacks is said in
    a line. The same records give the same bytes. All is made before anything is written, and each file is complete or
    as it was; a CSV of an earlier page for which there are no numbers now is removed.

    Args:
        runs: The runs, in the order in which they are to appear.
        page: The HTML file to write; CSV files go to a folder beside it, named after it without its suffix.

    Returns:
        The files written, the page first.

    Raises:
        ReportError: If there are no runs, two have the same id, a record has no id or no metrics of the test split, or
            the page's name has no suffix.

    Example:
        >>> import tempfile
        >>> record = {"id": "3f2a", "metrics": {"test": {"accuracy": 0.6, "loss": 1.25}}}
        >>> page = Path(tempfile.mkdtemp()) / "evaluation.html"
        >>> written = render_evaluation([Evaluated(record, Path("runs/3f2a"), "dense")], page)
        >>> [path.relative_to(page.parent).as_posix() for path in written][:2]
        ['evaluation.html', 'evaluation/runs.csv']
    """
    _check(runs)
    shown = named([run.record for run in runs], [run.folder for run in runs], [run.name for run in runs])
    sections = [section(shown) for section in SECTIONS]
    groups = grouped(shown)
    counts = [
        f"{head.text} ({len(members)} runs)" if len(members) > 1 else head.text for head, members in groups.items()
    ]
    return write_page(page, f"Evaluation of {listed(counts)}", sections, list(groups))


def _check(runs: Sequence[Evaluated]) -> None:
    if not runs:
        raise ReportError("There are no runs to show. Give at least one that was evaluated.")
    for run in runs:
        test = run.record.get("metrics", {}).get("test")
        if "id" not in run.record or not isinstance(test, Mapping):
            raise ReportError(f"The record of {run.name!r} in {run.folder} has no id or no metrics of the test split.")
    ids = [str(run.record["id"]) for run in runs]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise ReportError(f"More than one record has the id {', '.join(twice)}; each is shown once: give it once.")
