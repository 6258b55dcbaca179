"""Finds the folder of a finished run, and explains why a folder is not one."""

from __future__ import annotations

import difflib
from pathlib import Path

from rarefy import records
from rarefy.errors import MissingFile
from rarefy.paths import RunPaths, find_run_folders, find_unfinished_folders
from rarefy.pipeline._folder import RunError
from rarefy.pipeline._published import list_published

_SHOWN = 5  # runs that a message names


def find_run(run: Path | str) -> RunPaths:
    """Finds the files of a finished run.

    Args:
        run: The run's folder, the ``record.json`` in it, or the name of a published network.

    Raises:
        MissingFile: If there is no such folder, or it holds no weights.
        RunError: If it is not the folder of one finished run; says what it is instead.

    Example:
        >>> find_run("nowhere")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        rarefy.errors.MissingFile: There is no run 'nowhere'. Name a run's folder (`rarefy runs` lists them) or a ...
    """
    folder = Path(run)
    if not folder.exists():
        folder = _find_published(str(run))
    paths = RunPaths(folder.parent if folder.name == RunPaths(folder).record.name else folder)
    if not paths.record.is_file():
        raise RunError(_explain_missing_record(paths.folder))
    if not paths.model.is_file():
        raise MissingFile(
            f"{paths.folder} has a record but no {paths.model.name}: its weights are missing. Copy the file there, or "
            "train the run again in another place.",
            path=paths.model,
        )
    return paths


def _find_published(name: str) -> Path:
    """Finds the folder of a published network; raises MissingFile with the nearest names."""
    published = list_published()
    if name not in published:
        known = difflib.get_close_matches(name, published, n=_SHOWN, cutoff=0.4) or list(published)[:_SHOWN]
        raise MissingFile(
            f"There is no run {name!r}. Name a run's folder (`rarefy runs` lists them) or a published network, such as "
            f"{', '.join(known)}.",
            path=Path(name),
        )
    return published[name]


def _explain_missing_record(folder: Path) -> str:
    if folder.is_file():
        return f"{folder} is a file, not the folder of a run. Name the folder that holds the run's record.json."
    if runs := find_run_folders(folder):
        shown = ", ".join(map(str, runs[:_SHOWN])) + (", ..." if len(runs) > _SHOWN else "")
        return f"{folder} holds {len(runs)} finished run(s), but is not one itself. Name one of them: {shown}."
    if RunPaths(folder).config.is_file():
        epochs = len(records.read_history(RunPaths(folder).history))
        return f"The run {folder} is not finished: {epochs} epoch(s) are done. Give its command again; it goes on."
    if unfinished := find_unfinished_folders(folder):
        return f"{folder} holds no finished run; {unfinished[0]} has begun. Wait for it, or give its command again."
    return f"{folder} is not the folder of a run: it has no record.json. Name another; `rarefy runs` lists them."
