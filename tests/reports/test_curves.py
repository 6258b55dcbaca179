from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread

from rarefy.reports.curves import Curves, describe_run, draw_curves

Make = Callable[..., dict[str, Any]]


def panels(record: dict[str, Any]) -> dict[str, Axes]:
    return dict(zip(("loss", "accuracy", "layers"), draw_curves(record).axes, strict=True))


def lines(panel: Axes) -> dict[str, list[list[float]]]:
    return {str(line.get_label()): [list(xy) for xy in np.asarray(line.get_xydata())] for line in panel.lines}


def texts(panel: Axes) -> list[str]:
    return [text.get_text() for text in panel.texts]


def test_lines_are_the_history(record: dict[str, Any]) -> None:
    drawn = panels(record)
    assert lines(drawn["loss"]) == {
        "train": [[1, 4], [2, 2], [3, 4 / 3], [4, 1]],
        "validation": [[1, 5], [2, 2.5], [3, 5 / 3], [4, 1.25]],
    }
    assert lines(drawn["accuracy"]) == {
        "train": [[1, 10], [2, 20], [3, 30], [4, 40]],
        "validation": [[1, 5], [2, 10], [3, 15], [4, 20]],
        "test: 62.50%": [[4, 62.5]],
    }


def test_the_test_accuracy_stands_at_the_epoch_that_was_tested(record: dict[str, Any]) -> None:
    assert lines(panels(record | {"selected_epoch": 2})["accuracy"])["test: 62.50%"] == [[2, 62.5]]


def test_accuracy_is_in_percent(record: dict[str, Any]) -> None:
    panel = panels(record)["accuracy"]
    assert panel.get_ylim()[0] == 0
    assert panel.get_ylabel() == "accuracy, %"


def test_bars_are_the_layers(record: dict[str, Any]) -> None:
    panel = panels(record)["layers"]
    assert [bar.get_height() for bar in panel.patches] == [10, 20, 30]
    assert texts(panel) == ["10", "20", "30"]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["0", "1", "2"]
    assert "3 layers" in panel.get_title()
    assert "20% of all" in panel.get_title()


@pytest.mark.parametrize(("layers", "first", "last"), [(1, 0, 0), (60, 0, 59), (112, 0, 111), (200, 0, 199)])
def test_labels_stay_readable(layers: int, first: int, last: int, make_record: Make) -> None:
    ticks = panels(make_record(layers=layers))["layers"].get_xticks()
    assert (ticks[0], ticks[-1]) == (first, last)
    assert len(ticks) in (layers, -(-layers // 2))
    assert len({int(gap) for gap in np.diff(ticks)[:-1]}) <= 1


def test_no_validation(record: dict[str, Any]) -> None:
    for epoch in record["history"]:
        del epoch["validation_loss"]
        epoch["validation_accuracy"] = None
    drawn = panels(record)
    assert list(lines(drawn["loss"])) == ["train"]
    assert list(lines(drawn["accuracy"])) == ["train", "test: 62.50%"]


def test_one_epoch_is_visible_as_a_point(make_record: Make) -> None:
    line = panels(make_record(epochs=1))["loss"].lines[0]
    assert line.get_marker() not in ("", "None")
    assert line.get_markersize() > 0


def test_no_history_says_so(make_record: Make) -> None:
    drawn = panels(make_record(epochs=0) | {"metrics": {}})
    assert texts(drawn["loss"]) == texts(drawn["accuracy"]) == ["no epoch was recorded"]


def test_numbers_that_are_not_finite_are_left_out(record: dict[str, Any]) -> None:
    record["history"][1]["train_loss"] = float("nan")
    record["history"][2]["train_loss"] = float("inf")
    assert lines(panels(record)["loss"])["train"] == [[1, 4], [4, 1]]


def test_title_says_what_was_run(record: dict[str, Any]) -> None:
    record["config"] |= {"allocation": {"name": "erk"}, "topology": {"name": "static"}}
    assert describe_run(record) == (
        "MLP 64 on digits, ERK, seed 17 (run 3f2a9c1b77de)\ndensity 20%: 384 of 1,920 weights kept"
    )
    assert draw_curves(record).get_suptitle() == describe_run(record)


def test_picture_is_a_picture_and_leaves_settings_alone(record: dict[str, Any]) -> None:
    before = dict(matplotlib.rcParams)
    image = imread(io.BytesIO(Curves()(record)["curves.png"]))
    assert image.shape[:2] == (900, 1320)
    assert image[..., :3].std() > 0.05
    assert dict(matplotlib.rcParams) == before
