"""Weights & Biases runs, offline by default."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from rarefy.paths import RunPaths
from rarefy.training.trackers._registry import TRACKERS, Session, TrackedRun

_COMPLETE = "rarefy-complete"  # marker file in the folder of a complete offline run


@TRACKERS.register("wandb")
@dataclasses.dataclass(frozen=True)
class WandB:
    """Weights & Biases runs: metrics per epoch, config and scores; ``wandb sync`` uploads offline runs.

    Args:
        project: Name of the project.
        mode: ``offline`` uses no network; ``online`` needs an account.

    Example:
        >>> WandB(project="depth").mode
        'offline'

    References:
        https://docs.wandb.ai
    """

    project: str = "rarefy"
    mode: Literal["offline", "online"] = "offline"
    package: ClassVar[str] = "wandb"

    def open(self, run: TrackedRun) -> Session:
        """Continues an online run; an offline run cannot be continued and is replaced by a new one."""
        earlier = RunPaths(run.folder).wandb_runs() if self.mode == "offline" else []
        if any((folder / _COMPLETE).exists() for folder in earlier):
            return _Complete()
        return _WandbRun(self, run, [folder for folder in earlier if not list(folder.glob("*.wandb.synced"))])


class _WandbRun:
    def __init__(self, tracker: WandB, run: TrackedRun, replaced: list[Path]) -> None:
        import wandb

        self._offline, self._replaced = tracker.mode == "offline", replaced
        self._run: Any = wandb.init(
            project=tracker.project,
            mode=tracker.mode,
            id=run.id,
            name=run.id,
            dir=str(run.folder.parent),
            config=dict(run.config),
            resume=None if self._offline else "allow",
            reinit="create_new",
            settings=wandb.Settings(console="off", silent=True, disable_git=True, save_code=False),
        )
        self.done = max(0, self._run.step - 1)

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        self._run.log(dict(values), step=epoch)

    def result(self, epoch: int, scores: Mapping[str, float]) -> None:
        self._run.summary.update(dict(scores))

    def close(self, *, finished: bool) -> None:
        folder = Path(self._run.dir).parent
        self._run.finish(exit_code=0 if finished else 1)
        if self._offline and finished:
            (folder / _COMPLETE).touch()
        for earlier in self._replaced:
            shutil.rmtree(earlier)


class _Complete:
    """Session of a complete offline run."""

    done = 0

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Does nothing: the run is complete."""

    def result(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Does nothing: the run is complete."""

    def close(self, *, finished: bool) -> None:
        """Does nothing: no file is open."""
