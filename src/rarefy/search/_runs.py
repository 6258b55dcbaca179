"""Searches with ordinary runs: same ids and folders as `rarefy train`, resumable."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rarefy import records
from rarefy.config import Config
from rarefy.pipeline import resolve
from rarefy.search._densities import sort_densities
from rarefy.search._find_density import SearchError, check_options
from rarefy.search._persistent import PersistentExecutor
from rarefy.search._result import SearchResult, SearchStep
from rarefy.search._search import Budget, TrialSpec, compute_budget, search
from rarefy.sweeps import Executor, RunState, Status, SweepRun, sweep
from rarefy.topology import HasFinalDensity
from rarefy.training import Interrupted


@dataclasses.dataclass(frozen=True)
class SweepOptions:
    """Options of the sweeps that train a search's runs.

    Args:
        executor: Trains the runs, such as ``EXECUTORS.build("local", workers=2)``.
        out: Parent folder of the runs.
        data_dir: Folder of the data sets.
        retry: How often a failed run is restarted.
        checkpoint_seconds: Longest time between two checkpoints of a run.

    Example:
        >>> from rarefy.sweeps import EXECUTORS
        >>> SweepOptions(EXECUTORS.build("local", workers=2)).out.name
        'runs'
    """

    executor: Executor
    out: Path = Path("runs")
    data_dir: Path = Path("data")
    retry: int = 0
    checkpoint_seconds: float = 60.0


@dataclasses.dataclass(frozen=True)
class SearchUpdate:
    """A comparison that was just made, and the remaining budget.

    Args:
        step: The comparison; None before the first run.
        budget: Most runs of the search.
        seconds_left: Longest remaining time at the pace so far; None before any training.

    Example:
        >>> SearchUpdate(None, Budget(short=10, full=24, short_effort=0.25), None).budget.full
        24
    """

    step: SearchStep | None
    budget: Budget
    seconds_left: float | None


class RunTimes:
    """Estimates the wall time per run, start-up and parallel runs included.

    Example:
        >>> RunTimes().estimate(1.0) is None
        True
    """

    def __init__(self) -> None:
        self._totals: dict[float, tuple[float, float, int]] = {}  # effort -> wall time, training time, runs

    def add(self, effort: float, seconds: float, trained: Sequence[Status]) -> None:
        """Records the wall time of newly trained runs."""
        if trained:
            wall, training, count = self._totals.get(effort, (0.0, 0.0, 0))
            own = sum((status.seconds_per_epoch or 0.0) * status.epochs for status in trained)
            self._totals[effort] = (wall + seconds, training + own, count + len(trained))

    def estimate(self, effort: float) -> float | None:
        """Estimates the seconds of a run with a given effort; None before any run was trained."""
        if not self._totals:
            return None
        known = effort if effort in self._totals else max(self._totals)
        wall, training, count = self._totals[known]
        parallel_runs = max(1.0, training / wall)
        return (wall + (effort / known - 1) * training / parallel_runs) / count


class SearchRuns:
    """Trains the runs of a search and maps each trial to its run.

    Args:
        config: The config; density, seed and epochs are set by the search.
        options: Options of the sweeps.
        show: Called with the statuses of the current runs, a few times a second.
        should_stop: Called as often; if it returns True, runs save and end.
    """

    def __init__(
        self,
        config: Config,
        options: SweepOptions,
        *,
        show: Callable[[Sequence[Status]], None] = lambda statuses: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.config, self.options = config, options
        self.run_by_spec: dict[TrialSpec, SweepRun] = {}
        self.pace = RunTimes()
        self._show, self._should_stop = show, should_stop
        self._persistent: PersistentExecutor | None = None

    def __call__(self, specs: Sequence[TrialSpec]) -> list[float]:
        """Trains some trials; returns test accuracies of full runs and validation accuracies of short ones.

        Raises:
            SearchError: If a run failed.
            Interrupted: If `should_stop` returned True.
        """
        self.run_by_spec |= {spec: self.resolve_run(spec) for spec in specs}
        runs = [self.run_by_spec[spec] for spec in specs]
        finished = {run.id for run in runs if (self.options.out / run.id / "record.json").is_file()}
        started = time.perf_counter()
        values = {field.name: getattr(self.options, field.name) for field in dataclasses.fields(self.options)}
        values["executor"] = self._persistent or self.options.executor
        statuses = sweep(runs, **values, show=self._show, should_stop=self._should_stop)
        new = [status for status in statuses if status.run.id not in finished and status.state is RunState.DONE]
        self.pace.add(specs[0].effort if specs else 1.0, time.perf_counter() - started, new)
        return [self._read_accuracy(spec, status) for spec, status in zip(specs, statuses, strict=True)]

    @contextlib.contextmanager
    def keep_pool(self, count: int) -> Iterator[None]:
        """Context that keeps the executor's pool open between calls; `count` is the usual number of runs per call."""
        with PersistentExecutor(self.options.executor, count) as self._persistent:
            yield
        self._persistent = None

    def resolve_run(self, spec: TrialSpec) -> SweepRun:
        """Returns the run of a trial."""
        training = self.config.training
        epochs = max(1, round(spec.effort * training.epochs))
        schedule = {"epochs": epochs, "warmup_epochs": training.warmup_epochs * epochs / training.epochs}
        config = self.config if spec.density < 1 else self.config.dense()
        values = {"seed": spec.seed, "training": training.model_copy(update=schedule)}
        values |= {"density": spec.density} if spec.density < 1 else {}
        resolved = resolve(config.model_copy(update=values))
        return SweepRun(resolved.id, resolved.config, {"density": spec.density, "seed": spec.seed, "epochs": epochs})

    def read_record(self, spec: TrialSpec) -> records.Record:
        """Reads the record of a trial's run."""
        return records.read(self.get_folder(spec))

    def get_folder(self, spec: TrialSpec) -> Path:
        """Returns the folder of a trial's run."""
        return self.options.out / self.run_by_spec[spec].id

    def _read_accuracy(self, spec: TrialSpec, status: Status) -> float:
        if status.state is RunState.FAILED:
            raise SearchError(
                f"The run {status.run.id} ({status.run.label}) failed: {status.message} Its whole output is in "
                f"{status.paths.failure}. Once that is fixed, the same command continues from there."
            )
        if status.state is not RunState.DONE:
            raise Interrupted("The search was stopped; its runs have saved their state.")
        record = self.read_record(spec)
        if spec.effort == 1:
            return float(record.metrics["test"]["accuracy"])
        accuracy = next(row.validation_accuracy for row in record.history if row.epoch == record.selected_epoch)
        if accuracy is None:
            raise SearchError(f"The run {record.id} has no validation accuracy, by which short runs are judged.")
        return accuracy


