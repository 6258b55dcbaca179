"""Gradient flow: means over seeds of the epochs that all of them have."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from rarefy.reports.pages import Figures
from rarefy.reports.study.flow import build_section


def figures(study):
    return [figure for block in build_section(study).walk() if isinstance(block, Figures) for figure in block.figures]


def test_norms_by_epoch_of_dense_and_every_method(study):
    found = figures(study)
    assert [figure.name for figure in found] == [
        f"gradient-norm-cifar_resnet_{depth}_16-on-cifar10-density-0.1" for depth in (20, 56)
    ]
    dense, erk, uniform = found[0].series
    assert [one.label for one in (dense, erk, uniform)] == ["dense", "erk", "uniform"]
    # seeds 17, 18, 19 have 1, 2, 3 in the first epoch and half of that in the second
    assert (erk.x, erk.y) == ((1.0, 2.0), (2.0, 1.0))
    assert (erk.low, erk.high) == ((1.0, 0.5), (3.0, 1.5))


def test_only_epochs_that_all_seeds_have(study):
    groups = list(study.groups)
    records = copy.deepcopy(groups[0].records)
    records[1]["history"].pop()
    groups[0] = dataclasses.replace(groups[0], records=records)
    dense = figures(dataclasses.replace(study, groups=tuple(groups)))[0].series[0]
    assert (dense.x, dense.y) == ((1.0,), (pytest.approx(2.0),))


def test_nothing_watched_nothing_shown(study):
    groups = tuple(
        dataclasses.replace(group, records=tuple({**record, "history": []} for record in group.records))
        for group in study.groups
    )
    assert build_section(dataclasses.replace(study, groups=groups)).blocks == []
