"""A study by hand: ResNets of depth 20 and 56 with three seeds, as `report_runs` builds them."""

from __future__ import annotations

from typing import Any

import pytest

from rarefy.reports import MetricVerdicts, PublishedResult, RunGroup, SeedSummary, Study, UnfinishedRun

SEEDS = (17, 18, 19)
# Means 0.92, 0.90, 0.88, 0.87 and 0.93, 0.925, 0.92; every standard deviation is 0.01, so that half of a t interval
# is 4.302653 * 0.01 / sqrt(3) = 0.024841.
MEANS = {
    (20, "dense", 1.0): 0.92,
    (20, "erk", 0.5): 0.90,
    (20, "erk", 0.1): 0.88,
    (20, "uniform", 0.1): 0.87,
    (56, "dense", 1.0): 0.93,
    (56, "erk", 0.5): 0.925,
    (56, "erk", 0.1): 0.92,
}
HALF = 0.024841
FPR = (0.0, 0.5, 1.0)


def sample(mean: float) -> SeedSummary:
    return SeedSummary((mean - 0.01, mean, mean + 0.01), mean, 0.01, (mean - HALF, mean + HALF))


def record(depth: int, method: str, density: float, seed: int) -> dict[str, Any]:
    accuracy = MEANS[depth, method, density] + 0.01 * (seed - 18)
    kept = round(100 * density)
    return {
        "id": f"{depth}{method}{density}{seed}",
        "config": {
            "data": {"name": "cifar10"},
            "model": {"name": f"cifar_resnet_{depth}_16"},
            "density": density,
            "allocation": {"name": method},
            "scaled": False,
            "topology": {"name": "static"},
            "engine": {"name": "masked"},
            "seed": seed,
            "training": {"epochs": 2},
        },
        "versions": {"rarefy": "0.1.0", "python": "3.11.7", "torch": "2.13.0"},
        "environment": {"device_name": "x86_64", "threads": 1},
        "density": density,
        "params": {"total": 200, "kept": 2 * kept, "all": 210},
        "layers": [
            {"name": "conv1.weight", "shape": [10, 10], "kept": kept, "density": density},
            {"name": "fc.weight", "shape": [10, 10], "kept": kept, "density": density},
        ],
        "history": [{"epoch": epoch, "seconds": 1800.0, "gradient_norm_kept": (seed - 16) / epoch} for epoch in (1, 2)],
        "metrics": {
            "test": {
                "accuracy": accuracy,
                "ood": {"svhn": {"roc_fpr": FPR, "scores": {"max_softmax": {"roc": [0.0, 0.8, 1.0], "auroc": 0.65}}}},
            }
        },
    }


def group(depth: int, method: str, density: float) -> RunGroup:
    mean = MEANS[depth, method, density]
    return RunGroup(
        name=f"{method} {density:g} cifar_resnet_{depth}_16" if method != "dense" else f"dense cifar_resnet_{depth}_16",
        network=f"cifar_resnet_{depth}_16 on cifar10",
        method=method,
        data="cifar10",
        model=f"cifar_resnet_{depth}_16",
        where="cifar10",
        family="cifar_resnet",
        depth=depth,
        width=16,
        allocation=method,
        topology="static",
        density=density,
        dense=method == "dense",
        records=tuple(record(depth, method, density, seed) for seed in SEEDS),
        folders=tuple(f"runs/{depth}{method}{density}{seed}" for seed in SEEDS),
        numbers={
            "accuracy": sample(mean),
            "loss": sample(1 - mean),
            "ood.svhn.scores.max_softmax.auroc": sample(0.65),
            "attacks.pgd:steps=50.robust": sample(0.1),
        },
    )


def judgement(one: RunGroup) -> dict[str, Any]:
    found = one.numbers["accuracy"]
    base = f"dense cifar_resnet_{one.depth}_16"
    row: dict[str, Any] = {"group": one.name, "baseline": base, "seeds": SEEDS, "mean": found.mean}
    row |= {"interval": found.interval, **dict.fromkeys(("difference", "welch", "verdict", "seeds_needed", "reason"))}
    if one.dense:
        return row
    difference = found.mean - MEANS[one.depth, "dense", 1.0]
    welch = (difference - 0.02, difference + 0.02)
    return row | {"difference": difference, "welch": welch, "verdict": "no", "seeds_needed": 4, "reason": "Because."}


PUBLISHED = (
    PublishedResult(
        "cifar_resnet_20_16", "cifar10", "dense", "static", 1.0, "accuracy", 0.9237, 0.0022, "figure", "Liu"
    ),
    PublishedResult(
        "cifar_resnet_20_16", "cifar10", "erk", "static", 0.1, "accuracy", 0.8779, None, "±0.03", "Liu", "hidden"
    ),
    PublishedResult("cifar_resnet_110_16", "cifar10", "erk", "static", 0.1, "accuracy", 0.9193),
)


@pytest.fixture(scope="session")
def study() -> Study:
    groups = tuple(group(*key) for key in sorted(MEANS, key=lambda key: key[1] != "dense"))
    judged = MetricVerdicts("accuracy", points=True, margin=0.005, rows=tuple(map(judgement, groups)))
    begun = RunGroup(
        "", groups[0].network, "erk", "cifar10", "cifar_resnet_20_16", allocation="erk", density=0.2, dense=False
    )
    settings = {"allocation": {"name": "erk"}, "density": 0.2, "seed": 17}
    unfinished = UnfinishedRun("runs/begun", begun, 17, "1 of 2 epochs", settings)
    return Study(groups, (judged,), ("A note.",), (unfinished,), PUBLISHED)
