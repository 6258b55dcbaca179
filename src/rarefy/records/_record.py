"""Reads and writes records."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import pydantic

from rarefy.documents import DocumentError, parse_json, read_json, read_text
from rarefy.errors import RarefyError
from rarefy.paths import find_run_folders, replace_file
from rarefy.records._schema import SCHEMA_VERSION, Epoch, Record

_LOG = logging.getLogger("rarefy")
_RETRAIN = "Give the run's command again: it sets the file aside and continues from the last checkpoint."


class RecordError(RarefyError, ValueError):
    """A record cannot be read; the message names the file and what is wrong with it."""


class RecordDamaged(RecordError):
    """A record is damaged; the run's command, given again, continues the training and writes it again."""


def write(record: Record, path: Path) -> Record:
    """Writes the record as JSON to `path`, atomically.

    Raises:
        ValueError: If a number is not finite, which JSON cannot hold.
    """
    text = json.dumps(record.model_dump(mode="python"), indent=1, allow_nan=False)
    with replace_file(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
    return record


def read(path: Path) -> Record:
    """Reads a record.

    Args:
        path: A ``record.json``, or the folder of a run.

    Raises:
        RecordError: If there is no record, it is damaged, or a newer version wrote it.

    Example:
        >>> read(Path("nowhere"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        rarefy.records._record.RecordError: There is no record at nowhere. ...
    """
    file = path / "record.json" if path.is_dir() else path
    if not file.is_file():
        raise RecordError(f"There is no record at {path}. A finished run leaves one: <out>/<id>/record.json.")
    try:
        values = read_json(file)
    except DocumentError as error:
        raise RecordDamaged(f"{file} is damaged: {error.fault}. {_RETRAIN}") from None
    version = values.get("schema_version") if isinstance(values, dict) else None
    if type(version) is not int or version < 1:
        raise RecordDamaged(f"{file} is damaged: its schema version is {version!r}, not 1 or more. {_RETRAIN}")
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{file} has schema version {version!r}; this rarefy reads up to {SCHEMA_VERSION}. Upgrade rarefy."
        )
    try:
        return Record.model_validate(values)
    except pydantic.ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:3])
        raise RecordDamaged(f"{file} does not follow the schema: {problems}. {_RETRAIN}") from None


def read_history(path: Path) -> list[Epoch]:
    """Reads the epochs of a ``history.jsonl``, up to the first line that is incomplete or not an epoch.

    Example:
        >>> read_history(Path("nowhere.jsonl"))
        []
    """
    epochs: list[Epoch] = []
    try:
        for line in read_text(path).splitlines() if path.is_file() else ():
            epochs.append(Epoch.model_validate(parse_json(line, str(path))))
    except (DocumentError, pydantic.ValidationError):
        pass  # an interrupted run continues from its checkpoint and writes the file again
    return epochs


def read_all(folders: Iterable[Path]) -> Iterator[tuple[Path, Record]]:
    """Reads records one by one; logs and leaves out those that cannot be read.

    Args:
        folders: Folders of runs.

    Yields:
        Each folder and its record.

    Raises:
        RecordError: If there are folders but no record can be read; the error of the first.

    Example:
        >>> list(read_all([]))
        []
    """
    faults: list[RecordError] = []
    count = 0
    for folder in folders:
        try:
            record = read(folder)
        except RecordError as error:
            faults.append(error)
            continue
        count += 1
        yield folder, record
    if faults and not count:
        raise faults[0]
    for fault in faults:
        _LOG.warning("Left out: %s", fault)


def check_folders(folders: Iterable[Path]) -> None:
    """Raises RecordError if one of the folders does not exist."""
    for folder in folders:
        if not folder.is_dir():
            raise RecordError(
                f"There is no folder {folder}. Give the folder that `rarefy train --out` wrote to (default: runs)."
            )


def find(*roots: Path) -> list[Record]:
    """Reads all records below some folders in the order of their folders' names, as `read_all` does.

    Raises:
        RecordError: If a folder does not exist, or no record can be read.

    Example:
        >>> import tempfile
        >>> find(Path(tempfile.mkdtemp()))
        []
    """
    check_folders(roots)
    return [record for _, record in read_all(folder for root in roots for folder in find_run_folders(root))]
