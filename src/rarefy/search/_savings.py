"""Counts and measures what a density saves."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import torch

from rarefy.benchmarking import bench
from rarefy.pipeline import EvaluationOptions, RunHeld, evaluate_runs, load_network
from rarefy.search._result import SearchResult
from rarefy.search._runs import SearchRuns
from rarefy.search._search import TrialSpec

_RETRY_SECONDS = 0.5  # seconds between attempts while another process evaluates the same run


@dataclasses.dataclass(frozen=True)
class Saving:
    """One quantity, dense and at the resulting density.

    Args:
        name: The quantity and how it was obtained.
        unit: ``""`` for a count, ``"FLOPs"``, ``"B"`` or ``"s"``.
        dense: Value of the dense network.
        sparse: Value of the sparse network.

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


def measure_savings(
    result: SearchResult, runs: SearchRuns, *, rounds: int = 15, progress: Callable[[str], None] = lambda words: None
) -> list[Saving]:
    """Measures what the resulting density saves; returns nothing if it is dense.

    Counts are from the run of the first seed; times are medians on this machine's CPU, of dense and the engine `auto`
    measured alternately.

    Args:
        result: The search's result.
        runs: The search's runs.
        rounds: Rounds of each measurement.
        progress: Called with a description of the next task.

    Example:
        >>> from rarefy.config import Config
        >>> from rarefy.search import SweepOptions
        >>> from rarefy.sweeps import EXECUTORS
        >>> runs = SearchRuns(Config(), SweepOptions(EXECUTORS.build("local")))
        >>> measure_savings(SearchResult(1.0, "no", 0.005, (0.1,), (), ()), runs)
        []
    """
    if result.density == 1:
        return []
    sparse = next(spec for spec in runs.run_by_spec if spec.density == result.density and spec.effort == 1)
    progress("counting parameters, FLOPs and bytes")
    cost, dense = _count_cost(runs, sparse), runs.read_record(TrialSpec(1.0, sparse.seed, 1.0))
    progress("timing training steps and predictions, dense and with the engine auto")
    return [
        Saving("prunable weights kept", "", cost["parameters"]["prunable"], cost["parameters"]["kept"]),
        Saving("FLOPs of a prediction", "FLOPs", cost["flops"]["dense"], cost["flops"]["kept"]),
        Saving("FLOPs of training on one image", "FLOPs", *map(cost["training_flops"].__getitem__, ("dense", "kept"))),
        Saving("model.safetensors", "B", dense.files["model.safetensors"], cost["bytes"]["model"]),
        *_measure_times(runs, sparse, rounds),
    ]


def _count_cost(runs: SearchRuns, spec: TrialSpec) -> dict[str, Any]:
    """Counts as `rarefy eval --cost` does, and stores the result in the run's record."""
    while True:
        try:
            (record,) = evaluate_runs(
                [runs.get_folder(spec)], EvaluationOptions(cost=True), data_dir=runs.options.data_dir
            )
        except RunHeld:
            time.sleep(_RETRY_SECONDS)
            continue
        cost: dict[str, Any] = record.metrics["test"]["cost"]
        return cost


def _measure_times(runs: SearchRuns, spec: TrialSpec, rounds: int) -> list[Saving]:
    network = load_network(runs.get_folder(spec), data_dir=runs.options.data_dir)
    batch = network.config.training.batch_size
    result = bench(network.model, network.sparsity, network.shape, batches=[batch], contenders=["auto"], rounds=rounds)
    threads = torch.get_num_threads()
    on = f"batch {batch}, {threads} thread{'s' * (threads > 1)}, measured"
    names = {"training": f"training step ({on})", "inference": f"prediction ({on})"}
    times = {(timing.what, timing.engine): timing.milliseconds / 1000 for timing in result.timings}
    kinds = dict.fromkeys(what for what, _ in times)
    return [Saving(names[what], "s", times[what, "dense"], times[what, "auto"]) for what in kinds]
