"""Parts of an evaluation: which metrics are shown, and ROC curves as means over seeds."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from rarefy.reports.pages import Figures
from rarefy.reports.study.parts import ATTACKS, CALIBRATION, OOD, build_sections, find_metrics


def test_a_section_a_part_that_any_run_has(study):
    assert [section.anchor for section in build_sections(study)] == ["calibration", "ood", "attacks"]


def test_metrics_are_found_by_pattern_and_titled(study):
    assert find_metrics(study, OOD) == ["ood.svhn.scores.max_softmax.auroc"]
    assert find_metrics(study, ATTACKS) == ["attacks.pgd:steps=50.robust"]
    assert find_metrics(study, CALIBRATION) == ["loss"]
    headings = [block.heading for section in build_sections(study) for block in section.blocks[:1]]
    assert headings == ["NLL", "AUROC, svhn", "Robust accuracy, pgd:steps=50"]


def test_shares_are_percent_and_losses_are_not(study):
    calibration, ood, _ = build_sections(study)
    scales = [block.figures[0].y.scale for section in (calibration, ood) for block in section.blocks[:1]]
    assert scales == [1.0, 100.0]


def test_roc_is_the_mean_over_seeds_of_the_sparsest(study):
    groups = list(study.groups)
    at = next(i for i, group in enumerate(groups) if (group.depth, group.method, group.density) == (20, "erk", 0.1))
    records = copy.deepcopy(groups[at].records)
    for record, middle in zip(records, (0.6, 0.7, 0.95), strict=True):
        record["metrics"]["test"]["ood"]["svhn"]["scores"]["max_softmax"]["roc"] = [0.0, middle, 1.0]
    groups[at] = dataclasses.replace(groups[at], records=records)
    section = build_sections(dataclasses.replace(study, groups=tuple(groups)))[1]
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
    groups = list(study.groups)
    records = copy.deepcopy(groups[0].records)
    del records[0]["metrics"]["test"]["ood"]
    groups[0] = dataclasses.replace(groups[0], records=records)
    section = build_sections(dataclasses.replace(study, groups=tuple(groups)))[1]
    rocs = [
        f for block in section.walk() if isinstance(block, Figures) for f in block.figures if f.name.startswith("roc")
    ]
    assert [one.label for one in rocs[0].series] == ["erk", "uniform"]


def test_a_headline_metric_of_a_plug_in_has_a_section_its_title_and_its_unit(study):
    described = {
        "mine": {"title": "Share of cats", "unit": "fraction", "is_headline": True},
        "quiet": {"title": "Quiet"},
    }
    groups = []
    for group in study.groups:
        records = copy.deepcopy(group.records)
        for record in records:
            record["metrics"]["test"]["described"] = described
        numbers = {**group.numbers, "mine": group.numbers["accuracy"], "quiet": group.numbers["accuracy"]}
        groups.append(dataclasses.replace(group, records=records, numbers=numbers))
    *_, other = build_sections(dataclasses.replace(study, groups=tuple(groups)))
    assert [block.heading for block in other.blocks if isinstance(block, Figures)] == ["Share of cats"]
    assert {figure.y.label for figure in other.figures} == {"Share of cats, %"}
    assert {figure.y.scale for figure in other.figures} == {100.0}
