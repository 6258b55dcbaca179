"""Evaluates finished runs one after the other; each result is written into the record as soon as it is known."""

from __future__ import annotations

import copy
import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy import records
from rarefy.evaluation.ood import require_source
from rarefy.pipeline._evaluate._finished_run import FinishedRun
from rarefy.pipeline._evaluate._options import EvaluationOptions
from rarefy.pipeline._evaluate._tasks import CorruptionCache, EvaluationTask, build_tasks
from rarefy.pipeline._folder import LOG, RunError, claim_folder, log_to_file
from rarefy.reports import EvaluatedRun, render_evaluation, title_run

_ACCURACY_TOLERANCE = 0.002  # another machine rounds differently


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far an evaluation is.

    Args:
        run: Id of the run being evaluated.
        part: What is computed.
        share: Fraction done of all tasks of all runs, in [0, 1].
        seconds: Time the part took; 0 if the record had it already, None while it is computed.

    Example:
        >>> Progress("3f2a", "ood svhn", 0.5, None).seconds is None
        True
    """

    run: str
    part: str
    share: float
    seconds: float | None


def evaluate_runs(
    folders: Sequence[Path],
    options: EvaluationOptions,
    *,
    data: Any = None,
    data_dir: Path = Path("data"),
    workers: int | None = None,
    device: str | None = None,
    again: bool = False,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> list[records.Record]:
    """Evaluates finished runs, adds the results to their records and writes one page per run.

    Results that a record already holds, computed with the same options, are kept, so an interrupted evaluation resumes.

    Args:
        folders: Folders of runs.
        options: What to compute.
        data: The data of the runs, if a program gave them: ``(train, validation, test)`` as to `run`.
        data_dir: Folder of the data sets.
        workers: Processes that decode images of data sets that are not in memory; None: as `rarefy.data.load` chooses.
        device: Device to compute on; None: the one each run was trained on.
        again: Whether to recompute what the records already hold.
        progress: Called with each step of the evaluation.

    Returns:
        The updated records.

    Raises:
        RunError: If another process uses a run, or a model does not score what its record says.
        ValueError: If a record, a data set or a method cannot be used.

    Example:
        >>> evaluate_runs([], EvaluationOptions())
        []
    """
    for source in options.ood:
        require_source(source, data_dir)
    # Open all runs first, so that missing files are reported before anything is computed.
    runs = [FinishedRun(folder, data_dir, device, workers, data) for folder in folders]
    cache = CorruptionCache(keep=len(runs) > 1)
    tasks = build_tasks(options, cache)
    done = []
    for number, run in enumerate(runs):
        with claim_folder(run.paths), log_to_file(run.paths.log):
            reporter = _ProgressReporter(run.record.id, number * len(tasks), len(runs) * len(tasks), progress)
            record = _evaluate(run, tasks, again=again, reporter=reporter)
            render_evaluation([_page_input(run, record)], run.paths.evaluation)
        done.append(record)
        runs[number] = None  # type: ignore[call-overload]  # free its images and its network
    return done


def _page_input(run: FinishedRun, record: records.Record) -> EvaluatedRun:
    return EvaluatedRun(record.model_dump(mode="json"), run.paths.folder, title_run(record.config))


class _ProgressReporter:
    """Converts the progress of one task into the progress of the whole evaluation."""

    def __init__(self, run: str, before: int, of: int, progress: Callable[[Progress], None]) -> None:
        self._run, self._before, self._total, self._progress = run, before, of, progress

    def report(self, task: EvaluationTask, number: int, share: float, seconds: float | None = None) -> None:
        self._progress(Progress(self._run, task.name, (self._before + number + share) / self._total, seconds))


def _evaluate(
    run: FinishedRun, tasks: Sequence[EvaluationTask], *, again: bool, reporter: _ProgressReporter
) -> records.Record:
    """Computes what the record lacks, and rewrites the record after every task."""
    record = records.read(run.paths.record)  # again, under the lock: another evaluation may just have ended
    for number, task in enumerate(tasks):
        options = _to_json_values(task.options)
        test = copy.deepcopy(record.metrics["test"])
        known = test.setdefault("evaluated", {})
        if not again and known.get(task.name, {}).get("options") == options:
            reporter.report(task, number, 1.0, 0.0)
            continue
        reporter.report(task, number, 0.0)
        started = time.perf_counter()
        result = task.compute(run, lambda share, task=task, number=number: reporter.report(task, number, share))  # type: ignore[misc]
        seconds = time.perf_counter() - started
        _store(test, task.path, _to_json_values(_check_accuracy(result, test, run)))
        known[task.name] = {"options": options, "seconds": round(seconds, 3)}
        record = record.model_copy(update={"metrics": {**record.metrics, "test": test}})
        records.write(record, run.paths.record)
        LOG.info("evaluated %s in %.1f s", task.name, seconds)
        reporter.report(task, number, 1.0, seconds)
    return record


def _to_json_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Converts values to what reading them back from JSON gives: tuples become lists, keys become strings."""
    plain: dict[str, Any] = json.loads(json.dumps(values, allow_nan=False))
    return plain


def _store(test: dict[str, Any], path: tuple[str, ...], result: dict[str, Any]) -> None:
    """Stores a result at its path among the test metrics; the scores that training wrote are kept."""
    for name in path[:-1]:
        test = test.setdefault(name, {})
    if path:
        test[path[-1]] = result
    else:
        test.update({name: value for name, value in result.items() if name not in ("accuracy", "loss")})


def _check_accuracy(result: dict[str, Any], test: Mapping[str, Any], run: FinishedRun) -> dict[str, Any]:
    """Raises RunError if the model does not reach the accuracy of its record: it is then not the model of that run."""
    difference = abs(result["accuracy"] - test["accuracy"]) if "accuracy" in result else 0.0
    if difference > _ACCURACY_TOLERANCE:
        raise RunError(
            f"{run.paths.model} scores {result['accuracy']:.4f} on the test split, its record says "
            f"{test['accuracy']:.4f}: the model or the data are not those of the run. Is --data-dir right?"
        )
    return result
