"""Compare groups of runs with a baseline over seeds, and test whether they are the same within a margin."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rarefy.cli._flags import add_flags
from rarefy.errors import InvalidInput
from rarefy.flags import BASELINE, CSV, JSON, Flag
from rarefy.paths import RunPaths, replace_file

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from rarefy.analysis import ComparisonRow, MetricTable, RunComparison

EXAMPLES = (
    "rarefy compare runs                        every group against the dense one\n\n"
    "rarefy compare runs --metric accuracy --margin 1 --csv table.csv\n\n"
    "rarefy compare runs --margin 0.5 --margin loss=0.02 --metric accuracy,loss,'ood.*.auroc'\n\n"
    'rarefy compare more/ runs/ --baseline "erk 0.1"\n\n'
    "Runs that differ only in their seed form a group. Accuracies, errors, ECE and AUROC are in percentage points: "
    "--margin 0.5 means 0.5 points for each of them. Other metrics (loss, Brier, norms) get a verdict only with "
    "their own margin, in their own unit: --margin loss=0.02."
)
_MARGIN_HELP = "Equivalence margin, in percentage points (default 0.5), or METRIC=VALUE; can be repeated."
PLAIN = ("group", "baseline", "mean", "difference", "p_value", "verdict", "seeds_needed", "reason")
INTERVALS = ("interval", "welch", "bootstrap")
COLUMNS = ("metric", "margin", "seeds", *PLAIN, *(f"{name}_{end}" for name in INTERVALS for end in ("low", "high")))


OPTIONS = (
    BASELINE,
    Flag(("--metric",), "", list, "Metric of the test split, as a.b.c; * matches anything. Default: one of each part."),
    Flag(("--margin",), "", list, _MARGIN_HELP),
    Flag(("--confidence",), "", float, "Confidence level of the intervals.", default=0.95),
    dataclasses.replace(JSON, help="Also write everything to this JSON file, as fractions in [0, 1]."),
    dataclasses.replace(CSV, help="Also write one row per metric and group to this CSV file."),
)


@add_flags(OPTIONS)
def command(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs, or folders that contain runs.")],
    *,
    baseline: str,
    metric: list[str] | None,
    margin: list[str] | None,
    confidence: float,
    json_file: Path | None,
    csv_file: Path | None,
) -> None:
    """Compares runs, and prints one table per metric and the reasons."""
    points, margins = _margins(margin or ())
    metrics = [name.strip() for names in metric or () for name in names.split(",") if name.strip()]

    from rarefy.analysis import compare_runs, read_runs
    from rarefy.cli._console import console, show_warnings

    show_warnings()
    result = compare_runs(
        read_runs([*runs, *_own_folder(baseline)]),
        baseline,
        metrics=metrics,
        points=points,
        margins=margins,
        confidence=confidence,
    )
    _show(console(), result)
    for file, write in ((json_file, _write_json), (csv_file, _write_csv)):
        if file:
            write(result, file)
            console().print(f"written: {file}")


def _margins(texts: Sequence[str]) -> tuple[float, dict[str, float]]:
    """Parses the margin in points, and those of single metrics."""
    points, margins = 0.5, {}
    for text in texts:
        metric, equals, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            raise InvalidInput(
                f"--margin {text!r}: {number!r} is not a number. Write points (--margin 0.5) or a metric and its "
                "margin (--margin loss=0.02)."
            ) from None
        if equals:
            margins[metric.strip()] = value
        else:
            points = value
    return points, margins


def _own_folder(baseline: str) -> list[Path]:
    """Returns the baseline's folder if the baseline is one, so that it need not be given twice."""
    folder = Path(baseline)
    return [folder] if baseline != "dense" and RunPaths(folder).record.is_file() else []


def _show(screen: Console, result: RunComparison) -> None:
    for table in result.tables:
        screen.print(_table(table))
        for row in table.rows:
            if row.verdict:
                unit = " points" if table.points else ""
                within = f"within {_scaled(table, table.margin or 0):g}{unit}"
                screen.print(f"{row.group} matches {row.baseline} {within}: {row.verdict}. {row.reason}")
        screen.print()
    for note in (*result.notes, *_legend(result)):
        screen.print(note)


