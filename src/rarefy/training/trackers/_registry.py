"""What a tracker is, and how a person names some."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from rarefy.errors import RarefyError
from rarefy.registry import Registry


class TrackerError(RarefyError, ValueError):
    """A tracker that cannot be used; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told about a run.

    Args:
        id: The run's id; a tracker keeps one run of its own for it, however often the training is resumed.
        folder: The run's folder.
        config: Every resolved value, nested.

    Example:
        >>> TrackedRun("3f2a9c1b77de", Path("runs/3f2a9c1b77de"), {"training": {"lr": 0.1}}).flat()
        {'training.lr': 0.1}
    """

    id: str
    folder: Path
    config: Mapping[str, Any]

    def flat(self) -> dict[str, Any]:
        """The config as dotted place to value."""
        return _flat(self.config)


class Session(Protocol):
    """A run that is open in a tracker."""

    done: int
    """Epochs that the tracker holds already, from an earlier session; they are not logged again."""

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Writes one epoch's numbers."""

    def result(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Writes the run's final numbers, unless they are there."""

    def close(self, *, finished: bool) -> None:
        """Ends the session; a run that is not finished may be opened again."""


class Tracker(Protocol):
    """Opens a run in a tracking system, for the first time or again."""

    package: ClassVar[str]
    """The package it needs, which the extra of the tracker's name installs."""

    def open(self, run: TrackedRun) -> Session:
        """A session that goes on where the run's last one ended."""


TRACKERS: Registry[Tracker] = Registry("tracker", "trackers")


def chosen(text: str) -> list[Tracker]:
    """The trackers a person names: ``tensorboard,mlflow:experiment=depth``.

    Raises:
        UnknownName: If there is no such tracker; UnknownOption: if an option does not fit.
        TrackerError: If one is named twice, or its package is not installed.

    Example:
        >>> chosen("")
        []
    """
    trackers = [TRACKERS.parse(word) for word in text.split(",") if word.strip()]
    for place, tracker in enumerate(trackers):
        name = TRACKERS.name_of(tracker)
        if any(type(other) is type(tracker) for other in trackers[:place]):
            raise TrackerError(f"The tracker {name!r} is named twice. Every point would be, too: name it once.")
        if importlib.util.find_spec(tracker.package) is None:
            raise TrackerError(
                f"The tracker {name!r} needs the package {tracker.package}, which is not installed. "
                f"pip install 'rarefy[{name}]' adds it."
            )
    return trackers


def _flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{above}{name}.") if isinstance(value, Mapping) and value else {above + name: value}
    return flat
