"""The trainings of a search as ordinary runs: same ids, same folder, resumed where they were."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rarefy import records
from rarefy.config import Config
from rarefy.pipeline import resolve
from rarefy.search._find_density import SearchError, check
from rarefy.search._found import Found, Step
from rarefy.search._ladder import checked
from rarefy.search._opened import Opened
from rarefy.search._search import Budget, Point, budget, search
from rarefy.sweeps import Executor, RunState, Status, SweepRun, sweep
from rarefy.training import Interrupted


@dataclasses.dataclass(frozen=True)
class Places:
    """Where and how runs are trained.

    Args:
        executor: What trains them, such as ``EXECUTORS.build("local", workers=2)``.
        out: Where runs go.
        data_dir: Where data sets are looked for.
        retry: How often a run that failed is started again.
        checkpoint_seconds: Longest time between two checkpoints of a run.

    Example:
        >>> from rarefy.sweeps import EXECUTORS
        >>> Places(EXECUTORS.build("local", workers=2)).out.name
        'runs'
    """

    executor: Executor
    out: Path = Path("runs")
    data_dir: Path = Path("data")
    retry: int = 0
    checkpoint_seconds: float = 60.0


@dataclasses.dataclass(frozen=True)
class Progress:
    """A comparison that was just made, and what is left.

    Args:
        step: The comparison; None before the first.
        budget: How many runs the search takes at most.
        seconds_left: Time that it takes at most from here, at the pace so far; None: nothing was trained yet.

    Example:
        >>> Progress(None, Budget(short=10, full=24, share=0.25), None).budget.full
        24
    """

    step: Step | None
    budget: Budget
    seconds_left: float | None


class Pace:
    """How long runs take, starting included, beside the others that are trained at the same time.

    Example:
        >>> Pace().of(1.0) is None
        True
    """

    def __init__(self) -> None:
        self._seen: dict[float, tuple[float, float, int]] = {}  # effort -> wall time, time of training alone, runs

    def note(self, effort: float, seconds: float, trained: Sequence[Status]) -> None:
        """Takes in that some runs were trained in a time; runs that were there already say nothing."""
        if trained:
            wall, training, count = self._seen.get(effort, (0.0, 0.0, 0))
            alone = sum((status.seconds_per_epoch or 0.0) * status.epochs for status in trained)
            self._seen[effort] = (wall + seconds, training + alone, count + len(trained))

    def of(self, effort: float) -> float | None:
        """Seconds of a run of some effort; None while none was trained."""
        if not self._seen:
            return None
        near = effort if effort in self._seen else max(self._seen)
        wall, training, count = self._seen[near]
        at_once = max(1.0, training / wall)
        return (wall + (effort / near - 1) * training / at_once) / count


class Runs:
    """Trains what a search wants, with a run a point, and remembers which run was which.

    Args:
        config: What to train; density, seed and epochs are the search's.
        places: Where.
        show: Called with the runs at hand, a few times a second.
        should_stop: Asked as often.
    """

    def __init__(
        self,
        config: Config,
        places: Places,
        *,
        show: Callable[[Sequence[Status]], None] = lambda statuses: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self.config, self.places = config, places
        self.of: dict[Point, SweepRun] = {}
        self.pace = Pace()
        self._show, self._should_stop = show, should_stop
        self._opened: Opened | None = None

    def __call__(self, points: Sequence[Point]) -> list[float]:
        """Accuracies at some points: of full runs on the test split, of short ones on the validation split.

        Raises:
            SearchError: If a run failed.
            Interrupted: If it was asked to stop.
        """
        self.of |= {point: self.run(point) for point in points}
        runs = [self.of[point] for point in points]
        known = {run.id for run in runs if (self.places.out / run.id / "record.json").is_file()}
        started = time.perf_counter()
        values = {field.name: getattr(self.places, field.name) for field in dataclasses.fields(self.places)}
        values["executor"] = self._opened or self.places.executor
        statuses = sweep(runs, **values, show=self._show, should_stop=self._should_stop)
        new = [status for status in statuses if status.run.id not in known and status.state is RunState.DONE]
        self.pace.note(points[0].effort if points else 1.0, time.perf_counter() - started, new)
        return [self._accuracy(point, status) for point, status in zip(points, statuses, strict=True)]

    @contextlib.contextmanager
    def opened(self, count: int) -> Iterator[None]:
        """Keeps the workers from one call to the next; `count` is how many runs are usually wanted at once."""
        with Opened(self.places.executor, count) as self._opened:
            yield
        self._opened = None

    def run(self, point: Point) -> SweepRun:
        """The run of a point."""
        training = self.config.training
        epochs = max(1, round(point.effort * training.epochs))
        changed = {"epochs": epochs, "warmup_epochs": training.warmup_epochs * epochs / training.epochs}
        config = self.config if point.density < 1 else self.config.dense()
        values = {"seed": point.seed, "training": training.model_copy(update=changed)}
        values |= {"density": point.density} if point.density < 1 else {}
        plan = resolve(config.model_copy(update=values))
        return SweepRun(plan.id, plan.config, {"density": point.density, "seed": point.seed, "epochs": epochs})

    def record(self, point: Point) -> records.Record:
        """The record of a point's run."""
        return records.read(self.folder(point))

    def folder(self, point: Point) -> Path:
        """The folder of a point's run."""
        return self.places.out / self.of[point].id

    def _accuracy(self, point: Point, status: Status) -> float:
        if status.state is RunState.FAILED:
            raise SearchError(
                f"The run {status.run.id} ({status.run.label}) failed: {status.message} All it said is in "
                f"{status.paths.failure}. Once that is mended, the same command goes on from there."
            )
        if status.state is not RunState.DONE:
            raise Interrupted("The search was stopped; its runs have saved their state.")
        record = self.record(point)
        if point.effort == 1:
            return float(record.metrics["test"]["accuracy"])
        validated = next(row.validation_accuracy for row in record.history if row.epoch == record.selected_epoch)
        if validated is None:
            raise SearchError(f"The run {record.id} has no validation accuracy, by which short runs are judged.")
        return validated


