"""Checks that the finished runs of a sweep were trained on the data that the others would use."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path

from rarefy.data import MissingData
from rarefy.pipeline import fingerprint_data, require_same_data
from rarefy.sweeps._status import Status

_LOG = logging.getLogger("rarefy")


def check_data(statuses: Sequence[Status], data_dir: Path, *, is_remote: bool = False) -> None:
    """Compares the fingerprint of each finished run with its data set; each data set is read once.

    Args:
        statuses: What `read_statuses` returned.
        data_dir: Folder of the data sets.
        is_remote: Whether runs are trained on other machines, which may have data that this one lacks.

    Raises:
        OtherData: If a run was trained on other data.
        MissingData: If a data set is missing.

    Example:
        >>> check_data([], Path("data"))
    """
    fingerprints: dict[str, str | None] = {}
    for status in (status for status in statuses if status.fingerprint):
        settings = json.dumps(status.run.config.data.model_dump(mode="json"), sort_keys=True)
        try:
            if settings not in fingerprints:
                fingerprints[settings] = fingerprint_data(status.run.config, data_dir)
        except MissingData:
            if not is_remote:
                raise
            _LOG.warning("The data of the finished runs are not on this machine, so they were not compared.")
            return
        require_same_data(status.paths.folder, status.fingerprint, fingerprints[settings])
