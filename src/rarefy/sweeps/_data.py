"""Whether the runs of a sweep that are done are of the data that the others would be trained on."""

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
    """Compares the fingerprint of each run that is done with that of its data; each data set is read once.

    Args:
        statuses: As `survey` finds them.
        data_dir: Where data sets are looked for.
        is_remote: Whether runs are trained on other machines: data that are missing here may be there.

    Raises:
        OtherData: If a run was trained on other data.
        MissingData: If data are not there.

    Example:
        >>> check_data([], Path("data"))
    """
    found: dict[str, str | None] = {}
    for status in (status for status in statuses if status.fingerprint):
        settings = json.dumps(status.run.config.data.model_dump(mode="json"), sort_keys=True)
        try:
            if settings not in found:
                found[settings] = fingerprint_data(status.run.config, data_dir)
        except MissingData:
            if not is_remote:
                raise
            _LOG.warning("The data of runs that are done are not on this machine, and so were not compared.")
            return
        require_same_data(status.paths.folder, status.fingerprint, found[settings])
