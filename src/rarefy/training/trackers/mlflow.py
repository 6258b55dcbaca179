"""Runs in an MLflow store."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import filelock

from rarefy.paths import RunPaths
from rarefy.training.trackers._registry import TRACKERS, Session, TrackedRun

_TAG = "rarefy.id"


@TRACKERS.register("mlflow")
@dataclasses.dataclass(frozen=True)
class MLflow:
    """Metrics by epoch, every setting as a parameter, and the scores, in one SQLite file for all runs.

    Args:
        experiment: Name of the experiment.
        database: The SQLite file; default: what ``MLFLOW_TRACKING_URI`` says (a server, say), and without it
            ``mlflow.db`` beside the runs.

    Example:
        >>> MLflow(experiment="depth").experiment
        'depth'

    References:
        https://mlflow.org/docs/latest/tracking
    """

    experiment: str = "rarefy"
    database: str = ""
    package: ClassVar[str] = "mlflow"

    def open(self, run: TrackedRun) -> Session:
        """The run with this id in the experiment, or a new one."""
        from mlflow.tracking import MlflowClient

        remote = "" if self.database else os.environ.get("MLFLOW_TRACKING_URI", "")
        if remote:
            return _MlflowRun(MlflowClient(tracking_uri=remote), self.experiment, None, run)
        file = (Path(self.database) if self.database else RunPaths(run.folder).mlflow_store()).resolve()
        file.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{file}.lock"), _quiet():  # two runs that make the file's tables at once break it
            client = MlflowClient(tracking_uri=f"sqlite:///{file}")
            return _MlflowRun(client, self.experiment, (file.parent / "mlruns").as_uri(), run)


class _MlflowRun:
    def __init__(self, client: Any, experiment: str, artifacts: str | None, run: TrackedRun) -> None:
        self._client = client
        found = client.get_experiment_by_name(experiment)
        place = found.experiment_id if found else client.create_experiment(experiment, artifact_location=artifacts)
        runs = client.search_runs([place], filter_string=f"tags.`{_TAG}` = '{run.id}'", max_results=1)
        self._running = not runs
        opened = runs[0] if runs else client.create_run(place, run_name=run.id, tags={_TAG: run.id})
        self._id = opened.info.run_id
        self._known = set(opened.data.metrics)
        self.done = max((point.step for point in client.get_metric_history(self._id, "train_loss")), default=0)
        if not opened.data.params:
            self._write(params=run.flat())

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        self._write(epoch, values)

    def result(self, epoch: int, scores: Mapping[str, float]) -> None:
        if not scores.keys() <= self._known:
            self._write(epoch, scores)

    def close(self, *, finished: bool) -> None:
        if self._running:
            self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")

    def _write(self, epoch: int = 0, values: Mapping[str, float] | None = None, params: Any = None) -> None:
        """One batch: all of it arrives, or nothing."""
        from mlflow.entities import Metric, Param

        if not self._running:
            self._client.update_run(self._id, status="RUNNING")
            self._running = True
        now = int(time.time() * 1000)
        metrics = [Metric(name, float(value), now, epoch) for name, value in (values or {}).items()]
        settings = [Param(name, str(value)) for name, value in (params or {}).items()]
        self._client.log_batch(self._id, metrics=metrics, params=settings)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """A new file's tables are no news to a person who trains."""
    loggers = [logging.getLogger(name) for name in ("mlflow.store.db.utils", "alembic")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
