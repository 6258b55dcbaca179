"""The protocol of a report, the registry, and the verb that writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rarefy.errors import RarefyError
from rarefy.paths import replace_file
from rarefy.registry import Registry


class ReportError(RarefyError, ValueError):
    """Records that cannot be reported; the message says which and why."""


class Report(Protocol):
    """One kind of report: a pure function of a record; `render` writes the files."""

    def __call__(self, record: Mapping[str, Any]) -> dict[str, bytes]:
        """Returns file name to content; `record` is the JSON object of a ``record.json``."""
        ...


REPORTS: Registry[Report] = Registry("report", "reports")

_NEEDED = ("id", "config", "density", "params", "layers", "history", "metrics")


def render(records: Sequence[Mapping[str, Any]], out: Path) -> list[Path]:
    """Writes every report of every record: of a single record into `out`, of several into ``out/<id>``.

    Each file is complete or not there: it is written under another name and renamed. Files of the same name are
    replaced.

    Args:
        records: JSON objects as in ``record.json``.
        out: The folder to write to, created if it does not exist; for one record the run's own folder.

    Returns:
        The files written, record by record, by report's name.

    Raises:
        ReportError: If there are no records, two have the same id, or one lacks what a report needs.

    Example:
        >>> import tempfile
        >>> layer = {"name": "fc.weight", "shape": [10, 64], "kept": 64, "density": 0.1}
        >>> epoch = {"epoch": 1, "train_loss": 1.5, "train_accuracy": 0.5}
        >>> record = {"id": "3f2a", "density": 0.1, "params": {"total": 640, "kept": 64}, "layers": [layer],
        ...     "config": {"data": {"name": "digits"}, "model": {"name": "mlp"}, "seed": 17}, "history": [epoch],
        ...     "metrics": {"test": {"accuracy": 0.6}}}
        >>> [path.name for path in render([record], Path(tempfile.mkdtemp()))]
        ['curves.png', 'curves.csv', 'layers.csv']
    """
    _check_records(records)
    written = []
    for record in records:
        folder = out if len(records) == 1 else out / str(record["id"])
        contents = [
            REPORTS.build(name)(record) for name in REPORTS.names()
        ]  # all reports of a record before any is written
        for file, content in (item for files in contents for item in files.items()):
            with replace_file(folder / file) as partial:
                partial.write_bytes(content)
            written.append(folder / file)
    return written


def _check_records(records: Sequence[Mapping[str, Any]]) -> None:
    if not records:
        raise ReportError("There are no records to report. Train first, or name a folder that holds a record.json.")
    for record in records:
        missing = [key for key in _NEEDED if key not in record]
        if missing:
            name = record.get("id", "without an id")
            raise ReportError(f"The record {name} has no {', '.join(missing)}. A report needs {', '.join(_NEEDED)}.")
    ids = [str(record["id"]) for record in records]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise ReportError(f"More than one record has the id {', '.join(twice)}; each is reported once: give it once.")
