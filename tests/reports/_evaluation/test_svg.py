from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies

from rarefy.reports._evaluation._blocks import Figure, arranged
from rarefy.reports._evaluation._rows import Mark, cut, row_figure
from rarefy.reports._evaluation._svg import Axis, Panel, spanning

NUMBERS = strategies.floats(-1e9, 1e9).map(lambda value: round(value, 9))


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.68, 0.93, [0.7, 0.75, 0.8, 0.85, 0.9]), (1, 160, [50, 100, 150])],
)
def test_ticks_are_round(low: float, high: float, wanted: list[float]) -> None:
    assert Axis("", low, high).ticks() == wanted


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0.3, 4, [0.5, 1, 2]), (0.02, 30, [0.1, 1, 10]), (1e-9, 1e9, [1e-9, 1e-5, 1e-1, 1e3, 1e7])],
)
def test_ticks_of_a_logarithmic_axis(low: float, high: float, wanted: list[float]) -> None:
    assert Axis("", low, high, log=True).ticks() == pytest.approx(wanted)


@hypothesis.given(strategies.lists(NUMBERS, max_size=4), strategies.booleans(), strategies.booleans())
def test_an_axis_holds_what_it_spans(values: list[float], log: bool, zero: bool) -> None:
    axis = spanning("", values, log=log, zero=zero)
    held = [value for value in values if value > 0 or not log]
    assert all(0 <= axis(value) <= 1 for value in held)
    assert axis.low < axis.high
    assert zero <= (log or axis.low <= 0 <= axis.high)
    assert all(-1e-6 <= axis(tick) <= 1 + 1e-6 for tick in axis.ticks())
    assert len(axis.ticks()) <= 8


def test_places() -> None:
    panel = Panel(Axis("x", 0, 10), Axis("y", 1, 100, log=True))
    assert panel.at((0, 1)) == (52, 230)
    assert panel.at((10, 100)) == pytest.approx((340, 10))
    assert panel.at((5, 10)) == pytest.approx((196, 120))


def test_one_point_is_visible() -> None:
    panel = Panel(Axis("x", 0, 10), Axis("y", 0, 1))
    panel.line([(5, 0.5)], 0, "alone")
    assert '<circle class="d g0" cx="196" cy="120" r="3"><title>alone</title></circle>' in panel.svg("one point")


def test_groups_differ_in_more_than_colour() -> None:
    panel = Panel(Axis("x", 0, 1), Axis("y", 0, 1))
    for group in range(28):
        panel.line([(0, 0), (1, 1)], group, "")
    looks = [(part.split('"')[0], "dasharray" in part and part.split('dasharray="')[1].split('"')[0])
             for part in panel.svg("").split('<polyline class="s ')[1:]]  # fmt: skip
    assert len(set(looks)) == 28


def rows(names: list[str], groups: tuple[int, ...]) -> Figure:
    marks = [Mark(row, 0.5, group, "") for row in range(len(names)) for group in groups]
    return row_figure("title", names, marks, Axis("", 0, 1), alt="alt", caption="caption", sheet="sheet")


def test_groups_of_a_row_do_not_overlap() -> None:
    svg = rows(["a", "b"], (3, 8)).svg
    assert [float(part.split('cy="')[1].split('"')[0]) for part in svg.split("<circle")[1:]] == [11, 20, 34, 43]
    assert float(svg.split('viewBox="0 0 460 ')[1].split('"')[0]) == 4 + 2 * 23 + 36


def test_what_is_longer_than_a_screen_is_folded() -> None:
    short, tall = rows(["a"] * 20, (0, 1, 2, 3)), rows(["a"] * 100, (0,))
    assert [block.kind for block in arranged([tall, short])] == ["figures", "fold"]
    assert arranged([]) == []


def test_long_names_keep_both_ends() -> None:
    assert cut("short") == "short"
    assert cut("features.denseblock3.denselayer12.conv2") == "features.den…ayer12.conv2"
    assert len(cut("x" * 99)) <= 26