def _legend(result: RunComparison) -> Iterator[str]:
    """What the columns are."""
    unjudged = [table.metric for table in result.tables if table.margin is None]
    if unjudged:
        yield f"Without a margin, so without a verdict: {', '.join(unjudged)}. Give one: --margin {unjudged[0]}=0.02"
    yield (
        f"±: the {100 * result.confidence:g}% t interval of a mean, Welch's of a difference. bootstrap: percentile "
        "interval of the difference, too narrow for few seeds."
    )
    yield (
        "matches: two one-sided tests at 5%, not corrected for the number of comparisons. would take: seeds "
        "per group for 80% power, assuming the observed difference and spread are true."
    )


def _table(result: MetricTable) -> Table:
    from rarefy.cli._console import table

    title = result.metric + (", in points" if result.points else "")
    columns = ["group", "seeds", "mean", "difference", "bootstrap"]
    rows = [_cells(result, row) for row in result.rows]
    if result.margin is not None:
        title += f", margin {_scaled(result, result.margin):g}"
        columns += ["matches", "would take"]
        rows = [(*cells, row.verdict or "", _would_take(row)) for cells, row in zip(rows, result.rows, strict=True)]
    return table(title, columns, rows)


def _cells(table: MetricTable, row: ComparisonRow) -> tuple[object, ...]:
    mean = _with_half(table, row.mean, row.interval, "")
    if row.difference is None:
        return (row.group, len(row.seeds), mean, "", "")
    difference = _with_half(table, row.difference, row.welch, "+")
    low_high = [_number(table, end, "+") for end in row.bootstrap or ()]
    return (row.group, len(row.seeds), mean, difference, " to ".join(low_high) or "-")


def _with_half(table: MetricTable, center: float, interval: tuple[float, float] | None, sign: str) -> str:
    """Formats a value with half its interval, as in ``92.31 ± 0.40``: t intervals are symmetric."""
    text = _number(table, center, sign)
    return f"{text} ± {_number(table, (interval[1] - interval[0]) / 2, '')}" if interval else text


def _number(table: MetricTable, value: float, sign: str) -> str:
    """Formats points with two decimals; other values so that the largest mean has four digits."""
    largest = max(abs(row.mean) for row in table.rows)
    decimals = 2 if table.points or not largest else max(0, 3 - math.floor(math.log10(largest)))
    return f"{_scaled(table, value):{sign}z.{decimals}f}"


def _scaled(table: MetricTable, value: float) -> float:
    return 100 * value if table.points else value


def _would_take(row: ComparisonRow) -> str:
    if row.difference is None:
        return ""
    return f"{row.seeds_needed:,} seeds" if row.seeds_needed else "-"


def _write_json(result: RunComparison, file: Path) -> None:
    """Everything, in the records' units."""
    groups = [
        {
            "name": group.name,
            "runs": [{"id": run.id, "seed": run.seed, "folder": str(run.folder)} for run in group.runs],
            "settings": group.settings,
        }
        for group in result.groups
    ]
    tables = [dataclasses.asdict(table) for table in result.tables]
    content = {"confidence": result.confidence, "groups": groups, "metrics": tables, "notes": result.notes}
    with replace_file(file) as partial:
        partial.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _write_csv(result: RunComparison, file: Path) -> None:
    """A row a metric and group; the ends of an interval are two columns."""
    from rarefy.reports import format_csv

    rows = [{"metric": t.metric, "margin": t.margin, **_flat(row)} for t in result.tables for row in t.rows]
    with replace_file(file) as partial:
        partial.write_text(format_csv(COLUMNS, [[row[name] for name in COLUMNS] for row in rows]), "utf-8")


def _flat(row: ComparisonRow) -> dict[str, Any]:
    flat = {name: getattr(row, name) for name in PLAIN} | {"seeds": len(row.seeds)}
    for name in INTERVALS:
        flat[f"{name}_low"], flat[f"{name}_high"] = getattr(row, name) or (None, None)
    return flat
