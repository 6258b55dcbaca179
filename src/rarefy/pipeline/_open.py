"""The beginning of a run: its record is found, or its folder is claimed and written into."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from rarefy import records
from rarefy.config import dump
from rarefy.paths import RunPaths, replacing
from rarefy.pipeline._folder import LOG, FolderLost, claimed, logging_to
from rarefy.pipeline._resolve import ResolvedConfig
from rarefy.pipeline._same_data import require_same_data


def find_record(paths: RunPaths, fingerprint: str | None) -> records.Record | None:
    """Reads the run's record, if there is one that is not damaged; raises OtherData if it is of other data."""
    if not paths.record.is_file():
        return None
    try:
        record = records.read(paths.record)
    except records.RecordDamaged:
        return None
    require_same_data(paths.folder, record.fingerprint, fingerprint)
    return record


def open_run(
    place: contextlib.ExitStack, paths: RunPaths, resolved: ResolvedConfig, fingerprint: str | None
) -> records.Record | None:
    """Claims the run's folder until `place` closes and writes down what will be run, unless it has been run meanwhile.

    A record that is damaged is set aside. A folder that was made here goes again if training does not begin.
    """
    made = [folder for folder in (paths.folder, *paths.folder.parents) if not folder.exists()]
    place.enter_context(claimed(paths))
    if made:
        place.enter_context(_discard_unbegun(paths, made))
    place.enter_context(logging_to(paths.log))
    if done := find_record(paths, fingerprint):
        return done
    if paths.record.is_file():
        paths.record.replace(paths.damaged_record)
        LOG.warning("The record was damaged; it is %s now, and a new one is made.", paths.damaged_record.name)
    with replacing(paths.config) as partial:
        partial.write_text(dump(resolved.config))
    return None


@contextlib.contextmanager
def _discard_unbegun(paths: RunPaths, made: list[Path]) -> Iterator[None]:
    """Removes the run's folder, and those made for it, if an error comes before the first step: nothing is lost."""
    try:
        yield
    except FolderLost:  # what is there now is another's
        raise
    except BaseException:
        if not paths.history.exists():
            shutil.rmtree(paths.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # another run is in it
                for folder in made[1:]:
                    folder.rmdir()
        raise