def search_runs(
    runs: Runs,
    densities: Sequence[float],
    seeds: Sequence[int],
    *,
    margin: float = 0.005,
    short: float = 0.25,
    notice: Callable[[Progress], None] = lambda progress: None,
) -> Found:
    """`rarefy.search.find_density` with runs of `rarefy train`; what is on the disk is read, so that it can go on.

    Args:
        runs: What to train, and where.
        densities: The ladder.
        seeds: Of full runs.
        margin: How much worse than dense does not matter: 0.005 is half a point.
        short: Share of the epochs that short runs have, all schedules scaled with them.
        notice: Called before the first run and with each comparison.

    Returns:
        What was found, over test accuracies.

    Raises:
        SearchError: If an argument is out of range, the config is dense, or a run failed.
        Interrupted: If it was asked to stop.

    Example:
        >>> from rarefy.sweeps import EXECUTORS
        >>> runs = Runs(Config(), Places(EXECUTORS.build("local")))
        >>> search_runs(runs, (0.1,), seeds=[17])
        Traceback (most recent call last):
        ...
        rarefy.search._find_density.SearchError: A verdict takes 2 seeds at least, each once; got [17].
    """
    check(margin, seeds, short)
    rungs = checked(densities)
    for density in rungs:  # a typo anywhere is told before anything is trained
        if runs.run(Point(density, seeds[0], 1.0)).config.allocation.name == "dense":
            raise SearchError("The allocation `dense` has no density to look for. Name another: --sparse-init erk")
    most = budget(rungs, seeds, short)
    notice(Progress(None, most, None))

    def told(step: Step) -> None:
        notice(Progress(step, most, _seconds_left(runs, most)))

    with runs.opened(len(seeds)):
        return search(runs, rungs, margin=margin, seeds=seeds, short=short, notice=told)


def _seconds_left(runs: Runs, most: Budget) -> float | None:
    """At the pace so far, were every run that is allowed needed; once full runs began there are no more short ones."""
    full = sum(point.effort == 1 for point in runs.of)
    short = 0 if full else most.short - len(runs.of)
    times = runs.pace.of(1.0), runs.pace.of(most.share)
    return None if None in times else (most.full - full) * times[0] + short * times[1]  # type: ignore[operator]
