"""The verb: records in, one page and its numbers out."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from rarefy.paths import replacing
from rarefy.reports._door import ReportError
from rarefy.reports._evaluation._blocks import Section, Sheet
from rarefy.reports._evaluation._runs import Run, grouped, named
from rarefy.reports._evaluation._svg import dash, paint
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
    _check(runs, page)
    shown = named([run.record for run in runs], [run.folder for run in runs], [run.name for run in runs])
    sections = [section(shown) for section in SECTIONS]
    folder, sheets = page.with_suffix(""), [sheet for section in sections for sheet in section.sheets]
    contents = {page: _html(shown, sections, folder.name).encode()}
    contents |= {folder / f"{sheet.name}.csv": _csv(sheet) for sheet in sheets if sheet.rows}
    for path, content in contents.items():
        with replacing(path) as partial:
            partial.write_bytes(content)
    for stale in (folder / f"{sheet.name}.csv" for sheet in sheets if not sheet.rows):
        stale.unlink(missing_ok=True)
    return list(contents)


def _check(runs: Sequence[Evaluated], page: Path) -> None:
    if not page.suffix:
        raise ReportError(f"The page {page} has no suffix, so its CSV files would need the same name: add .html.")
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


def _html(runs: Sequence[Run], sections: Sequence[Section], folder: str) -> str:
    import jinja2  # here, so that the command line does not wait for it

    files = resources.files(__package__)
    loader = jinja2.DictLoader({name: files.joinpath(name).read_text("utf-8") for name in ("page.html.j2", "page.css")})
    room = jinja2.Environment(
        loader=loader, autoescape=lambda name: name != "page.css", undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    room.filters |= {"paint": paint, "dash": dash}
    groups = grouped(runs)
    counts = [
        f"{head.text} ({len(members)} runs)" if len(members) > 1 else head.text for head, members in groups.items()
    ]
    written = {sheet.name for section in sections for sheet in section.sheets if sheet.rows}
    return room.get_template("page.html.j2").render(
        title=f"Evaluation of {listed(counts)}", sections=sections, groups=list(groups), folder=folder, written=written
    )


def _csv(sheet: Sheet) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(sheet.columns)
    writer.writerows(sheet.rows)
    return text.getvalue().encode()
