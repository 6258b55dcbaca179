"""Curves of the learning rate: means over seeds, the best rate, and what is left out."""

from __future__ import annotations

import math

import pytest

from rarefy.reports import RateCurve, RunGroup, Study, build_rate_figure
from rarefy.reports.pages import Figures
from rarefy.reports.study.rates import build_section

# Validation losses of two seeds. Best rates by hand: 0.2 dense, 0.2 with supar, 0.8 without.
LOSSES = {
    ("dense", 1.0): {0.1: (1.2, 1.4), 0.2: (1.0, 1.2), 0.4: (1.4, None)},
    ("ERK", 0.1): {0.2: (2.0, 2.2), 0.4: (1.4, 1.4), 0.8: (1.1, 1.3)},
    ("ERK supar", 0.1): {0.1: (1.3, 1.3), 0.2: (1.1, 1.1), 0.4: (9.0, 9.0)},
}


def make_study(losses=LOSSES) -> Study:
    groups = [
        RunGroup(
            f"{method} {density} {lr}", f"net on digits lr={lr}", method, "digits", "net", across_rates="net on digits",
            lr=lr, allocation="dense" if method == "dense" else "erk", density=density, dense=method == "dense",
            records=tuple({"config": {"seed": seed}, "history": [{"validation_loss": 5.0}, {"validation_loss": loss}],
                           "metrics": {}} for seed, loss in enumerate(values)),
        )
        for (method, density), rates in losses.items()
        for lr, values in rates.items()
    ]  # fmt: skip
    return Study(tuple(groups), ())


def test_one_figure_per_method_each_with_the_dense_network():
    figures = build_section(make_study()).figures
    assert [[series.label for series in figure.series] for figure in figures] == [
        ["dense", "ERK, 10%"],
        ["dense", "ERK supar, 10%"],
    ]
    dense, erk = figures[0].series
    assert (erk.x, erk.y) == ((0.2, 0.4, 0.8), pytest.approx((2.1, 1.4, 1.2)))
    assert dense.x == (0.1, 0.2), "at 0.4 a seed diverged"
    assert figures[1].series[1].x == (0.1, 0.2), "9 is too far above the least loss"
    assert figures[0].y.span == figures[1].y.span
    assert len({series.style for figure in figures for series in figure.series}) == 3


def test_the_csv_has_every_seed_also_what_is_not_drawn():
    sheet = build_section(make_study()).figures[1].sheet
    rows = [tuple(row) for row in sheet.rows]
    assert ("ERK supar, 10%", 0.4, 9.0) in rows and ("dense", 0.4, None) in rows
    assert len(rows) == 2 * 6


def test_the_table_has_the_best_rates_beside_those_of_the_dense_network():
    [table] = build_section(make_study()).tables
    rows = {str(row[0]): row[1:] for row in table.rows}
    assert {name: (row[1], row[2]) for name, row in rows.items()} == {
        "dense": (0.2, None), "ERK": (0.8, "highest tried"), "ERK supar": (0.2, None),
    }  # fmt: skip
    assert [rows[name][4] for name in rows] == pytest.approx([1, 4, 1])
    assert rows["ERK"][5][0] == pytest.approx(2.1), "its loss at 0.2, the dense network's best rate"
    # t of 1 degree of freedom: 12.706 * 0.1414 / sqrt(2)
    assert rows["dense"][3] == pytest.approx((1.1, 1.1 - 1.2706, 1.1 + 1.2706), abs=1e-3)


def test_two_rates_are_no_curve():
    few = {("dense", 1.0): {0.1: (1.0,), 0.2: (1.1,)}}
    assert build_section(make_study(few)).blocks == []


def test_a_curve_far_above_the_others_is_in_the_csv_only():
    curves = [
        RateCurve(name, style, {0.1: [loss]}) for style, (name, loss) in enumerate({"low": 1.0, "high": 9.0}.items())
    ]
    figure = build_rate_figure("rates", "Rates", curves)
    assert [series.label for series in figure.series] == ["low"] and figure.alt
    assert [row[0] for row in figure.sheet.rows] == ["low", "high"]


def test_densities_of_a_method_share_its_colour():
    losses = {("ERK", density): {0.1: (1.0,), 0.2: (0.9,), 0.4: (1.0,)} for density in (0.1, 0.5)}
    [figure] = [
        f for block in build_section(make_study(losses)).blocks if isinstance(block, Figures) for f in block.figures
    ]
    one, other = figure.series
    assert [one.label, other.label] == ["ERK, 50%", "ERK, 10%"]
    assert one.style != other.style and one.style % 10 == other.style % 10


def test_a_curve_has_a_band_from_three_seeds_on():
    def draw(seeds: int):
        curve = RateCurve("dense", -1, {rate: [1.0 + rate + seed for seed in range(seeds)] for rate in (0.1, 0.2)})
        return build_rate_figure("rates", "Rates", [curve]).series[0]

    assert draw(2).low == ()
    # mean 2.1, deviation 1, t of 2 degrees of freedom 4.302653
    assert (draw(3).low[0], draw(3).high[0]) == pytest.approx(
        (2.1 - 4.302653 / math.sqrt(3), 2.1 + 4.302653 / math.sqrt(3))
    )
