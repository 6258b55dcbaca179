"""Accuracy against cost: panels of one height, medians over seeds, a front that nothing beats."""

from __future__ import annotations

import dataclasses

import pytest

from rarefy.reports import RunGroup, SeedSummary, Study
from rarefy.reports.pages import Figures
from rarefy.reports.study.tradeoffs import build_section


def group(method: str, density: float, mean: float, sizes: tuple[int, ...], latency: float = 0.004) -> RunGroup:
    records = tuple(
        {
            "id": f"{method}{density}{size}",
            "config": {"seed": seed, "training": {"batch_size": 100}},
            "files": {"model.safetensors": size},
            "timing": {"images_per_second": 1e5 / size},
            "environment": {"device_name": "cpu", "threads": 1},
            "metrics": {"test": {"cost": {"latency": {"1": {"seconds": latency}}, "flops": {"kept": 10 * size}}}},
        }
        for seed, size in enumerate(sizes)
    )
    return RunGroup(
        name=f"{method} {density}", network="Net on data", method=method, data="data", model="net", density=density,
        allocation=method, dense=method == "dense", records=records,
        numbers={"accuracy": SeedSummary((mean,) * len(sizes), mean)},
    )  # fmt: skip


@pytest.fixture
def study() -> Study:
    groups = (
        group("dense", 1.0, 0.92, (1000, 1000, 1000)),
        group("erk", 0.5, 0.93, (500, 520, 900), latency=0.002),
        group("erk", 0.1, 0.80, (100, 100, 100), latency=0.001),
        group("uniform", 0.1, 0.70, (110, 110, 110), latency=0.003),
    )
    return Study(groups, ())


def test_one_row_of_panels_of_one_height_a_network(study):
    (row,) = build_section(study).blocks
    assert isinstance(row, Figures)
    assert [figure.x.name for figure in row.figures] == ["flops", "bytes", "step", "prediction-1"]
    assert len({figure.y for figure in row.figures}) == 1
    assert row.panel_name == "panels-cost-Net-on-data"


def test_costs_are_medians_over_seeds(study):
    by_name = {figure.x.name: figure for figure in build_section(study).blocks[0].figures}
    front, dense, erk, uniform = by_name["bytes"].series
    assert (dense.kind, dense.x, dense.y) == ("dots", (1000,), (0.92,))
    assert (erk.x, erk.y) == ((520, 100), (0.93, 0.80))
    assert uniform.x == (110,)
    assert by_name["step"].series[2].x == pytest.approx((100 * 520 / 1e5, 100 * 100 / 1e5))
    assert by_name["prediction-1"].series[2].x == (0.002, 0.001)
    assert erk.tips[0] == "erk, 50%: 93.00%, 520 B"
    assert (front.kind, front.x, front.y) == ("guide", (100, 520), (0.80, 0.93)), "dense and uniform are beaten"


def test_times_of_several_machines_are_not_drawn(study):
    first, *rest = study.groups
    other = tuple(record | {"environment": {"device_name": "gpu", "threads": 1}} for record in first.records)
    groups = (dataclasses.replace(first, records=other), *rest)
    (row,) = build_section(dataclasses.replace(study, groups=groups)).blocks
    assert [figure.x.name for figure in row.figures] == ["flops", "bytes"]


def test_without_sparse_runs_or_costs_there_is_no_section(study):
    assert build_section(dataclasses.replace(study, groups=study.groups[:1])).blocks == []
    bare = tuple(
        dataclasses.replace(
            group, records=tuple({"id": r["id"], "metrics": {}, "config": r["config"]} for r in group.records)
        )
        for group in study.groups
    )
    assert build_section(dataclasses.replace(study, groups=bare)).blocks == []
