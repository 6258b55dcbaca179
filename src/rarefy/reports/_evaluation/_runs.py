"""The runs of a page: what they are called, and what of each was computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy.reports._evaluation._blocks import Label, Note

_EMPTY: tuple[object, ...] = ({}, [], ())


@dataclasses.dataclass(frozen=True)
class Run:
    """A run as the page shows it.

    Args:
        label: What tells it from the others: its name, with the seed or the id where several have that name.
        name: The name of its group.
        group: Number of the group, in order of appearance; it decides colour and dash.
        record: The JSON object of its ``record.json``.
        folder: Its folder, for pictures.
    """

    label: str
    name: str
    group: int
    record: Mapping[str, Any]
    folder: Path

    @property
    def id(self) -> str:
        """The run's id."""
        return str(self.record["id"])

    @property
    def head(self) -> Label:
        """Its label as a cell with its colour."""
        return Label(self.label, self.group)

    def test(self, *path: str) -> Any:
        """What stands at a path below ``metrics.test``; None where there is nothing."""
        return dig(self.record, "metrics", "test", *path)

    def rows(self, *path: str, of: Sequence[str]) -> list[tuple[Any, ...]]:
        """Lists of equal lengths below a path, side by side; no rows if one of them is not there."""
        lists = [self.test(*path, name) for name in of]
        whole = all(isinstance(found, list | tuple) and len(found) == len(lists[0]) for found in lists)
        return list(zip(*lists, strict=True)) if whole else []

    def history(self, name: str) -> list[tuple[float, float]]:
        """(epoch, value) of the epochs that have a value."""
        rows = self.record.get("history") or ()
        return [(row["epoch"], row[name]) for row in rows if row.get(name) is not None]


def dig(values: Any, *path: str) -> Any:
    """What stands at a path of names; None where it ends early."""
    for name in path:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def known(values: Any) -> Any:
    """Nested values without the names under which there is nothing, so that nobody has to ask twice."""
    if not isinstance(values, Mapping):
        return values
    found = {name: known(value) for name, value in values.items()}
    return {name: value for name, value in found.items() if value is not None and value not in _EMPTY}


def named(records: Sequence[Mapping[str, Any]], folders: Sequence[Path], names: Sequence[str]) -> tuple[Run, ...]:
    """Runs with their labels and groups."""
    groups = {name: number for number, name in enumerate(dict.fromkeys(names))}
    seeded = [f"{name}, seed {dig(record, 'config', 'seed')}" for record, name in zip(records, names, strict=True)]
    labels = [name if names.count(name) == 1 else long for name, long in zip(names, seeded, strict=True)]
    labels = [
        label if labels.count(label) == 1 else f"{label} ({record['id']})"
        for record, label in zip(records, labels, strict=True)
    ]
    rows = zip(labels, names, records, folders, strict=True)
    return tuple(Run(label, name, groups[name], known(record), folder) for label, name, record, folder in rows)


def grouped(runs: Sequence[Run]) -> dict[Label, list[Run]]:
    """Runs by the name they share."""
    found: dict[Label, list[Run]] = {}
    for run in runs:
        found.setdefault(Label(run.name, run.group), []).append(run)
    return found


def having(runs: Sequence[Run], *path: str, flags: str) -> tuple[list[Run], list[Note]]:
    """The runs that have a part, and a line about those that have not.

    Args:
        runs: All runs.
        path: Where the part stands below ``metrics.test``.
        flags: What `rarefy eval` needs in order to compute it.
    """
    have = [run for run in runs if run.test(*path) is not None]
    return have, lacking([run for run in runs if run not in have], have, f"rarefy eval RUN {flags}".strip())


def lacking(lack: Sequence[Run], have: Sequence[Run], command: str) -> list[Note]:
    """One line about the runs that lack a part, or none."""
    who = f" for {', '.join(run.label for run in lack)}" if have else ""
    return [Note(f"Not computed{who};", command, "adds it.")] if lack else []