def search_runs(
    runs: SearchRuns,
    densities: Sequence[float],
    seeds: Sequence[int],
    *,
    margin: float = 0.005,
    short: float = 0.25,
    notice: Callable[[SearchUpdate], None] = lambda progress: None,
) -> SearchResult:
    """Runs `rarefy.search.find_density` with runs of `rarefy train`; finished runs on disk are reused.

    Args:
        runs: Trains the runs.
        densities: Candidate densities.
        seeds: Seeds of full runs.
        margin: How much worse than dense does not matter: 0.005 is half a spec.
        short: Fraction of the epochs that short runs have; all schedules scale with it.
        notice: Called before the first run and with each comparison.

    Returns:
        The result, over test accuracies.

    Raises:
        SearchError: If an argument is out of range, the config is dense, or a run failed.
        Interrupted: If `should_stop` returned True.

    Example:
        >>> from rarefy.sweeps import EXECUTORS
        >>> runs = SearchRuns(Config(), SweepOptions(EXECUTORS.build("local")))
        >>> search_runs(runs, (0.1,), seeds=[17])
        Traceback (most recent call last):
        ...
        rarefy.search._find_density.SearchError: A verdict needs at least 2 different seeds; got [17].
    """
    check_options(margin, seeds, short)
    candidates = sort_densities(densities)
    for density in candidates:  # a typo raises before anything is trained
        _check_searchable(runs.resolve_run(TrialSpec(density, seeds[0], 1.0)).config, density)
    budget = compute_budget(candidates, seeds, short)
    notice(SearchUpdate(None, budget, None))

    def notify(step: SearchStep) -> None:
        notice(SearchUpdate(step, budget, _estimate_seconds_left(runs, budget)))

    with runs.keep_pool(len(seeds)):
        return search(runs, candidates, margin=margin, seeds=seeds, short=short, notice=notify)


def _check_searchable(config: Config, density: float) -> None:
    """Raises SearchError if the trained network has no density to look for."""
    if config.allocation.name == "dense":
        raise SearchError("The allocation `dense` has no density to look for. Name another: --sparse-init erk")
    topology = resolve(config).topology
    if isinstance(topology, HasFinalDensity) and topology.final_density(density) != density:
        raise SearchError(
            f"The topology {config.topology.name!r} ends with a dense network, which has no density to look for. Name "
            "another: --topology static"
        )


def _estimate_seconds_left(runs: SearchRuns, budget: Budget) -> float | None:
    """Estimates the longest remaining time; once full runs have started, there are no more short ones."""
    full = sum(spec.effort == 1 for spec in runs.run_by_spec)
    short = 0 if full else budget.short - len(runs.run_by_spec)
    times = runs.pace.estimate(1.0), runs.pace.estimate(budget.short_effort)
    return None if None in times else (budget.full - full) * times[0] + short * times[1]  # type: ignore[operator]
