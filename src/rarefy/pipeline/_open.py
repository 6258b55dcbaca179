"""Opens a run: finds its record, or claims its folder and writes the config."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from rarefy import records
from rarefy.config import dump_config
from rarefy.paths import RunPaths, replace_file
from rarefy.pipeline._folder import LOG, FolderLost, claim_folder, log_to_file
from rarefy.pipeline._resolve import ResolvedConfig
from rarefy.pipeline._same_data import require_same_data


def find_record(paths: RunPaths, fingerprint: str | None) -> records.Record | None:
    """Reads the run's record, if it is there and intact; raises OtherData if it belongs to other data."""
    if not paths.record.is_file():
        return None
    try:
        record = records.read(paths.record)
    except records.RecordDamaged:
        return None
    require_same_data(paths.folder, record.fingerprint, fingerprint)
    return record


def open_run(
    stack: contextlib.ExitStack, paths: RunPaths, resolved: ResolvedConfig, fingerprint: str | None
) -> records.Record | None:
    """Claims the run's folder until `stack` closes and writes the config, unless another process has finished the run.

    A damaged record is set aside. A folder created here is removed again if training does not start.
    """
    created = [folder for folder in (paths.folder, *paths.folder.parents) if not folder.exists()]
    stack.enter_context(claim_folder(paths))
    if created:
        stack.enter_context(_remove_unless_started(paths, created))
    stack.enter_context(log_to_file(paths.log))
    if done := find_record(paths, fingerprint):
        return done
    if paths.record.is_file():
        paths.record.replace(paths.damaged_record)
        LOG.warning("The record was damaged; it is %s now, and a new one is made.", paths.damaged_record.name)
    with replace_file(paths.config) as partial:
        partial.write_text(dump_config(resolved.config), encoding="utf-8")
    return None


@contextlib.contextmanager
def _remove_unless_started(paths: RunPaths, created: list[Path]) -> Iterator[None]:
    """Context that removes the run's folder, and those created for it, if an error comes before the first step."""
    try:
        yield
    except FolderLost:  # what is there now belongs to another process
        raise
    except BaseException:
        if not paths.history.exists():
            shutil.rmtree(paths.folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # not empty: another run is in it
                for folder in created[1:]:
                    folder.rmdir()
        raise
