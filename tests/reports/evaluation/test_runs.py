from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rarefy.reports import EvaluatedRun

Show = Callable[..., Any]


def test_a_row_a_run(runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]) -> None:
    test = runs[2].record["metrics"]["test"]
    test |= {"accuracy": 0.80251, "accuracy_interval": [0.7946, 0.8102]}
    rows = show(runs).table("What was run")
    columns = ["data", "model", "method", "density", "weights kept", "seed", "epochs", "test accuracy"]
    assert rows[0] == ["run", *columns]
    assert rows[3] == [
        *("erk 0.1, seed 17", "CIFAR-10", "ResNet-20", "ERK", "10%", "27,090 of 270,896", "17", "10"),
        "80.25% [79.5, 81.0]",
    ]
    found = sheet("runs")[2]
    assert (found["name"], found["id"], found["kept"], found["density"]) == ("erk 0.1", "dead00000017", "27090", "0.1")
    assert [float(found[name]) for name in ("accuracy", "accuracy_low", "accuracy_high")] == [0.80251, 0.7946, 0.8102]


def test_at_a_glance_is_the_mean_over_runs_of_a_name(runs: list[EvaluatedRun], show: Show) -> None:
    for run, accuracy, auroc in zip(runs, (0.80, 0.81, 0.70, 0.70), (0.9, 0.8, 0.6, 0.6), strict=True):
        test = run.record["metrics"]["test"]
        test["accuracy"] = accuracy
        test["ood"] = {name: test["ood"][name] for name in ("svhn", "cifar100")}
        test["ood"]["svhn"]["scores"]["max_softmax"]["auroc"] = auroc
        test["ood"]["cifar100"]["scores"]["max_softmax"]["auroc"] = auroc + 0.1
    rows = {row[0]: row[1:] for row in show(runs).table("At a glance")}
    assert rows[""] == ["dense", "erk 0.1"]
    assert rows["accuracy"] == ["80.50% (80.00 … 81.00)", "70.00%"]
    assert rows["OoD AUROC, maximum softmax"] == ["90.00% (85.00 … 95.00)", "65.00%"]
    assert rows["robust: fgsm"] == ["12.00%", "14.70%"]
    assert rows["mean corruption error"] == ["34.00%", "35.80%"]
    assert rows["FLOPs kept, of dense"] == ["100.00%", "10.00%"]


def test_every_run_s_own_numbers_are_in_the_sheet(
    runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]
) -> None:
    show(runs)
    for row, run in zip(sheet("glance"), runs, strict=True):
        test = run.record["metrics"]["test"]
        assert float(row["accuracy"]) == test["accuracy"]
        assert float(row["ECE"]) == test["calibration"]["before"]["ece"]
        assert float(row["robust: pgd"]) == test["attacks"]["pgd"]["robust"]
        assert float(row["mean corruption error"]) == test["corruptions"]["mean_error"]
        aurocs = [source["scores"]["max_softmax"]["auroc"] for source in test["ood"].values()]
        assert float(row["OoD AUROC, maximum softmax"]) == pytest.approx(sum(aurocs) / 4)


def test_only_what_any_run_has(runs: list[EvaluatedRun], show: Show) -> None:
    for run in runs:
        run.record["metrics"]["test"] = {"accuracy": 0.5, "loss": 1.5}
    assert [row[0] for row in show(runs).table("At a glance")] == ["", "accuracy", "NLL"]
