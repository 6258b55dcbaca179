from __future__ import annotations

import csv
from collections.abc import Callable
from typing import Any

from rarefy.reports.tables import Tables


def rows(content: bytes) -> list[list[str]]:
    return list(csv.reader(content.decode().splitlines()))


def test_layers_by_hand(record: dict[str, Any]) -> None:
    assert rows(Tables()(record)["layers.csv"]) == [
        ["name", "shape", "total", "kept", "density"],
        ["0.weight", "10x64", "640", "64", "0.1"],
        ["1.weight", "10x64", "640", "128", "0.2"],
        ["2.weight", "10x64", "640", "192", "0.3"],
    ]


def test_curves_by_hand(record: dict[str, Any]) -> None:
    del record["history"][1]["validation_loss"]
    record["history"][3]["grown"] = 7
    header, first, second, _, fourth = rows(Tables()(record)["curves.csv"])
    assert header == [
        *("epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy", "lr", "seconds", "grown"),
    ]
    assert first == ["1", "4.0", "0.1", "5.0", "0.05", "0.1", "1.5", ""]
    assert second == ["2", "2.0", "0.2", "", "0.1", "0.1", "1.5", ""]
    assert fourth[-1] == "7"


def test_a_name_with_a_comma_comes_back(record: dict[str, Any]) -> None:
    record["layers"][0]["name"] = 'odd, "name"'
    assert rows(Tables()(record)["layers.csv"])[1][0] == 'odd, "name"'


def test_nothing_recorded_is_a_header(make_record: Callable[..., dict[str, Any]]) -> None:
    files = Tables()(make_record(layers=0, epochs=0))
    assert files["curves.csv"] == b"epoch\n"
    assert rows(files["layers.csv"]) == [["name", "shape", "total", "kept", "density"]]
