"""Published numbers, read from CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
from collections.abc import Mapping
from pathlib import Path

from rarefy.documents import DocumentError, read_text
from rarefy.installation import find_shipped_file
from rarefy.registry import normalize_name
from rarefy.reports._render import ReportError

NEEDED = ("model", "data", "allocation", "topology", "density", "metric", "value")
_MOST = 16 * 2**20  # bytes
COLUMNS = (*NEEDED, "std", "certainty", "source", "note")


@dataclasses.dataclass(frozen=True)
class PublishedResult:
    """A published number.

    Args:
        model: Name of the model.
        data: Name of the data set.
        allocation: Name of the rule, or ``dense``.
        topology: Name of the topology.
        density: Fraction of weights kept.
        metric: Dotted name, as in the record's ``metrics.test``.
        value: In the record's unit: accuracies are fractions.
        std: Its standard deviation; None: not given.
        certainty: How certain the number is.
        source: Its source.
        note: Anything else.
        title: Name of its method in figures; empty: allocation and topology.

    Example:
        >>> PublishedResult("cifar_resnet_20_16", "cifar10", "erk", "set", 0.1, "accuracy", 0.87).method
        'erk set'
    """

    model: str
    data: str
    allocation: str
    topology: str
    density: float
    metric: str
    value: float
    std: float | None = None
    certainty: str = ""
    source: str = ""
    note: str = ""
    title: str = ""

    @property
    def dense(self) -> bool:
        """Whether it is of a dense network."""
        return self.allocation == "dense"

    @property
    def method(self) -> str:
        """Its title, else allocation and topology, as in `RunGroup.method`."""
        return self.title or self.style_name

    @property
    def style_name(self) -> str:
        """Allocation and topology, by which `assign_styles` chooses a colour."""
        return self.allocation if self.topology == "static" else f"{self.allocation} {self.topology}"


def read_published(path: Path) -> list[PublishedResult]:
    """Reads published numbers from a CSV file with the columns of `PublishedResult`; rows without a value are left out.

    ``published`` is the file of the paper's numbers that comes with rarefy.

    Raises:
        ReportError: If there is no such file, a column is missing, or a value is not allowed; the line is named.

    Example:
        >>> read_published(Path("nowhere.csv"))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        rarefy.reports._render.ReportError: There is no file nowhere.csv. ...
    """
    file = find_shipped_file(path, "experiments", ".csv")
    if not file.is_file():
        raise ReportError(f"There is no file {path}. Published numbers are CSV with the columns {', '.join(COLUMNS)}.")
    try:
        rows = csv.DictReader(io.StringIO(read_text(file, most=_MOST), newline=""), strict=True)
        missing = [name for name in NEEDED if name not in (rows.fieldnames or ())]
        if missing:
            raise ReportError(f"{path} has no column {', '.join(missing)}. It needs {', '.join(NEEDED)}.")
        return [_parse_row(row, f"{path}, line {rows.line_num}") for row in rows if (row["value"] or "").strip()]
    except DocumentError as error:
        raise ReportError(f"{error} Published numbers are CSV in UTF-8.") from None
    except csv.Error as error:
        raise ReportError(f"{path}, line {rows.line_num}: {error}. Published numbers are CSV.") from None


def _parse_row(row: Mapping[str, str | None], where: str) -> PublishedResult:
    texts = {name: (row.get(name) or "").strip() for name in COLUMNS}
    allocation, topology = (_normalize_name(texts[name]) for name in ("allocation", "topology"))
    density = 1.0 if allocation == "dense" else _parse_number(texts["density"], "density", where)
    value = _parse_number(texts["value"], "value", where)
    if not 0 < density <= 1:
        raise ReportError(f"{where}: the density {density:g} is not in (0, 1]. It is the fraction of weights kept.")
    if texts["metric"] == "accuracy" and not 0 <= value <= 1:
        raise ReportError(f"{where}: the accuracy {value:g} is not in [0, 1]. Accuracies are fractions: 0.9193.")
    std = _parse_number(texts["std"], "std", where) if texts["std"] else None
    names = {name: texts[name] for name in ("model", "data", "metric", "certainty", "source", "note")}
    numbers = {"density": density, "value": value, "std": std}
    return PublishedResult(allocation=allocation, topology=topology or "static", **names, **numbers)  # type: ignore[arg-type]


def _normalize_name(text: str) -> str:
    return "dense" if normalize_name(text) == "dense" else text.lower()


def _parse_number(text: str, name: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ReportError(f"{where}: the {name} cannot be {text!r}; it is a number.")
    return value
