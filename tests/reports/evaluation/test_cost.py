from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rarefy.reports import EvaluatedRun

Show = Callable[..., Any]


def test_a_row_a_quantity(runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]) -> None:
    found = runs[2].record["metrics"]["test"]["cost"]
    found["flops"] |= {"dense": 81_700_000, "kept": 16_340_000}
    found["latency"]["128"] = {"seconds": 0.0456, "engine": "cpu"}
    table = show(runs).table("Cost (FLOPs: 2 per multiply-add)")
    assert table[0] == ["quantity", *(f"{name}, seed {seed}" for name in ("dense", "erk 0.1") for seed in (17, 18))]
    rows = {row[0]: row[3] for row in table}
    assert rows == {
        "quantity": "erk 0.1, seed 17",
        "parameters of the dense network": "272,474",
        "prunable weights": "270,896",
        "prunable weights kept": "27,090",
        "FLOPs per image, dense": "81.7 M",
        "FLOPs per image, kept": "16.3 M",
        "training FLOPs per image and step, dense": "221 M",
        "training FLOPs per image and step, kept": "22.1 M",
        "model file": "131 kB",
        "model file, dense": "1.1 MB",
        "latency of 1 image": "3.21 ms (masked)",
        "latency of 128 images": "45.6 ms (cpu)",
        "peak memory of 1 image": "655 kB",
        "peak memory of 128 images": "83.9 MB",
        "threads": "2",
    }
    written = {row["quantity"]: row["value"] for row in sheet("cost") if row["id"] == "dead00000017"}
    assert (written["flops.kept"], written["latency.128"], written["bytes.model"]) == ("16340000", "0.0456", "131072")


def test_flops_by_layer(runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]) -> None:
    rows = show(runs).table("FLOPs per image by layer")
    assert rows[-1] == ["fc.weight", "900 k", "900 k", "900 k", "90 k", "90 k"]
    assert len(rows) == 1 + 20
    written = [row for row in sheet("flops") if (row["id"], row["layer"]) == ("dead00000017", "fc.weight")]
    assert [(row["dense"], row["kept"]) for row in written] == [("900000", "90000")]


def test_flops_alone(runs: list[EvaluatedRun], show: Show) -> None:
    runs[0].record["metrics"]["test"]["cost"] = {"flops": {"dense": 1000, "kept": 250}}
    rows = show(runs[:1]).table("Cost")
    assert rows[1:] == [["FLOPs per image, dense", "1 k"], ["FLOPs per image, kept", "250"]]
