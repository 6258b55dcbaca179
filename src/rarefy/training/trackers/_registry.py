"""Tracker protocol, registry and parsing of tracker names."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol

from rarefy.config import flatten_settings
from rarefy.errors import RarefyError
from rarefy.installation import format_install_command
from rarefy.registry import Registry


class TrackerError(RarefyError, ValueError):
    """A tracker that cannot be used; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class TrackedRun:
    """Id, folder and config of a tracked run.

    Args:
        id: The run's id; a tracker keeps one run for it, however often the training is resumed.
        folder: The run's folder.
        config: The resolved config, nested.

    Example:
        >>> TrackedRun("3f2a9c1b77de", Path("runs/3f2a9c1b77de"), {"training": {"lr": 0.1}}).flatten_config()
        {'training.lr': 0.1}
    """

    id: str
    folder: Path
    config: Mapping[str, Any]

    def flatten_config(self) -> dict[str, Any]:
        """Returns the config as a mapping from dotted path to value."""
        return flatten_settings(self.config)


class Session(Protocol):
    """An open run of a tracker."""

    done: int
    """Epochs that the tracker already has from earlier sessions; they are not logged again."""

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Writes one epoch's numbers."""

    def result(self, epoch: int, scores: Mapping[str, float]) -> None:
        """Writes the run's final numbers unless the tracker has them."""

    def close(self, *, finished: bool) -> None:
        """Ends the session; an unfinished run may be opened again."""


class Tracker(Protocol):
    """Opens runs in a tracking system."""

    package: ClassVar[str]
    """The package that it needs; the extra with the tracker's name installs it."""

    def open(self, run: TrackedRun) -> Session:
        """Opens a new or an existing run; the session continues where its last one ended."""


TRACKERS: Registry[Tracker] = Registry("tracker", "trackers")


def parse_trackers(text: str) -> list[Tracker]:
    """Parses names and options: ``tensorboard,mlflow:experiment=depth``.

    Raises:
        UnknownName: If a tracker is unknown; UnknownOption: if an option is.
        TrackerError: If one is named twice, or its package is not installed.

    Example:
        >>> parse_trackers("")
        []
    """
    trackers = [TRACKERS.parse(word) for word in text.split(",") if word.strip()]
    for index, tracker in enumerate(trackers):
        name = TRACKERS.name_of(tracker)
        if any(type(other) is type(tracker) for other in trackers[:index]):
            raise TrackerError(f"The tracker {name!r} is named twice and would log every point twice: name it once.")
        if importlib.util.find_spec(tracker.package) is None:
            raise TrackerError(
                f"The tracker {name!r} needs the package {tracker.package}, which is not installed. "
                f"{format_install_command(name)} adds it."
            )
    return trackers
