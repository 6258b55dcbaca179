"""Finished runs as they are compared: read from their folders, with the settings that they really had."""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rarefy import records
from rarefy.config import Config, ConfigError
from rarefy.errors import RarefyError
from rarefy.paths import run_folders
from rarefy.registry import key

_LOG = logging.getLogger("rarefy")
NEVER_MOVED = " (never moved)"


class CompareError(RarefyError, ValueError):
    """Runs that cannot be compared; the message says which, why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run and where it was found."""

    folder: Path
    record: records.Record

    @property
    def id(self) -> str:
        """The run's id."""
        return self.record.id

    @property
    def seed(self) -> int:
        """Its root seed."""
        return int(self.settings["seed"])

    @functools.cached_property
    def settings(self) -> dict[str, Any]:
        """Dotted place to value; an older record's missing settings are the defaults.

        A topology that did nothing is named so, for its results are those of a fixed mask.
        """
        try:
            values = flat(Config.from_values(self.record.config).model_dump(mode="json"))
        except ConfigError as error:
            raise CompareError(f"The config in the record of {self.folder} cannot be understood: {error}") from None
        if key(values["topology.name"]) != "static" and not has_moved(self.record):
            values["topology.name"] += NEVER_MOVED
        return values


def has_moved(record: records.Record) -> bool:
    """Tells whether masks ever moved: then more weights were kept at some time than at the end, or fewer are now.

    Args:
        record: A run's.

    Returns:
        Whether the masks of the tested epoch are not those of the start; True where an older record does not say.
    """
    rates = {epoch.epoch: epoch.exploration_rate for epoch in record.history}
    explored = rates.get(record.selected_epoch)
    return explored is None or not math.isclose(explored, record.density, rel_tol=1e-12)


def read_runs(paths: Sequence[Path], progress: Callable[[float], None] = lambda share: None) -> list[Run]:
    """Reads the runs in some folders, each run once; a record that cannot be read is named in the log and left out.

    Args:
        paths: Folders of runs, or folders that hold such folders.
        progress: Told the share of them that is read.
    Raises:
        CompareError: If a folder is not there or holds no finished run, or one id has two records that differ though
            they are of the same data.
        RecordError: If no record can be read; the message names the first.

    Example:
        >>> read_runs([])
        []
    """
    faults: list[CompareError] = []
    found: dict[tuple[str, str | None], Run] = {}
    folders = [folder for path in paths for folder in _folders(path)]
    for number, (folder, record) in enumerate(records.read_all(folders)):
        progress(number / len(folders))
        run = Run(folder, record)
        try:
            run.settings.keys()
        except CompareError as error:
            faults.append(error)
            continue
        known = found.setdefault((run.id, record.fingerprint), run)
        if known.record != run.record:
            raise CompareError(
                f"{known.folder} and {folder} are the same run, {run.id}, with records that differ. A run counts once: "
                "give the one that you want."
            )
    if faults and not found:
        raise faults[0]
    for fault in faults:
        _LOG.warning("Left out: %s", fault)
    return list(found.values())


def _folders(path: Path) -> list[Path]:
    if not path.is_dir():
        raise CompareError(f"There is no folder {path}. Give folders of runs, or folders that hold them: runs/")
    folders = run_folders(path)
    if not folders:
        raise CompareError(
            f"There is no finished run in {path}. A finished run has a record.json; `rarefy train --out {path}` makes "
            "one, and continues one that was interrupted."
        )
    return folders


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested settings by dotted place."""
    places: dict[str, Any] = {}
    for name, value in values.items():
        places |= flat(value, f"{above}{name}.") if isinstance(value, dict) and value else {above + name: value}
    return places
