"""The gap to dense: differences by hand, Welch's intervals as they were judged."""

from __future__ import annotations

import dataclasses

import pytest

from rarefy.reports.pages import Figures, Table
from rarefy.reports.study.gap import build_section


def figures(study):
    return [figure for block in build_section(study).walk() if isinstance(block, Figures) for figure in block.figures]


def test_differences_by_depth_the_sparsest_first(study):
    sparse, medium = figures(study)
    assert sparse.title == "Gap to dense at density 10% (sparsity 90%)"
    dense, erk, uniform = sparse.series
    assert (dense.kind, dense.y) == ("level", (0.0,))
    assert erk.x == (20, 56)
    assert erk.y == pytest.approx((-0.04, -0.01))
    assert erk.low == pytest.approx((-0.06, -0.03))
    assert erk.high == pytest.approx((-0.02, 0.01))
    assert erk.tips == ("erk, depth 20: -4.00 points", "erk, depth 56: -1.00 points")
    assert uniform.x == (20,)
    assert medium.series[1].y == pytest.approx((-0.02, -0.005))


def test_the_table_says_difference_and_half_interval(study):
    (table,) = (block for block in build_section(study).walk() if isinstance(block, Table))
    assert [[str(cell) for cell in row] for row in table.texts] == [
        ["erk", "10%", "-4.00 ± 2.00", "-1.00 ± 2.00"],
        ["uniform", "10%", "-5.00 ± 2.00", "–"],  # noqa: RUF001
        ["erk", "50%", "-2.00 ± 2.00", "-0.50 ± 2.00"],
    ]


def test_without_verdicts_there_are_no_bands(study):
    for figure in figures(dataclasses.replace(study, verdicts=())):
        assert all(one.low == () for one in figure.series)


def test_an_interval_against_another_baseline_is_not_taken(study):
    (judged,) = study.verdicts
    rows = tuple({**row, "baseline": "erk 0.5"} for row in judged.rows)
    other = dataclasses.replace(study, verdicts=(dataclasses.replace(judged, rows=rows),))
    assert figures(other)[0].series[1].low == ()


def test_no_dense_network_no_gap(study):
    groups = tuple(group for group in study.groups if not group.dense)
    assert build_section(dataclasses.replace(study, groups=groups)).blocks == []
