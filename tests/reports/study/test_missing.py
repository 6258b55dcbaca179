"""What is missing, and the sweep that fills it."""

from __future__ import annotations

import dataclasses

import yaml

from rarefy.reports.pages import Table
from rarefy.reports.study.missing import build_section, list_missing_runs, write_sweep


def tables(study):
    return {block.name: block for block in build_section(study).blocks if isinstance(block, Table)}


def commands(study):
    return [block.command for block in build_section(study).blocks if not isinstance(block, Table)]


def test_a_method_and_density_that_another_network_has(study):
    assert tables(study)["table-holes"].texts == [["cifar_resnet_56_16 on cifar10", "uniform", "10%"]]


def test_what_was_begun_says_how_far_it_came(study):
    assert tables(study)["table-unfinished"].texts == [
        ["runs/begun", "cifar_resnet_20_16 on cifar10", "erk", "20%", "17", "1 of 2 epochs"]
    ]


def test_groups_of_few_seeds_are_named_and_filled(study):
    first = study.groups[0]
    fewer = dataclasses.replace(first, records=first.records[:2], folders=first.folders[:2])
    changed = dataclasses.replace(study, groups=(fewer, *study.groups[1:]))
    assert "table-few-seeds" not in tables(study)
    assert tables(changed)["table-few-seeds"].texts == [["cifar_resnet_20_16 on cifar10", "dense", "100%", "17, 18"]]
    assert [run["seed"] for run in list_missing_runs(changed) if run["allocation"]["name"] == "dense"] == [19]


def test_the_sweep_asks_for_the_holes_with_the_network_s_own_training(study):
    begun, *found = list_missing_runs(study)
    assert begun == study.unfinished[0].config
    assert [run["seed"] for run in found] == [17, 18, 19]
    assert {run["model"]["name"] for run in found} == {"cifar_resnet_56_16"}
    assert {run["allocation"]["name"] for run in found} == {"uniform"}
    assert {run["density"] for run in found} == {0.1}
    assert yaml.safe_load(write_sweep(study))["list"] == [begun, *found]
    assert commands(study)[0] == "rarefy sweep report_files/missing.yaml --out runs"


def test_a_seed_that_was_begun_is_not_asked_for_twice(study):
    hole = dataclasses.replace(
        study.unfinished[0].group, network="cifar_resnet_56_16 on cifar10", method="uniform", density=0.1
    )
    begun = dataclasses.replace(study.unfinished[0], group=hole, seed=18, config={"seed": 18})
    found = list_missing_runs(dataclasses.replace(study, unfinished=(begun,)))
    assert [run["seed"] for run in found] == [18, 17, 19]


def test_parts_that_were_not_evaluated_and_what_adds_them(study):
    assert commands(study)[1:] == ["rarefy eval runs --calibration", "rarefy eval runs --corruptions"]
    first = dataclasses.replace(study.groups[0], numbers={"accuracy": study.groups[0].numbers["accuracy"]})
    some = dataclasses.replace(study, groups=(first, *study.groups[1:]))
    assert commands(some)[2:4] == ["rarefy eval runs --ood svhn", "rarefy eval runs --attack pgd:steps=50"]
