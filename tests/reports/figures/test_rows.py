"""Axes that hold their numbers, and figures of rows and of confusion matrices, as data and as drawn."""

from __future__ import annotations

import re

import hypothesis
import pytest
from hypothesis import strategies

from rarefy.reports.figures import (
    Axis,
    Figure,
    Mark,
    Sheet,
    build_confusion_figure,
    build_plotly,
    build_row_figure,
    choose_log_ticks,
    draw_files,
    fit_axis,
)

NUMBERS = strategies.floats(-1e9, 1e9).map(lambda value: round(value, 9))
SHEET = Sheet("sheet", ["name"], [["a"]])


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0.3, 4, [0.5, 1, 2]), (0.02, 30, [0.1, 1, 10]), (1e-9, 1e9, [1e-9, 1e-5, 1e-1, 1e3, 1e7])],
)
def test_ticks_of_a_logarithmic_axis(low: float, high: float, wanted: list[float]) -> None:
    assert choose_log_ticks(low, high) == pytest.approx(wanted)


@hypothesis.given(strategies.lists(NUMBERS, max_size=4), strategies.booleans(), strategies.booleans())
def test_an_axis_holds_its_numbers(values: list[float], log: bool, zero: bool) -> None:
    axis = fit_axis("", "", values, log=log, zero=zero)
    assert axis.span is not None
    low, high = axis.span
    assert low < high
    assert all(low <= value <= high for value in values if value > 0 or not log)
    assert zero <= (log or low <= 0 <= high)
    assert all(low * (1 - 1e-6) <= tick <= high * (1 + 1e-6) for tick in axis.ticks)
    assert len(axis.ticks) <= 8


def rows(names: list[str], styles: tuple[int, ...], **options: object) -> Figure:
    marks = [Mark(row, 0.5, style, f"s{style}", "tip", **options) for row in range(len(names)) for style in styles]  # type: ignore[arg-type]
    return build_row_figure("f", "Title", names, marks, Axis("", "x"), caption="", description="alt", sheet=SHEET)


def test_styles_have_lanes_of_their_own_in_a_row() -> None:
    first, second = rows(["a", "b"], (3, -1)).series
    assert first.y == pytest.approx((-0.2, 0.8))
    assert second.y == pytest.approx((0.2, 1.2))


def test_rows_make_a_figure_taller() -> None:
    assert rows(["a"] * 100, (0,)).height > 1200 > rows(["a"] * 20, (0, 1, 2, 3)).height


def test_intervals_of_rows_go_along_the_axis_of_values() -> None:
    figure = rows(["a"], (0,), interval=(0.4, 0.7))
    (trace,) = build_plotly(figure)["data"]
    assert (trace["error_x"]["array"], trace["error_x"]["arrayminus"]) == ([0.2], [0.1])
    assert next(figure.rows())[2:] == (0.5, "a", 0.4, 0.7)


def test_long_names_keep_both_ends() -> None:
    ticks = rows(["short", "features.denseblock3.denselayer12.conv2", "x" * 99], (0,)).y.texts
    assert ticks[:2] == ("short", "features.den…ayer12.conv2")
    assert len(ticks[2]) <= 26


@pytest.mark.parametrize("kind", ["dots", "hollow", "bars", "ticks"])
def test_every_kind_is_valid_for_plotly_and_drawn_by_matplotlib(kind: str) -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects")
    figure = rows(["a", "b"], (0, 1), kind=kind)
    graph_objects.Figure(build_plotly(figure))  # refuses a name or a value that Plotly does not know
    assert {"#0072b2", "#d55e00"} <= set(re.findall(r"#[0-9a-f]{6}", draw_files(figure, ("svg",))["svg"].decode()))


def test_a_confusion_matrix_has_its_counts_in_both_drawings() -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects")
    figure = build_confusion_figure("c", "C", [[8, 2], [0, 0]], ["cat", "dog"], description="alt", sheet=SHEET)
    plot = build_plotly(figure)
    graph_objects.Figure(plot)
    correct, mistakes = plot["data"]
    assert (correct["z"], correct["text"]) == ([0.8, 0.0], ["8", ""])
    assert (mistakes["x"], mistakes["y"], mistakes["text"]) == ([1.0, 0.0], [0.0, 1.0], ["2", ""])
    assert mistakes["z"] == pytest.approx([0.2**0.5, 0.0], abs=1e-5)
    assert correct["hovertext"] == ["cat predicted as cat: 8 of 10", "dog predicted as dog: 0 of 0"]
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", draw_files(figure, ("svg",))["svg"].decode())
    assert {"8", "2", "cat", "dog"} <= set(texts)
