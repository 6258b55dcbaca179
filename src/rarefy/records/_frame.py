"""Records as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rarefy.errors import InvalidInput
from rarefy.installation import import_extra
from rarefy.paths import find_run_folders
from rarefy.records._fields import Field
from rarefy.records._record import check_folders, read_all
from rarefy.records._schema import Record

if TYPE_CHECKING:
    import pandas

_FIRST = {
    "model": "config.model.name",
    "data": "config.data.name",
    "allocation": "config.allocation.name",
    "topology": "config.topology.name",
    "density": "density",
    "kept": "params.kept",
    "seed": "config.seed",
    "epochs": "config.training.epochs",
    "accuracy": "metrics.test.accuracy",
    "loss": "metrics.test.loss",
    "disk": "files.model.safetensors",
    "folder": "folder",
}
_LISTS = {"epochs": "history", "layers": "layers"}


def frame(*folders: Path | str, rows: str = "runs") -> pandas.DataFrame:
    """Reads all records below some folders into a DataFrame.

    Args:
        folders: Folders of runs; default: ``runs``. A run that is in several of them is read once.
        rows: What a row is: ``"runs"``; ``"epochs"`` of the runs' histories; or ``"layers"``.

    Returns:
        Of runs: one row per run, under its id; first the columns `model`, `data`, `allocation`, `topology`, `density`
        (counted), `kept`, `seed`, `epochs`, `accuracy` and `loss` (of the test split), `disk` (bytes) and `folder`,
        then every other value of the record under its dotted path (``config.training.lr``). Of epochs and layers: one
        row for each, under the run's id and the epoch or the layer's name. Fractions are in [0, 1].

    Raises:
        RecordError: If a folder does not exist, or no record can be read.
        InvalidInput: If `rows` is something else.
        MissingPackage: If pandas is not installed.

    Example:
        >>> import tempfile
        >>> import rarefy
        >>> runs = rarefy.frame(tempfile.mkdtemp())
        >>> len(runs), list(runs.columns[:3])
        (0, ['model', 'data', 'allocation'])
    """
    if rows != "runs" and rows not in _LISTS:
        raise InvalidInput(
            f"rows={rows!r} is not known; it is one of 'runs', 'epochs' and 'layers'.", name="rows", value=rows
        )
    pd = import_extra("pandas", "pandas", needed_by="rarefy.frame")
    roots = [Path(folder) for folder in folders or ("runs",)]
    check_folders(roots)
    records = _read_once(folder for root in roots for folder in find_run_folders(root))
    if rows == "runs":
        return _frame_runs(pd, records)
    entries = [{"id": record["id"], **entry} for record in records for entry in record[_LISTS[rows]]]
    index = ["id", "epoch" if rows == "epochs" else "name"]
    return pd.DataFrame(entries, columns=None if entries else index).set_index(index)


def _read_once(folders: Iterable[Path]) -> list[dict[str, Any]]:
    """Reads records as plain values with their folders; leaves out copies of a record."""
    records: dict[str, list[tuple[Record, Path]]] = {}
    for folder, record in read_all(folders):
        alike = records.setdefault(record.id, [])
        if all(record != other for other, _ in alike):
            alike.append((record, folder))
    pairs = [pair for alike in records.values() for pair in alike]
    return [record.model_dump(mode="json") | {"folder": str(folder)} for record, folder in pairs]


def _frame_runs(pd: Any, records: list[dict[str, Any]]) -> pandas.DataFrame:
    cells = [[Field(name, path).read(record) for name, path in _FIRST.items()] for record in records]
    apart = {"id", *_FIRST, *_LISTS.values()}
    rest = [{name: value for name, value in record.items() if name not in apart} for record in records]
    runs: pandas.DataFrame = pd.concat([pd.DataFrame(cells, columns=list(_FIRST)), pd.json_normalize(rest)], axis=1)
    runs.index = pd.Index([record["id"] for record in records], name="id")
    return runs
