"""Reads finished runs from their folders, with all their settings."""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rarefy import records
from rarefy.config import Config, ConfigError, flatten_settings
from rarefy.errors import RarefyError
from rarefy.paths import find_run_folders
from rarefy.registry import normalize_name

_LOG = logging.getLogger("rarefy")
NEVER_MOVED = " (never moved)"


class CompareError(RarefyError, ValueError):
    """Runs cannot be compared; the message says which, why, and what to do."""


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """The record of a finished run, and its folder."""

    folder: Path
    record: records.Record

    @property
    def id(self) -> str:
        """Id of the run."""
        return self.record.id

    @property
    def seed(self) -> int:
        """Root seed of the run."""
        return int(self.settings["seed"])

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """Values by dotted name; settings that an older record lacks have their defaults.

        A topology whose masks never moved is marked, because its results are those of a fixed mask.
        """
        try:
            values = flatten_settings(Config.from_values(self.record.config).model_dump(mode="json"))
        except ConfigError as error:
            raise CompareError(f"The config in the record of {self.folder} cannot be understood: {error}") from None
        if normalize_name(values["topology.name"]) != "static" and not has_moved(self.record):
            values["topology.name"] += NEVER_MOVED
        return values


def has_moved(record: records.Record) -> bool:
    """Whether masks ever moved: then the weights kept at any time outnumber those kept at once.

    Args:
        record: The record of a run.

    Returns:
        Whether the masks of the tested epoch differ from the initial ones; True if an older record does not say, or if
        every weight is kept although a lower density was asked for: such a topology goes through dense phases.
    """
    rates = {epoch.epoch: epoch.exploration_rate for epoch in record.history}
    explored = rates.get(record.selected_epoch)
    is_fixed = explored is not None and math.isclose(explored, record.density, rel_tol=1e-12)
    return not is_fixed or (record.density == 1 and record.config.get("density", 1) < 1)


def read_runs(paths: Sequence[Path], progress: Callable[[float], None] = lambda share: None) -> list[FinishedRun]:
    """Reads the finished runs in folders, each once; logs and skips records that cannot be read.

    Args:
        paths: Folders of runs, or folders that hold such folders.
        progress: Called with the fraction read.
    Raises:
        CompareError: If a folder does not exist or has no finished run, or the same run has two different records.
        RecordError: If no record can be read; the message names the first.

    Example:
        >>> read_runs([])
        []
    """
    errors: list[CompareError] = []
    runs: dict[tuple[str, str | None], FinishedRun] = {}
    folders = [folder for path in paths for folder in _find_runs(path)]
    for number, (folder, record) in enumerate(records.read_all(folders)):
        progress(number / len(folders))
        run = FinishedRun(folder, record)
        try:
            run.settings.keys()
        except CompareError as error:
            errors.append(error)
            continue
        known = runs.setdefault((run.id, record.fingerprint), run)
        if known.record != run.record:
            raise CompareError(
                f"{known.folder} and {folder} are the same run, {run.id}, with records that differ. A run counts once: "
                "name only the one that you want."
            )
    if errors and not runs:
        raise errors[0]
    for skipped in errors:
        _LOG.warning("Left out: %s", skipped)
    return list(runs.values())


def _find_runs(path: Path) -> list[Path]:
    if not path.is_dir():
        raise CompareError(f"There is no folder {path}. Give folders of runs, or folders that hold them: runs/")
    folders = find_run_folders(path)
    if not folders:
        raise CompareError(
            f"There is no finished run in {path}. A finished run has a record.json; `rarefy train --out {path}` makes "
            "one, and continues one that was interrupted."
        )
    return folders
