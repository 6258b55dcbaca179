"""The data of a report, as plain values."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rarefy.records import MetricInfo, describe_metric, describe_metrics
from rarefy.reports.figures import DENSE, assign_styles
from rarefy.reports.study._published import PublishedResult

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class SeedSummary:
    """A metric over the seeds of a group.

    Args:
        values: One value per seed.
        mean: Their mean.
        deviation: Their standard deviation (with n - 1); None for one seed.
        interval: The 95% t interval of the mean; None for one seed.

    Example:
        >>> SeedSummary((0.9,), 0.9).band
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
class RunGroup:
    """Runs that differ only in their seed.

    Args:
        name: The name that `rarefy compare` gives them.
        network: Model, data set and every setting that differs between networks and is not about sparsity.
        method: Allocation and topology, with the options that tell it from others of these names.
        data: Name of the data set.
        model: Name of the model.
        where: Data set, with the settings of training that tell it from other networks of these names.
        across_rates: The network whatever its learning rate: equal in groups that differ in it only.
        lr: Its learning rate.
        family: Name of the model's family; "" where it has no sizes.
        depth: Its depth, if it has one.
        width: Its width, if it has one.
        allocation: Name of the rule.
        topology: Name of the topology.
        density: The requested density.
        dense: Whether nothing was ever pruned.
        moved: False if the topology never moved a mask; such groups need no more seeds.
        records: The JSON objects of their ``record.json``, one per seed.
        folders: The runs' folders.
        numbers: Dotted name of a metric to its values.

    Example:
        >>> RunGroup("dense", "digits mlp_16", "dense", "digits", "mlp_16").seeds
        ()
    """

    name: str
    network: str
    method: str
    data: str
    model: str
    where: str = ""
    across_rates: str = ""
    lr: float | None = None
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
    numbers: Mapping[str, SeedSummary] = dataclasses.field(default_factory=dict)

    @property
    def style_name(self) -> str:
        """Allocation and topology, by which `assign_styles` chooses a colour."""
        return self.allocation if self.topology == "static" else f"{self.allocation} {self.topology}"

    @property
    def seeds(self) -> tuple[int, ...]:
        """The runs' seeds."""
        return tuple(record["config"]["seed"] for record in self.records)


@dataclasses.dataclass(frozen=True)
class MetricVerdicts:
    """The verdicts on one metric, as `rarefy compare` gives them.

    Args:
        metric: Its dotted name.
        points: Whether it is shown in percent.
        margin: The largest difference that does not matter; None: not given.
        rows: One mapping per group: group, seeds, mean, interval, baseline, difference, welch, verdict, reason,
            seeds_needed.

    Example:
        >>> MetricVerdicts("accuracy", points=True, margin=0.005, rows=()).find_row("dense") is None
        True
    """

    metric: str
    points: bool
    margin: float | None
    rows: tuple[Mapping[str, Any], ...]

    def find_row(self, name: str) -> Mapping[str, Any] | None:
        """Finds the row of a group."""
        return next((row for row in self.rows if row["group"] == name), None)


@dataclasses.dataclass(frozen=True)
class UnfinishedRun:
    """A run that was started and has no record.

    Args:
        folder: Its folder.
        group: The group it would belong to; without records.
        seed: Its seed.
        state: The epochs it has done, and why it failed.
        config: Its settings.

    Example:
        >>> UnfinishedRun("runs/3f2a", RunGroup("dense", "p", "dense", "digits", "mlp_16"), 17, "2 of 10 epochs").seed
        17
    """

    folder: str
    group: RunGroup
    seed: int
    state: str
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Study:
    """All data of a report.

    Args:
        groups: Groups of runs, dense ones first.
        verdicts: Verdicts on each metric; none if there is nothing to compare with.
        notes: Notes on the verdicts.
        unfinished: Runs without a record.
        published: Published numbers.
        folders: The folders of the runs, as arguments of a command.
        files: The folder of the report's files.
        title: Title of the sweeps that the runs belong to; empty: what was run.

    Example:
        >>> Study((), ()).methods
        []
    """

    groups: tuple[RunGroup, ...]
    verdicts: tuple[MetricVerdicts, ...]
    notes: tuple[str, ...] = ()
    unfinished: tuple[UnfinishedRun, ...] = ()
    published: tuple[PublishedResult, ...] = ()
    folders: str = "runs"
    files: str = "report_files"
    title: str = ""

    @functools.cached_property
    def records(self) -> list[Mapping[str, Any]]:
        """The records of all groups."""
        return [record for group in self.groups for record in group.records]

    @functools.cached_property
    def infos(self) -> Mapping[str, MetricInfo]:
        """Descriptions of the records' metrics."""
        infos: dict[str, MetricInfo] = {}
        for record in self.records:
            infos |= describe_metrics(record["metrics"].get("test", {}))
        return infos

    def describe_metric(self, name: str) -> MetricInfo:
        """Describes a metric by its dotted name."""
        return describe_metric(name, self.infos)

    @property
    def accuracy_verdicts(self) -> MetricVerdicts | None:
        """The verdicts on accuracy."""
        return next((verdicts for verdicts in self.verdicts if verdicts.metric == "accuracy"), None)

    def find_group(self, name: str) -> RunGroup | None:
        """Finds a group by its name."""
        return self._by_name.get(name)

    @functools.cached_property
    def _by_name(self) -> dict[str, RunGroup]:
        return {group.name: group for group in self.groups}

    @functools.cached_property
    def networks(self) -> dict[str, list[RunGroup]]:
        """Cells by network: by data and training, family, then size."""
        order = sorted(self.groups, key=lambda g: (g.where, g.family, g.depth or 0, g.width or 0, g.model, g.network))
        networks: dict[str, list[RunGroup]] = {}
        for group in order:
            networks.setdefault(group.network, []).append(group)
        return networks

    @functools.cached_property
    def methods(self) -> list[str]:
        """Sparse methods, in order of appearance; then those that only published numbers have."""
        own = (group.method for group in self.groups if not group.dense)
        return list(dict.fromkeys([*own, *(row.method for row in self.shown if not row.dense)]))

    @functools.cached_property
    def shown(self) -> list[PublishedResult]:
        """PublishedResult numbers of what was run here: the same data and model."""
        here = {(group.data, group.model) for group in self.groups}
        return [row for row in self.published if (row.data, row.model) in here]

    @functools.cached_property
    def styles(self) -> dict[str, int]:
        """Style number of each method, in every figure; dense has one of its own."""
        dense = {group.method: DENSE for group in self.groups if group.dense}
        names = {row.method: row.style_name for row in self.shown if not row.dense}
        names |= {group.method: group.style_name for group in self.groups if not group.dense}
        return {"dense": DENSE} | dense | assign_styles({method: names[method] for method in self.methods})

    @functools.cached_property
    def densities(self) -> list[float]:
        """Densities of sparse groups, the sparsest first."""
        return sorted({group.density for group in self.groups if not group.dense})


def find_dense(groups: Iterable[RunGroup]) -> RunGroup | None:
    """Finds the dense group of a network."""
    return next((group for group in groups if group.dense), None)


def group_by_method(groups: Sequence[RunGroup]) -> dict[str, list[RunGroup]]:
    """Groups sparse groups by method, the densest first."""
    methods: dict[str, list[RunGroup]] = {}
    for group in sorted(groups, key=lambda group: -group.density):
        if not group.dense:
            methods.setdefault(group.method, []).append(group)
    return methods
