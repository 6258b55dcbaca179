"""What was run: how much of what, on what, for how long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rarefy.reports._evaluation import _words as words
from rarefy.reports._evaluation._runs import dig
from rarefy.reports._study._blocks import Block, Facts, Fold, Section, Sheet
from rarefy.reports._study._study import Study
from rarefy.reports._study._tables import Column, Table


def ran(study: Study) -> Section:
    """Counts, a row a network, and on request a row a run."""
    about = "A group are runs that differ in the seed only; a network is a model on a data set with one training."
    blocks: list[Block] = [Facts(_facts(study)), Sheet(_networks(study)), Fold("Every run", [Sheet(_runs(study))])]
    return Section("runs", "What was run", about, blocks)


def _records(study: Study) -> list[Mapping[str, Any]]:
    return [record for cell in study.cells for record in cell.records]


def _facts(study: Study) -> list[tuple[str, str]]:
    records = _records(study)
    hours = sum(_seconds(record) for record in records) / 3600
    groups = f"{len(study.cells):,} group{'s' * (len(study.cells) != 1)}"
    open_ = f" and {len(study.unfinished)} without a record" if study.unfinished else ""
    return [
        ("runs", f"{len(records):,} finished in {groups}{open_}"),
        ("data", _listed(cells[0].data for cells in study.panels.values())),
        ("models", _listed(cells[0].model for cells in study.panels.values())),
        ("allocations", _listed(cell.allocation for cell in study.cells)),
        ("topologies", _listed(cell.topology for cell in study.cells)),
        ("densities", _listed(f"{density:g}" for density in study.densities) or words.NOTHING),
        ("seeds", _listed(sorted({seed for cell in study.cells for seed in cell.seeds}))),
        ("engines", _counted(str(dig(record, "config", "engine", "name") or words.NOTHING) for record in records)),
        ("machines", _counted(_machine(record) for record in records)),
        ("versions", "; ".join(f"{name} {_versions(records, name)}" for name in ("rarefy", "torch", "python"))),
        ("training time", f"{hours:,.1f} hours, of all runs together"),
    ]


def _machine(record: Mapping[str, Any]) -> str:
    name, threads = (dig(record, "environment", part) for part in ("device_name", "threads"))
    return f"{name}, {threads} thread{'s' * (threads != 1)}" if name else words.NOTHING


def _versions(records: Sequence[Mapping[str, Any]], name: str) -> str:
    return _listed(filter(None, (dig(record, "versions", name) for record in records))) or words.NOTHING


def _seconds(record: Mapping[str, Any]) -> float:
    return sum(epoch.get("seconds") or 0.0 for epoch in record.get("history") or ())


def _listed(values: Iterable[object]) -> str:
    return ", ".join(map(str, dict.fromkeys(values)))


def _counted(values: Iterable[str]) -> str:
    found = Counter(values)
    return ", ".join(f"{name} ({count})" if len(found) > 1 else name for name, count in found.items())


def _networks(study: Study) -> Table:
    rows = []
    for panel, cells in study.panels.items():
        records = [record for cell in cells for record in cell.records]
        weights = dig(records[0], "params", "total")
        methods = _listed(cell.method for cell in cells)
        densities = _listed(f"{cell.density:g}" for cell in sorted(cells, key=lambda cell: cell.density))
        seeds, epochs = [len(cell.seeds) for cell in cells], sorted({_epochs(record) for record in records})
        counts = (len(cells), len(records), (min(seeds), max(seeds)), _listed(epochs))
        hours = sum(map(_seconds, records)) / 3600
        rows.append((panel, weights, methods, densities, *counts, hours))
    columns = (
        Column("network", words=True),
        Column("prunable weights", words.whole),
        Column("methods", words=True),
        Column("densities", words=True),
        Column("groups"),
        Column("runs"),
        Column("seeds a group", lambda ends: "–".join(map(str, dict.fromkeys(ends))), ("seeds_least", "seeds_most")),  # noqa: RUF001
        Column("epochs"),
        Column("hours", "{:.2f}".format),
    )
    return Table("table-networks", "Networks", columns, tuple(rows))


def _epochs(record: Mapping[str, Any]) -> int:
    return len(record.get("history") or ())


def _runs(study: Study) -> Table:
    rows = tuple(
        (
            *(str(record["id"]), panel, cell.method, cell.density, dig(record, "params", "kept")),
            *(dig(record, "config", "seed"), _epochs(record), dig(record, "metrics", "test", "accuracy")),
            *(dig(record, "config", "engine", "name"), _seconds(record)),
        )
        for panel, cells in study.panels.items()
        for cell in cells
        for record in cell.records
    )
    columns = (
        *(Column(name, words=True) for name in ("run", "network", "method")),
        Column("density", "{:g}".format),
        Column("weights kept", words.whole),
        *(Column("seed"), Column("epochs"), Column("accuracy", words.percent)),
        *(Column("engine", words=True), Column("seconds", "{:,.1f}".format)),
    )
    return Table("table-runs", "Every run", columns, rows)
