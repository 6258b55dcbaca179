"""How the numbers were computed, and metrics that have no section of their own."""

from __future__ import annotations

from collections.abc import Sequence

from rarefy.records import MetricInfo, Metrics, describe_metrics
from rarefy.reports.evaluation._page_runs import PageRun
from rarefy.reports.figures import Sheet
from rarefy.reports.pages import (
    NOTHING,
    Block,
    Section,
    Table,
    format_number,
    format_options,
    format_percent,
    format_seconds,
    make_columns,
)


def build_section(runs: Sequence[PageRun]) -> Section:
    """Builds the section: what was computed with which options, and scalars of a user's own metrics."""
    blocks: list[Block] = [t for t in (_build_metrics(runs), _build_parts(runs), _build_machines(runs)) if t.rows]
    about = "What is needed to compute the same again, and metrics of your own."
    return Section("how", "How it was computed", about, blocks)


def _build_metrics(runs: Sequence[PageRun]) -> Table:
    """Builds the table of scalars that are not in other sections."""
    known = dict.fromkeys(name for run in runs for name in run.record.get("metrics", {}).get("test", {}))
    names = [
        n for n in known if n not in Metrics.model_fields and any(isinstance(run.test(n), int | float) for run in runs)
    ]
    infos: dict[str, MetricInfo] = {}
    for run in runs:
        infos |= describe_metrics(run.record.get("metrics", {}).get("test", {}))
    rows = []
    for name in names:
        info = infos.get(name, MetricInfo())
        rows.append([info.title or name, *(_format_value(run.test(name), info) for run in runs)])
    numbers = [[run.name, run.id, name, run.test(name)] for name in names for run in runs]
    sheet = Sheet("own", ["name", "id", "metric", "value"], numbers)
    return Table("", "Other metrics", make_columns("metric", *(run.head for run in runs)), rows, sheet=sheet)


def _format_value(value: object, info: MetricInfo) -> str:
    if not isinstance(value, int | float):
        return NOTHING
    return format_percent(value) if info.unit == "fraction" else format_number(value, 5)


def _build_parts(runs: Sequence[PageRun]) -> Table:
    rows = [
        [run.head, part, format_seconds(done.get("seconds")), format_options(done.get("options") or {})]
        for run in runs
        for part, done in (run.test("evaluated") or {}).items()
    ]
    columns = make_columns("run", "part", "time", "options", texts=(0, 1, 3))
    return Table("", "What was computed", columns, rows, heads=2)


def _build_machines(runs: Sequence[PageRun]) -> Table:
    rows = [
        [run.head, run.id, *(_join_pairs(run.record.get(name)) for name in ("versions", "environment"))] for run in runs
    ]
    columns = make_columns("run", "id", "versions", "machine", texts=4)
    return Table("", "Runs and the machines they were trained on", columns, rows)


def _join_pairs(values: object) -> str:
    pairs = values.items() if isinstance(values, dict) else ()
    return ", ".join(f"{name} {value}" for name, value in pairs) or NOTHING
