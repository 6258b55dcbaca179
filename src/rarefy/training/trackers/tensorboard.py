"""TensorBoard event files."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml

from rarefy.paths import RunPaths
from rarefy.training.trackers._registry import TRACKERS, Session, TrackedRun

_LAST = "train_loss"  # written last: an epoch that has it is complete


@TRACKERS.register("tensorboard")
@dataclasses.dataclass(frozen=True)
class TensorBoard:
    """Event files in the run's folder: scalars, config and hyper-parameters. View: ``tensorboard --logdir runs``.

    Example:
        >>> TensorBoard()
        TensorBoard()

    References:
        https://www.tensorflow.org/tensorboard
    """

    package: ClassVar[str] = "tensorboard"

    def open(self, run: TrackedRun) -> Session:
        """Reads the existing event files; a new one is created with the first new point."""
        return _Events(RunPaths(run.folder).tensorboard, run)


class _Events:
    def __init__(self, folder: Path, run: TrackedRun) -> None:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        self._folder, self._run = folder, run
        self._open: Any = None
        self._known: set[str] = set()
        self._has_partial_epoch = False
        self.done = 0
        if folder.is_dir():
            events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
            self._known = {*events.Tags()["scalars"], *events.Tags()["tensors"]}
            if _LAST in self._known:
                self.done = max(event.step for event in events.Scalars(_LAST))
            steps = [event.step for tag in events.Tags()["scalars"] for event in events.Scalars(tag)]
            self._has_partial_epoch = max(steps, default=0) > self.done

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        writer = self._writer()
        for name in sorted(values, key=lambda name: name == _LAST):
            writer.add_scalar(name, values[name], epoch)
        writer.flush()

    def result(self, epoch: int, scores: Mapping[str, float]) -> None:
        if scores and not scores.keys() <= self._known:
            from torch.utils.tensorboard.summary import hparams

            settings = {name: _plain(value) for name, value in self._run.flatten_config().items()}
            writer = self._writer()
            for summary in hparams(settings, dict(scores)):  # type: ignore[no-untyped-call]  # add_hparams would create another file
                writer.file_writer.add_summary(summary)
            for name, value in scores.items():
                writer.add_scalar(name, value, epoch)

    def close(self, *, finished: bool) -> None:
        if self._open is not None:
            self._open.close()

    def _writer(self) -> Any:
        """Opens the writer; `purge_step` discards the points of an epoch that was interrupted by a kill."""
        if self._open is None:
            from torch.utils.tensorboard import SummaryWriter

            purge = self.done + 1 if self._has_partial_epoch else None
            self._open = SummaryWriter(str(self._folder), purge_step=purge)
            if "config/text_summary" not in self._known:
                text = yaml.safe_dump(dict(self._run.config), sort_keys=False)
                self._open.add_text("config", "".join(f"    {line}\n" for line in text.splitlines()))
        return self._open


def _plain(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else str(value)
