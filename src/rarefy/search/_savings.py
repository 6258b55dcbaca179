"""What a density saves, counted and measured."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch

from rarefy.benchmarking import bench
from rarefy.pipeline import EvaluationOptions, RunHeld, evaluate_runs, load_network
from rarefy.search._found import Found
from rarefy.search._runs import Runs
from rarefy.search._search import Point

_WAIT = 0.5  # seconds, until another search that looks at the same run has done so


@dataclasses.dataclass(frozen=True)
class Saving:
    """One quantity, dense and at the density that was found.

    Args:
        name: What it is, and how it came about.
        unit: ``""`` for a count, ``"FLOPs"``, ``"B"`` or ``"s"``.
        dense: Of the dense network.
        sparse: Of the sparse one.

    Example:
        >>> Saving("weights", "", dense=1000, sparse=100).share
        0.1
    """

    name: str
    unit: str
    dense: float
    sparse: float

    @property
    def share(self) -> float:
        """Sparse / dense."""
        return self.sparse / self.dense


def savings(
    found: Found, runs: Runs, *, rounds: int = 15, progress: Callable[[str], None] = lambda words: None
) -> list[Saving]:
    """What the density that was found saves; nothing if it is dense.

    Counts are of a run of the first seed; times are medians of turns that dense and the engine `auto` take on this
    machine's CPU.

    Args:
        found: What the search found.
        runs: Its runs.
        rounds: Rounds of each measurement.
        progress: Called with what is done next.

    Example:
        >>> from rarefy.config import Config
        >>> from rarefy.search import Places
        >>> from rarefy.sweeps import EXECUTORS
        >>> savings(Found(1.0, "no", 0.005, (0.1,), (), ()), Runs(Config(), Places(EXECUTORS.build("local"))))
        []
    """
    if found.density == 1:
        return []
    sparse = next(point for point in runs.of if point.density == found.density and point.effort == 1)
    progress("counting parameters, FLOPs and bytes")
    cost, dense = _cost(runs, sparse), runs.record(Point(1.0, sparse.seed, 1.0))
    progress("timing training steps and predictions, dense and with the engine auto")
    return [
        Saving("prunable weights kept", "", cost["parameters"]["prunable"], cost["parameters"]["kept"]),
        Saving("FLOPs of a prediction", "FLOPs", cost["flops"]["dense"], cost["flops"]["kept"]),
        Saving("FLOPs of training on one image", "FLOPs", *map(cost["training_flops"].__getitem__, ("dense", "kept"))),
        Saving("model.safetensors", "B", dense.files["model.safetensors"], cost["bytes"]["model"]),
        *_times(runs, sparse, rounds),
    ]


def _cost(runs: Runs, point: Point) -> dict[str, Any]:
    """As `rarefy eval --cost` counts it; kept in the run's record."""
    while True:
        try:
            (record,) = evaluate_runs([runs.folder(point)], EvaluationOptions(cost=True), data_dir=runs.places.data_dir)
        except RunHeld:
            time.sleep(_WAIT)
            continue
        cost: dict[str, Any] = record.metrics["test"]["cost"]
        return cost


def _times(runs: Runs, point: Point, rounds: int) -> list[Saving]:
    network = load_network(runs.folder(point), data_dir=runs.places.data_dir)
    batch = network.config.training.batch_size
    found = bench(network.model, network.sparsity, network.shape, batches=[batch], contenders=["auto"], rounds=rounds)
    threads = torch.get_num_threads()
    on = f"batch {batch}, {threads} thread{'s' * (threads > 1)}, measured"
    names = {"training": f"training step ({on})", "inference": f"prediction ({on})"}
    times = {(timing.what, timing.engine): timing.milliseconds / 1000 for timing in found.timings}
    kinds = dict.fromkeys(what for what, _ in times)
    return [Saving(names[what], "s", times[what, "dense"], times[what, "auto"]) for what in kinds]
