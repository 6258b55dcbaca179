"""Builds the page of an evaluation from records."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy.reports._nested import get_nested
from rarefy.reports._render import ReportError
from rarefy.reports._titles import title_data, title_model
from rarefy.reports.evaluation import (
    accuracy,
    attacks,
    calibration,
    corruptions,
    cost,
    flow,
    ood,
    provenance,
    runs,
)
from rarefy.reports.evaluation._page_runs import PageRun, group_runs, label_runs
from rarefy.reports.pages import Section, format_date, join_names, write_page

SECTIONS: tuple[Callable[[Sequence[PageRun]], Section], ...] = tuple(
    module.build_section for module in (runs, accuracy, calibration, ood, attacks, corruptions, cost, flow, provenance)
)

_MOST_NAMES = 4  # that are in a title


@dataclasses.dataclass(frozen=True)
class EvaluatedRun:
    """A run of the page.

    Args:
        record: The JSON object of its ``record.json``.
        folder: Its folder, which may hold pictures of examples.
        name: What it is called on the page. Runs of one name, such as seeds, share a colour.

    Example:
        >>> EvaluatedRun({"id": "3f2a"}, Path("runs/3f2a"), "dense").name
        'dense'
    """

    record: Mapping[str, Any]
    folder: Path
    name: str


def render_evaluation(runs: Sequence[EvaluatedRun], page: Path, *, can_zoom: bool | None = None) -> list[Path]:
    """Writes what `rarefy eval` found about one or several runs as one page, and its numbers as CSV beside it.

    The page is a single HTML file that needs no other file and no network; without scripts it shows static figures.
    A note says what a record lacks. The same records give the same bytes. Everything is made before anything is
    written, and each file is complete or as it was; a CSV of an earlier page that has no numbers now is removed.

    Args:
        runs: The runs, in the order of the page.
        page: The HTML file to write; CSV files go to a folder beside it, named after it without its suffix.
        can_zoom: Whether figures can be enlarged, which takes 2 MB; None: only of several runs, because there may be
            thousands of pages of one run.

    Returns:
        The files written, the page first.

    Raises:
        ReportError: If there are no runs, two have the same id, a record has no id or no metrics of the test split, or
            the page's name has no suffix.

    Example:
        >>> import tempfile
        >>> record = {"id": "3f2a", "metrics": {"test": {"accuracy": 0.6, "loss": 1.25}}}
        >>> page = Path(tempfile.mkdtemp()) / "evaluation.html"
        >>> written = render_evaluation([EvaluatedRun(record, Path("runs/3f2a"), "dense")], page)
        >>> [path.relative_to(page.parent).as_posix() for path in written][:2]
        ['evaluation.html', 'evaluation/glance.csv']
    """
    _check_runs(runs)
    shown = label_runs([run.record for run in runs], [run.folder for run in runs], [run.name for run in runs])
    sections = [build(shown) for build in SECTIONS]
    names = [
        f"{head} ({len(members)} runs)" if len(members) > 1 else str(head)
        for head, members in group_runs(shown).items()
    ]
    title = f"Evaluation of {join_names(names)}" if len(names) <= _MOST_NAMES else f"Evaluation of {len(runs)} runs"
    can_zoom = len(runs) > 1 if can_zoom is None else can_zoom
    subtitle, folder = _make_subtitle(runs), page.with_suffix("")
    return write_page(page, title, sections, folder=folder, subtitle=subtitle, can_zoom=can_zoom)


def _make_subtitle(runs: Sequence[EvaluatedRun]) -> str:
    """``ResNet-20 on CIFAR-10, seed 17, run 3f2a9c1b77de, 29 November 2026``, as far as the records say so."""
    networks = dict.fromkeys(_name_network(run.record) for run in runs)
    seeds = dict.fromkeys(get_nested(run.record, "config", "seed") for run in runs)
    days = dict.fromkeys(format_date(str(run.record["created"])) for run in runs if run.record.get("created"))
    texts = [join_names(list(networks))] if len(networks) <= _MOST_NAMES and all(networks) else []
    texts += [f"seed {next(iter(seeds))}"] if len(seeds) == 1 and None not in seeds else []
    texts += [f"run {runs[0].record['id']}"] if len(runs) == 1 else []
    return ", ".join([*texts, *(days if len(days) == 1 else ())])


def _name_network(record: Mapping[str, Any]) -> str:
    model, data = (get_nested(record, "config", part, "name") for part in ("model", "data"))
    return f"{title_model(model)} on {title_data(data)}" if model and data else ""


def _check_runs(runs: Sequence[EvaluatedRun]) -> None:
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
