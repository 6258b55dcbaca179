"""What a report is made from: plain data, which the corridor puts together."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rarefy.reports._study._published import Published

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Sample:
    """One number of the runs of a cell.

    Args:
        values: One a seed.
        mean: Their mean.
        deviation: Their standard deviation, of a sample (n - 1); None for one seed.
        interval: The 95% t interval of the mean; None for one seed.

    Example:
        >>> Sample((0.9,), 0.9).band
        (0.9, 0.9)
    """

    values: tuple[float, ...]
    mean: float
    deviation: float | None = None
    interval: Interval | None = None

    @property
    def band(self) -> Interval:
        """The mean minus and plus the standard deviation."""
        return self.mean - (self.deviation or 0.0), self.mean + (self.deviation or 0.0)


@dataclasses.dataclass(frozen=True)
class Cell:
    """Runs that differ in the seed only.

    Args:
        name: What `rarefy compare` calls them.
        panel: What they are compared in: model, data and every setting that is no sparsity.
        method: Allocation and topology, with what tells it from others of these names.
        data: Name of the data set.
        model: Name of the model.
        where: Data set, with every setting of training that tells it from other panels of these names.
        family: Name of the model's family; "" where it has no sizes.
        depth: Its depth, if it has one.
        width: Its width, if it has one.
        allocation: Name of the rule.
        topology: Name of how masks move.
        density: The density that was asked for.
        dense: Whether nothing was ever pruned.
        moved: Whether masks moved where the topology moves them; a topology that did nothing is worth no more seeds.
        records: The JSON objects of their ``record.json``, one a seed.
        folders: The runs' folders.
        numbers: Dotted name of a metric to its values.

    Example:
        >>> Cell("dense", "digits mlp_16", "dense", "digits", "mlp_16").seeds
        ()
    """

    name: str
    panel: str
    method: str
    data: str
    model: str
    where: str = ""
    family: str = ""
    depth: int | None = None
    width: int | None = None
    allocation: str = "dense"
    topology: str = "static"
    density: float = 1.0
    dense: bool = True
    moved: bool = True
    records: tuple[Mapping[str, Any], ...] = ()
    folders: tuple[str, ...] = ()
    numbers: Mapping[str, Sample] = dataclasses.field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The runs' seeds."""
        return tuple(record["config"]["seed"] for record in self.records)


@dataclasses.dataclass(frozen=True)
class Judged:
    """One metric of all cells, as `rarefy compare` finds it.

    Args:
        metric: Its dotted name.
        points: Whether it is shown in percent.
        margin: How much of a difference does not matter; None: nobody said.
        rows: A mapping a cell: group, seeds, mean, interval, baseline, difference, welch, verdict, reason,
            seeds_needed.

    Example:
        >>> Judged("accuracy", points=True, margin=0.005, rows=()).of("dense") is None
        True
    """

    metric: str
    points: bool
    margin: float | None
    rows: tuple[Mapping[str, Any], ...]

    def of(self, name: str) -> Mapping[str, Any] | None:
        """The row of a cell."""
        return next((row for row in self.rows if row["group"] == name), None)


@dataclasses.dataclass(frozen=True)
class Unfinished:
    """A run that has settings and no record.

    Args:
        folder: Its folder.
        cell: What it is a run of; without records.
        seed: Its seed.
        state: How far it came, or why it failed.
        config: Its settings.

    Example:
        >>> Unfinished("runs/3f2a", Cell("dense", "p", "dense", "digits", "mlp_16"), 17, "2 of 10 epochs").seed
        17
    """

    folder: str
    cell: Cell
    seed: int
    state: str
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Study:
    """All that a report shows.

    Args:
        cells: Groups of runs, dense ones first.
        judged: Verdicts, one a metric; none where there is nothing to compare with.
        notes: What a reader of the verdicts has to know.
        unfinished: Runs without a record.
        published: Numbers from elsewhere.
        places: The folders that were looked in, as a shell takes them.
        files: The folder of the report's files.

    Example:
        >>> Study((), ()).methods
        []
    """

    cells: tuple[Cell, ...]
    judged: tuple[Judged, ...]
    notes: tuple[str, ...] = ()
    unfinished: tuple[Unfinished, ...] = ()
    published: tuple[Published, ...] = ()
    places: str = "runs"
    files: str = "report_files"

    @functools.cached_property
    def panels(self) -> dict[str, list[Cell]]:
        """Cells by panel: by data and training, family, then size."""
        order = sorted(self.cells, key=lambda c: (c.where, c.family, c.depth or 0, c.width or 0, c.model, c.panel))
        found: dict[str, list[Cell]] = {}
        for cell in order:
            found.setdefault(cell.panel, []).append(cell)
        return found

    @functools.cached_property
    def methods(self) -> list[str]:
        """Sparse methods, in order of appearance; then those of published numbers alone."""
        own = (cell.method for cell in self.cells if not cell.dense)
        return list(dict.fromkeys([*own, *(row.method for row in self.shown if not row.dense)]))

    @functools.cached_property
    def shown(self) -> list[Published]:
        """Published numbers of what was run here: the same data and model."""
        here = {(cell.data, cell.model) for cell in self.cells}
        return [row for row in self.published if (row.data, row.model) in here]

    def style(self, method: str) -> int:
        """Number of a method, which decides its colour, mark and dash in every figure; dense has one of its own."""
        methods = self.methods
        return methods.index(method) if method in methods else DENSE

    @functools.cached_property
    def densities(self) -> list[float]:
        """Densities of sparse cells, the sparsest first."""
        return sorted({cell.density for cell in self.cells if not cell.dense})


DENSE = -1
"""The style of dense networks."""


def dense_of(cells: Iterable[Cell]) -> Cell | None:
    """The dense cell of a panel."""
    return next((cell for cell in cells if cell.dense), None)


def by_method(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """Sparse cells by method, the densest first."""
    found: dict[str, list[Cell]] = {}
    for cell in sorted(cells, key=lambda cell: -cell.density):
        if not cell.dense:
            found.setdefault(cell.method, []).append(cell)
    return found
