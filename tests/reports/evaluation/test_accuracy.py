from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rarefy.reports import EvaluatedRun

Show = Callable[..., Any]


def test_totals(runs: list[EvaluatedRun], show: Show) -> None:
    runs[0].record["metrics"]["test"] |= {"accuracy": 0.8, "accuracy_interval": [0.79, 0.81], "top5": 0.991}
    rows = show(runs).table("Accuracy on the test images")
    assert rows[1] == ["dense, seed 17", "10,000", "80.00% [79.0, 81.0]", "99.10%"]


def test_classes_are_drawn_and_written_as_recorded(
    runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]
) -> None:
    found = runs[0].record["metrics"]["test"]["per_class"]
    found["images"][3], found["accuracy"][3], found["interval"][3] = 0, None, None
    page = show(runs)
    cats = [row for row in sheet("per_class") if row["class"] == "cat"]
    assert [row["accuracy"] for row in cats[:1]] == [""]
    recorded = runs[3].record["metrics"]["test"]["per_class"]
    low, high = recorded["interval"][3]
    wanted = {"images": "1000", "accuracy": str(recorded["accuracy"][3]), "low": str(low), "high": str(high)}
    assert cats[3] == {"name": "erk 0.1", "id": "dead00000018", "class": "cat", **wanted}
    assert "".join(page.tips).count("class cat:") == 3, "three of four runs have cats"


def test_the_confusion_matrix_is_the_recorded_one(
    runs: list[EvaluatedRun], show: Show, sheet: Callable[..., Any]
) -> None:
    matrix = runs[0].record["metrics"]["test"]["confusion"]
    matrix[0] = [990, 0, 7, 0, 0, 0, 3, 0, 0, 0]
    page = show(runs[:1])
    written = {(row["class"], row["taken_for"]): int(row["images"]) for row in sheet("confusion")}
    assert sum(written.values()) == sum(map(sum, matrix))
    assert {pair: count for pair, count in written.items() if pair[0] == "airplane"} == {
        ("airplane", "airplane"): 990,
        ("airplane", "bird"): 7,
        ("airplane", "frog"): 3,
    }
    assert "airplane predicted as bird: 7 of 1000" in page.tips
    correct, mistakes = page.traces("cells")
    assert (len(correct["z"]), len(mistakes["z"])) == (10, 90)
    assert all(x == y for x, y in zip(correct["x"], correct["y"], strict=True))
    assert (correct["z"][0], correct["text"][0]) == (0.99, "990")
    assert (mistakes["x"][1], mistakes["y"][1], mistakes["text"][1]) == (2, 0, "7")


def test_the_most_frequent_mistakes_come_first(runs: list[EvaluatedRun], show: Show) -> None:
    runs[0].record["metrics"]["test"]["confusion"] = [[8, 2, 0], [5, 5, 0], [1, 2, 7]]
    del runs[0].record["metrics"]["test"]["per_class"], runs[0].record["metrics"]["test"]["class_names"]
    rows = show(runs[:1]).table("The 10 most frequent mistakes")
    assert rows[1:] == [
        ["dense", "1", "0", "5", "50.0%"],
        ["dense", "0", "1", "2", "20.0%"],
        ["dense", "2", "1", "2", "20.0%"],
        ["dense", "2", "0", "1", "10.0%"],
    ]


def test_a_hundred_classes_are_a_table_of_mistakes(runs: list[EvaluatedRun], show: Show) -> None:
    test = runs[0].record["metrics"]["test"]
    test["confusion"] = [
        [9 if row == column else int(column == row + 1) for column in range(100)] for row in range(100)
    ]
    test["per_class"] = {"images": [10] * 100, "accuracy": [0.9] * 100, "interval": [[0.8, 1.0]] * 100}
    page = show(runs[:1])
    assert page.traces("cells") == []
    assert page.table("The 10 most frequent mistakes")[1] == ["dense", "0", "1", "1", "10.0%"]
    assert "dense, class 99: 90.00% [80.0, 100.0]" in page.tips


def test_the_caption_speaks_of_an_axis_without_0_only_over_one(
    runs: list[EvaluatedRun], show: Callable[..., Any]
) -> None:
    said = "The axis does not begin at 0."
    assert said in show(runs).text
    runs[0].record["metrics"]["test"]["per_class"] |= {"accuracy": [0.0] * 10, "interval": [[0.0, 0.01]] * 10}
    assert said not in show(runs).text
