"""Layer densities: means over seeds, layers that keep nothing left out."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from rarefy.reports.pages import Figures
from rarefy.reports.study.layers import build_section


def figures(study):
    return [figure for block in build_section(study).walk() if isinstance(block, Figures) for figure in block.figures]


def test_a_figure_a_network_with_a_line_a_method_and_all_densities_in_its_csv(study):
    found = {figure.name: figure for figure in figures(study)}
    assert list(found) == [
        "layers-cifar_resnet_20_16-on-cifar10",
        "layers-cifar_resnet_56_16-on-cifar10",
    ]
    first = found["layers-cifar_resnet_20_16-on-cifar10"]
    assert [one.label for one in first.series] == ["erk", "uniform"]
    assert first.x.texts == ("conv1", "fc")
    assert first.series[0].y == pytest.approx((0.1, 0.1))
    tenth = pytest.approx(0.1)
    assert [row[1:] for row in first.sheet.rows] == [
        *(["erk", 0.5, "conv1.weight", 0.5], ["erk", 0.5, "fc.weight", 0.5]),
        *(["erk", 0.1, "conv1.weight", tenth], ["erk", 0.1, "fc.weight", tenth]),
        *(["uniform", 0.1, "conv1.weight", tenth], ["uniform", 0.1, "fc.weight", tenth]),
    ]


def test_the_density_that_most_methods_have_is_drawn(study):
    groups = [g for g in study.groups if (g.depth, g.density) != (20, 0.5)]
    extra = dataclasses.replace(study.groups[-1], depth=20, network=groups[0].network, density=0.02, method="erk")
    (first, *_) = figures(dataclasses.replace(study, groups=(*groups, extra)))
    assert first.title.startswith("Layers at density 10%")


def test_the_mean_over_seeds_and_no_place_for_zero(study):
    groups = list(study.groups)
    at = next(i for i, group in enumerate(groups) if group.method == "uniform")
    records = copy.deepcopy(groups[at].records)
    for record, density in zip(records, (0.1, 0.2, 0.6), strict=True):
        record["layers"][0]["density"], record["layers"][1]["density"] = density, 0.0
    groups[at] = dataclasses.replace(groups[at], records=records)
    uniform = figures(dataclasses.replace(study, groups=tuple(groups)))[0].series[1]
    assert (uniform.x, uniform.y) == ((1.0,), (pytest.approx(0.3),))
    assert uniform.tips == ("uniform, conv1.weight: 30% kept",)
