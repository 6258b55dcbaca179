"""Panels, series and tables of accuracy, against the study's numbers by hand."""

from __future__ import annotations

import dataclasses

import pytest

from rarefy.reports import SeedSummary
from rarefy.reports.pages import Figures, Fold, Table
from rarefy.reports.study.accuracy import build_section, build_wide_table, group_by_size


def figures(study):
    return {
        figure.name: figure
        for block in build_section(study).walk()
        if isinstance(block, Figures)
        for figure in block.figures
    }


def test_a_panel_a_network_in_the_order_of_depth(study):
    headings = [block.heading for block in build_section(study).blocks if isinstance(block, Figures)]
    assert headings == ["By depth: cifar_resnet, width 16, cifar10"]
    assert [figure.title for figure in figures(study).values()] == [
        "Accuracy: cifar_resnet_20_16 on cifar10",
        "Accuracy: cifar_resnet_56_16 on cifar10",
    ]


def test_a_line_a_method_with_a_band_of_one_deviation_and_dense_across(study):
    small = figures(study)["accuracy-cifar_resnet_20_16-on-cifar10"]
    dense, erk, uniform, *_ = small.series
    assert (dense.kind, dense.y, dense.low, dense.high) == ("level", (0.92,), (0.91,), (0.93,))
    assert (erk.label, erk.x, erk.y) == ("erk", (0.5, 0.1), (0.90, 0.88))
    assert erk.low == pytest.approx((0.89, 0.87))
    assert erk.high == pytest.approx((0.91, 0.89))
    assert uniform.x == (0.1,)
    assert erk.tips[1] == "erk, density 10% (sparsity 90%): 88.00 ± 1.00%, 3 seeds"


def test_published_numbers_are_hollow_and_say_where_they_are_from(study):
    *_, dense, erk = figures(study)["accuracy-cifar_resnet_20_16-on-cifar10"].series
    assert (dense.kind, dense.x, dense.y) == ("hollow", (1.0,), (0.9237,))
    assert dense.tips == ("dense, published: 92.37% ± 0.22%. Liu; certainty: figure",)
    assert (erk.kind, erk.x, erk.y) == ("hollow", (0.1,), (0.8779,))
    assert erk.tips == ("erk, density 10% (sparsity 90%), published: 87.79%. Liu; certainty: ±0.03; hidden",)
    large = figures(study)["accuracy-cifar_resnet_56_16-on-cifar10"]
    assert [one.kind for one in large.series] == ["level", "line"], "nobody published this network"


def test_a_method_has_one_style_in_every_figure(study):
    styles = {
        (one.label, one.style) for figure in figures(study).values() for one in figure.series if one.kind != "hollow"
    }
    assert styles == {("dense", -1), ("erk", 0), ("uniform", 1)}


def test_the_axis_reads_like_the_paper_s(study):
    x = figures(study)["accuracy-cifar_resnet_20_16-on-cifar10"].x
    assert (x.log, x.reverse, x.ticks) == (True, True, (1.0, 0.5, 0.1))


def test_bands_begin_at_three_seeds(study):
    summary = SeedSummary((0.89, 0.91), 0.9, 0.0141)
    groups = tuple(dataclasses.replace(group, numbers={"accuracy": summary}) for group in study.groups)
    for figure in figures(dataclasses.replace(study, groups=groups)).values():
        assert all(one.low == () for one in figure.series)
        assert "deviation" not in figure.caption
    assert all("deviation" in figure.caption for figure in figures(study).values())


def test_a_single_density_has_a_bar_and_several_have_a_band(study):
    _, erk, uniform, *_ = figures(study)["accuracy-cifar_resnet_20_16-on-cifar10"].series
    assert (erk.has_bars, uniform.has_bars) == (False, True)
    assert uniform.low == pytest.approx((0.86,))


def test_panels_share_their_axes(study):
    small, large = figures(study).values()
    assert small.y == large.y
    assert small.x == large.x
    assert small.y.span[0] < 0.86
    assert small.y.span[1] > 0.94


def test_networks_without_sizes_are_shown_too(study):
    groups = tuple(dataclasses.replace(group, depth=None, width=None, family="") for group in study.groups)
    section = build_section(dataclasses.replace(study, groups=groups))
    assert [block.heading for block in section.blocks if isinstance(block, Figures)] == ["Networks"]


def test_width_is_a_series_of_its_own(study):
    wider = tuple(dataclasses.replace(c, depth=20, width={20: 16, 56: 24}[c.depth]) for c in study.groups)
    found = group_by_size(dataclasses.replace(study, groups=wider), "width")
    assert {heading: list(sizes) for heading, sizes in found.items()} == {
        "By width: cifar_resnet, depth 20, cifar10": [16, 24]
    }
    assert group_by_size(dataclasses.replace(study, groups=wider), "depth") == {}


def test_a_table_a_panel_and_one_of_all(study):
    table = build_wide_table(study, study.networks["cifar_resnet_20_16 on cifar10"], "accuracy")
    assert [column.head for column in table.columns] == ["method", "dense", "50%", "10%"]
    assert [[str(cell) for cell in row] for row in table.texts] == [
        ["erk", "92.00 ± 2.48", "90.00 ± 2.48", "88.00 ± 2.48"],
        ["uniform", "92.00 ± 2.48", "–", "87.00 ± 2.48"],  # noqa: RUF001
    ]
    *_, fold, note = build_section(study).blocks
    assert note.text.startswith("Of 3 published numbers 2 are of networks that were run here")
    assert isinstance(fold, Fold)
    (sheet,) = fold.blocks
    assert isinstance(sheet, Table)
    assert len(sheet.rows) == 7
    assert [str(cell) for cell in sheet.texts[0]] == [
        "cifar_resnet_20_16 on cifar10", "dense", "100%", "3", "92.00 ± 2.48", "1.00", "91.00 to 93.00",
    ]  # fmt: skip


def test_a_network_has_the_same_axes_by_depth_and_by_width(study):
    """It is drawn once, whatever row it stands in."""
    wider = tuple(
        dataclasses.replace(c, name=f"{c.name}w", network=f"{c.network} wide", width=32) for c in study.groups
    )
    drawn = [f for f in build_section(dataclasses.replace(study, groups=(*study.groups, *wider))).figures]
    assert len(drawn) == 2 * len({figure.name for figure in drawn}) == 8
    assert all(one == other for one in drawn for other in drawn if one.name == other.name)
