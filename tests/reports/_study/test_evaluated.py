"""Parts of an evaluation: which metrics are shown, and ROC curves as means over seeds."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from rarefy.reports._study._blocks import Figures
from rarefy.reports._study.evaluated import ATTACKS, CALIBRATION, OOD, evaluated, metrics_of


def test_a_section_a_part_that_any_run_has(study):
    assert [section.anchor for section in evaluated(study)] == ["calibration", "ood", "attacks"]


def test_metrics_are_found_by_pattern_and_titled(study):
    assert metrics_of(study, OOD) == {"ood.svhn.scores.max_softmax.auroc": "AUROC, svhn"}
    assert metrics_of(study, ATTACKS) == {"attacks.pgd:steps=50.robust": "Robust accuracy, pgd:steps=50"}
    assert metrics_of(study, CALIBRATION) == {"loss": "NLL"}


def test_shares_are_percent_and_losses_are_not(study):
    calibration, ood, _ = evaluated(study)
    scales = [block.figures[0].y.scale for section in (calibration, ood) for block in section.blocks[:1]]
    assert scales == [1.0, 100.0]


def test_roc_is_the_mean_over_seeds_of_the_sparsest(study):
    cells = list(study.cells)
    at = next(i for i, cell in enumerate(cells) if (cell.depth, cell.method, cell.density) == (20, "erk", 0.1))
    records = copy.deepcopy(cells[at].records)
    for record, middle in zip(records, (0.6, 0.7, 0.95), strict=True):
        record["metrics"]["test"]["ood"]["svhn"]["scores"]["max_softmax"]["roc"] = [0.0, middle, 1.0]
    cells[at] = dataclasses.replace(cells[at], records=records)
    section = evaluated(dataclasses.replace(study, cells=tuple(cells)))[1]
    rocs = [
        f for block in section.walk() if isinstance(block, Figures) for f in block.figures if f.name.startswith("roc")
    ]
    assert [figure.name for figure in rocs] == [
        "roc-svhn-cifar_resnet_20_16-on-cifar10-density-0.1",
        "roc-svhn-cifar_resnet_56_16-on-cifar10-density-0.1",
    ]
    assert [one.label for one in rocs[0].series] == ["dense", "erk", "uniform"]
    assert rocs[0].series[1].y == pytest.approx((0.0, 0.75, 1.0))


def test_a_run_without_a_curve_takes_its_group_s_away(study):
    cells = list(study.cells)
    records = copy.deepcopy(cells[0].records)
    del records[0]["metrics"]["test"]["ood"]
    cells[0] = dataclasses.replace(cells[0], records=records)
    section = evaluated(dataclasses.replace(study, cells=tuple(cells)))[1]
    rocs = [
        f for block in section.walk() if isinstance(block, Figures) for f in block.figures if f.name.startswith("roc")
    ]
    assert [one.label for one in rocs[0].series] == ["erk", "uniform"]
