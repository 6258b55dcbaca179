"""How it was computed, and numbers that this page knows nothing of."""

from __future__ import annotations

from collections.abc import Sequence

from rarefy.reports._evaluation import _words as words
from rarefy.reports._evaluation._blocks import Block, Cell, Section, Sheet, Table
from rarefy.reports._evaluation._runs import Run

_KNOWN = ("accuracy", "loss", "images", "top5")


def how(runs: Sequence[Run]) -> Section:
    """What was computed when with which options; scalars of a user's own metrics."""
    blocks: list[Block] = [table for table in (_others(runs), _parts(runs), _machines(runs)) if table.rows]
    about = "What is needed to compute the same again, and metrics of your own."
    own = [[run.name, run.id, name, run.test(name)] for name in _own(runs) for run in runs]
    return Section("how", "How it was computed", about, blocks, [Sheet("own", ["name", "id", "metric", "value"], own)])


def _own(runs: Sequence[Run]) -> list[str]:
    """Scalars that are no part of the page's other sections."""
    names = dict.fromkeys(name for run in runs for name in run.record.get("metrics", {}).get("test", {}))
    numbers = (int, float)
    return [n for n in names if n not in _KNOWN and any(isinstance(run.test(n), numbers) for run in runs)]


def _others(runs: Sequence[Run]) -> Table:
    names = _own(runs)
    rows: list[list[Cell]] = [[name, *(_said(run, name) for run in runs)] for name in names]
    return Table("Other metrics", ["metric", *(run.head for run in runs)], rows, sheet="own")


def _said(run: Run, name: str) -> str:
    value = run.test(name)
    return words.number(value, 5) if isinstance(value, int | float) else words.NOTHING


def _parts(runs: Sequence[Run]) -> Table:
    rows: list[list[Cell]] = [
        [run.head, part, words.seconds(done.get("seconds")), words.settings(done.get("options") or {})]
        for run in runs
        for part, done in (run.test("evaluated") or {}).items()
    ]
    return Table("What was computed", ["run", "part", "took", "options"], rows, heads=2, long=(3,))


def _machines(runs: Sequence[Run]) -> Table:
    rows: list[list[Cell]] = [
        [run.head, run.id, *(_listed(run.record.get(name)) for name in ("versions", "environment"))] for run in runs
    ]
    return Table(
        "Runs and the machines they were trained on",
        ["run", "id", "versions", "machine"],
        rows,
        words=(1,),
        long=(2, 3),
    )


def _listed(values: object) -> str:
    pairs = values.items() if isinstance(values, dict) else ()
    return ", ".join(f"{name} {value}" for name, value in pairs) or words.NOTHING
