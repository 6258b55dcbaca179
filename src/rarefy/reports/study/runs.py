"""What was run: counts, machines, versions and times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rarefy.reports._nested import get_nested
from rarefy.reports.pages import (
    NOTHING,
    Block,
    Column,
    Facts,
    Fold,
    Label,
    Section,
    Table,
    format_count,
    format_duration,
    format_percent,
    format_plural,
    format_share,
)
from rarefy.reports.study._study import Study


def build_section(study: Study) -> Section:
    """Builds the section: counts, one row per network, and one row per run on request."""
    about = (
        "Runs that differ only in their seed form a group. A network is a model on a data set with one way of training."
    )
    blocks: list[Block] = [
        Facts(_list_facts(study)), _build_networks(study), Fold("Every run", [_build_runs(study)]),
    ]  # fmt: skip
    return Section("runs", "What was run", about, blocks)


def _list_facts(study: Study) -> list[tuple[str, str]]:
    records = study.records
    seconds = sum(map(_sum_seconds, records))
    groups = format_plural(len(study.groups), "group")
    unfinished = f" and {len(study.unfinished)} without a record" if study.unfinished else ""
    return [
        ("runs", f"{len(records):,} finished in {groups}{unfinished}"),
        ("data", _join_unique(groups[0].data for groups in study.networks.values())),
        ("models", _join_unique(groups[0].model for groups in study.networks.values())),
        ("methods", _join_unique(group.method for group in study.groups)),
        ("densities", _join_unique(map(format_share, study.densities)) or NOTHING),
        ("seeds", _join_unique(sorted({seed for group in study.groups for seed in group.seeds}))),
        ("engines", _join_counts(str(get_nested(record, "config", "engine", "name") or NOTHING) for record in records)),
        ("machines", _join_counts(_format_machine(record) for record in records)),
        ("versions", "; ".join(f"{name} {_join_versions(records, name)}" for name in ("rarefy", "torch", "python"))),
        ("training time", f"{format_duration(seconds)}, all runs together"),
    ]


def _format_machine(record: Mapping[str, Any]) -> str:
    name, threads = (get_nested(record, "environment", part) for part in ("device_name", "threads"))
    return f"{name}, {format_plural(threads, 'thread')}" if name else NOTHING


def _join_versions(records: Sequence[Mapping[str, Any]], name: str) -> str:
    return _join_unique(filter(None, (get_nested(record, "versions", name) for record in records))) or NOTHING


def _sum_seconds(record: Mapping[str, Any]) -> float:
    return sum(epoch.get("seconds") or 0.0 for epoch in record.get("history") or ())


def _join_unique(values: Iterable[object]) -> str:
    return ", ".join(map(str, dict.fromkeys(values)))


def _join_counts(values: Iterable[str]) -> str:
    counts = Counter(values)
    return ", ".join(f"{name} ({count})" if len(counts) > 1 else name for name, count in counts.items())


def _build_networks(study: Study) -> Table:
    rows = []
    for network, groups in study.networks.items():
        records = [record for group in groups for record in group.records]
        weights = get_nested(records[0], "params", "total")
        methods = _join_unique(group.method for group in groups)
        densities = _join_unique(
            format_share(group.density) for group in sorted(groups, key=lambda group: group.density)
        )
        seeds, epochs = [len(group.seeds) for group in groups], sorted({_count_epochs(record) for record in records})
        counts = (len(groups), len(records), (min(seeds), max(seeds)), _join_unique(epochs))
        rows.append((network, weights, methods, densities, *counts, sum(map(_sum_seconds, records))))
    columns = (
        Column("network", is_text=True),
        Column("prunable weights", format_count),
        Column("methods", is_text=True),
        Column("densities", is_text=True),
        Column("groups"),
        Column("runs"),
        Column("seeds per group", lambda ends: "–".join(map(str, dict.fromkeys(ends))), ("seeds_least", "seeds_most")),  # noqa: RUF001
        Column("epochs"),
        Column("training time", format_duration, ("seconds",)),
    )
    return Table("table-networks", "Networks", columns, tuple(rows))


def _count_epochs(record: Mapping[str, Any]) -> int:
    return len(record.get("history") or ())


def _build_runs(study: Study) -> Table:
    rows = tuple(
        (
            *(
                str(record["id"]),
                network,
                Label(group.method, study.styles[group.method]),
                group.density,
                get_nested(record, "params", "kept"),
            ),
            *(
                get_nested(record, "config", "seed"),
                _count_epochs(record),
                get_nested(record, "metrics", "test", "accuracy"),
            ),
            *(get_nested(record, "config", "engine", "name"), _sum_seconds(record)),
        )
        for network, groups in study.networks.items()
        for group in groups
        for record in group.records
    )
    columns = (
        *(Column(name, is_text=True) for name in ("run", "network", "method")),
        Column("density", format_share),
        Column("weights kept", format_count),
        *(Column("seed"), Column("epochs"), Column("accuracy", format_percent)),
        *(Column("engine", is_text=True), Column("time", format_duration, ("seconds",))),
    )
    return Table("table-runs", "Every run", columns, rows)
