"""MLflow runs."""

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
    """MLflow runs in one SQLite file: metrics per epoch, settings as parameters, and the scores.

    Args:
        experiment: Name of the experiment.
        database: The SQLite file; default: ``MLFLOW_TRACKING_URI`` if it is set (a server, for example), else
            ``mlflow.db`` in the folder of the runs.

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
        """Opens the run with this id in the experiment, or creates one."""
        from mlflow.tracking import MlflowClient

        remote = "" if self.database else os.environ.get("MLFLOW_TRACKING_URI", "")
        if remote:
            return _MlflowRun(MlflowClient(tracking_uri=remote), self.experiment, None, run)
        file = (Path(self.database) if self.database else RunPaths(run.folder).mlflow_store()).resolve()
        file.parent.mkdir(parents=True, exist_ok=True)
        with (
            filelock.FileLock(f"{file}.lock"),
            _silence_table_messages(),
        ):  # creating the tables in parallel corrupts the file
            client = MlflowClient(tracking_uri=f"sqlite:///{file}")
            return _MlflowRun(client, self.experiment, (file.parent / "mlruns").as_uri(), run)


class _MlflowRun:
    def __init__(self, client: Any, experiment: str, artifacts: str | None, run: TrackedRun) -> None:
        self._client = client
        known = client.get_experiment_by_name(experiment)
        experiment_id = known and known.experiment_id
        experiment_id = experiment_id or client.create_experiment(experiment, artifact_location=artifacts)
        runs = client.search_runs([experiment_id], filter_string=f"tags.`{_TAG}` = '{run.id}'", max_results=1)
        self._running = not runs
        mlflow_run = runs[0] if runs else client.create_run(experiment_id, run_name=run.id, tags={_TAG: run.id})
        self._id = mlflow_run.info.run_id
        self._known = set(mlflow_run.data.metrics)
        self.done = max((point.step for point in client.get_metric_history(self._id, "train_loss")), default=0)
        if not mlflow_run.data.params:
            self._write(params=run.flatten_config())

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        self._write(epoch, values)

    def result(self, epoch: int, scores: Mapping[str, float]) -> None:
        if not scores.keys() <= self._known:
            self._write(epoch, scores)

    def close(self, *, finished: bool) -> None:
        if self._running:
            self._client.set_terminated(self._id, "FINISHED" if finished else "KILLED")

    def _write(self, epoch: int = 0, values: Mapping[str, float] | None = None, params: Any = None) -> None:
        """Writes one batch, which MLflow stores as a whole or not at all."""
        from mlflow.entities import Metric, Param

        if not self._running:
            self._client.update_run(self._id, status="RUNNING")
            self._running = True
        now = int(time.time() * 1000)
        metrics = [Metric(name, float(value), now, epoch) for name, value in (values or {}).items()]
        settings = [Param(name, str(value)) for name, value in (params or {}).items()]
        self._client.log_batch(self._id, metrics=metrics, params=settings)


@contextlib.contextmanager
def _silence_table_messages() -> Iterator[None]:
    """Silences MLflow's table-creation messages."""
    loggers = [logging.getLogger(name) for name in ("mlflow.store.db.utils", "alembic")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
