from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rarefy.reports import EvaluatedRun

Show = Callable[..., Any]


def test_numbers(runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]) -> None:
    found = runs[2].record["metrics"]["test"]["flow"]
    found["gradient_norm"]["final"]["total"] = 0.4375
    found["dead_units"] = {"units": 688, "dead": 172, "fraction": 0.25}
    rows = show(runs).table("Gradient norm, effective density")
    assert rows[0] == ["run", "norm, initial", "norm, final", "density", "effective density", "dead units"]
    assert rows[3] == ["erk 0.1, seed 17", "2.5", "0.4375", "0.1", "0.09998", "25.00% of 688"]
    written = sheet("flow")[2]
    assert [float(written[name]) for name in ("gradient_norm_final", "dead_units")] == [0.4375, 0.25]


def test_gradient_norm_over_epochs(runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]) -> None:
    for run in runs:
        run.record["history"] = [{"epoch": at, "gradient_norm_kept": 10.0**-at} for at in (1, 2, 3)]
    del runs[1].record["history"][1]["gradient_norm_kept"]
    runs[2].record["history"] = [{"epoch": 1}]
    page = show(runs)
    assert "dense, seed 17, epoch 2: 0.01" in page.tips
    assert "Not recorded by epoch for erk 0.1, seed 17; rarefy train --diagnostics does." in page.text
    rows = [(row["id"], row["epoch"], float(row["gradient_norm_kept"])) for row in sheet("gradient_norm")]
    assert rows[:5] == [
        *(("beef00000017", "1", 0.1), ("beef00000017", "2", 0.01), ("beef00000017", "3", 0.001)),
        *(("beef00000018", "1", 0.1), ("beef00000018", "3", 0.001)),
    ]
    (plot,) = [plot for plot in page.plots if plot["layout"]["xaxis"]["title"]["text"] == "epoch"]
    assert plot["layout"]["yaxis"]["type"] == "log"
    assert (plot["data"][0]["x"], plot["data"][0]["y"]) == ([1, 2, 3], [0.1, 0.01, 0.001])


def test_gradient_norm_by_layer(runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]) -> None:
    norms = runs[0].record["metrics"]["test"]["flow"]["gradient_norm"]
    norms["initial"]["layers"] = {"fc1.weight": 3.0, "fc2.weight": 4.0}
    norms["final"]["layers"] = {"fc1.weight": 0.0, "fc2.weight": 0.5}
    page = show(runs[:1])
    rows = page.table("Gradient norm by layer")
    assert rows[1:] == [["fc1.weight", "dense", "3", "0"], ["fc2.weight", "dense", "4", "0.5"]]
    assert [(row["initial"], row["final"]) for row in sheet("gradient_norm_by_layer")] == [
        ("3.0", "0.0"),
        ("4.0", "0.5"),
    ]
    initial, final = next(
        plot["data"] for plot in page.plots if plot["layout"]["xaxis"]["title"]["text"] == "gradient norm"
    )
    assert (initial["x"], final["x"]) == ([3.0, 4.0], [0.5]), "0 has no place on a logarithmic axis"
    assert (initial["marker"]["symbol"], final["marker"]["symbol"]) == ("circle-open", "circle")


def test_extras_if_they_were_asked_for(runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]) -> None:
    flow = runs[0].record["metrics"]["test"]["flow"]
    flow |= {"hessian": {"eigenvalue": 12.5}, "landscape": {"at": [-1.0, 0.0, 1.0], "loss": [2.0, 0.5, 1.5]}}
    page = show(runs)
    assert page.table("Gradient norm, effective density")[1][-1] == "12.5"
    assert "Loss landscape" in page.text
    assert [(row["at"], row["loss"]) for row in sheet("landscape")] == [("-1.0", "2.0"), ("0.0", "0.5"), ("1.0", "1.5")]
    flow["landscape"]["loss"] = [1.0] * 9
    assert "Loss landscape" not in show(runs).text, "a plane is not drawn"
