"""The numbers of a run as CSV."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from rarefy.reports._render import REPORTS
from rarefy.reports.pages import format_csv


@REPORTS.register("tables")
@dataclasses.dataclass(frozen=True)
class Tables:
    """``curves.csv``, one row per epoch with all that was recorded, and ``layers.csv``, one row per layer.

    Fractions are in [0, 1], times in seconds, as in the record.

    Example:
        >>> record = {"history": [{"epoch": 1, "train_loss": 2.5}, {"epoch": 2, "train_loss": 1.5, "lr": 0.1}],
        ...     "layers": [{"name": "fc.weight", "shape": [10, 64], "kept": 64, "density": 0.1}]}
        >>> files = Tables()(record)
        >>> print(files["curves.csv"].decode())
        epoch,train_loss,lr
        1,2.5,
        2,1.5,0.1
        <BLANKLINE>
        >>> print(files["layers.csv"].decode())
        name,shape,total,kept,density
        fc.weight,10x64,640,64,0.1
        <BLANKLINE>
    """

    def __call__(self, record: Mapping[str, Any]) -> dict[str, bytes]:
        """Makes the two files of a record."""
        history = record["history"]
        columns = list(dict.fromkeys(key for epoch in history for key in epoch)) or ["epoch"]
        curves = format_csv(columns, ([epoch.get(column) for column in columns] for epoch in history))
        layers = format_csv(["name", "shape", "total", "kept", "density"], map(_format_layer, record["layers"]))
        return {"curves.csv": curves.encode(), "layers.csv": layers.encode()}


def _format_layer(layer: Mapping[str, Any]) -> list[Any]:
    shape = "x".join(map(str, layer["shape"]))
    return [layer["name"], shape, math.prod(layer["shape"]), layer["kept"], layer["density"]]
