"""The experiments' files: every scale is a sweep of the size it claims, and the numbers beside them are the paper's."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rarefy import sweeps
from rarefy.allocation import ALLOCATIONS
from rarefy.config import build_config
from rarefy.pipeline import resolve
from rarefy.sweeps import SweepRun, read_sweep
from rarefy.topology import TOPOLOGIES

HERE = Path(__file__).parents[1] / "experiments"
FILES = sorted(path.stem for path in HERE.glob("*.yaml"))
IMAGENET = "imagenet_wrn50_2"
REPRODUCTION = "reproduction"
SCALING = "scaling_mlp"  # not of the paper, and nor are these
GROUPS = "groups"
OURS = (SCALING, "scaling_resnet", "extreme", GROUPS)
# By hand. A network has a dense run a seed, and a run for each sparse allocation, density and seed.
RUNS = {
    ("cifar10_depth", "smoke"): 2 * (1 + 5 * 2),
    ("cifar10_depth", "short"): 3 * (1 + 2) * 3,
    ("cifar10_depth", "paper"): 5 * (1 + 5 * 9) * 3,
    ("cifar10_width", "smoke"): 2 * (1 + 5 * 2),
    ("cifar10_width", "short"): 3 * (1 + 1) * 3,
    ("cifar10_width", "paper"): 4 * (1 + 5 * 9) * 3,
    ("cifar100_depth", "smoke"): 2 * (1 + 5 * 2),
    ("cifar100_depth", "short"): 3 * (1 + 2) * 3,
    ("cifar100_depth", "paper"): 5 * (1 + 5 * 9) * 3,
    ("cifar100_width", "smoke"): 2 * (1 + 5 * 2),
    ("cifar100_width", "short"): 3 * (1 + 1) * 3,
    ("cifar100_width", "paper"): 4 * (1 + 5 * 9) * 3,
    ("vgg", "smoke"): 2 * (1 + 5),
    ("vgg", "short"): 2 * (1 + 2),
    ("vgg", "paper"): 2 * 4 * (1 + 5 * 9) * 3,
    ("layerwise", "smoke"): 1 + 12,
    ("layerwise", "short"): (1 + 12 + 1) * 3,
    ("layerwise", "paper"): 2 * (1 + (12 + 1) * 5) * 3,
    ("gradient_flow", "smoke"): 1 + 2,
    ("gradient_flow", "short"): 2 * (1 + 2) * 2,
    ("gradient_flow", "paper"): 3 * (1 + 2 * 3) * 3,
    ("panels", "smoke"): 1 + 2,
    ("panels", "short"): 3 * (1 + 1) * 3,
    ("panels", "paper"): 3 * (1 + 4) * 3,
}
EPOCHS = {"smoke": 1, "short": 5, "paper": 160} | {("gradient_flow", "smoke"): 2, ("vgg", "short"): 1}


def about(name: str, scale: str) -> dict[str, Any]:
    return sweeps.read_about(HERE / f"{name}.yaml", scale)


@cache
def runs(name: str, scale: str) -> list[SweepRun]:
    return read_sweep(HERE / f"{name}.yaml", scale=scale)


def table(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(newline="") as text:
        return list(csv.DictReader(text))


def seconds_of(run: SweepRun, costs: Mapping[tuple[str, str, float], float]) -> float:
    config = run.config
    computes_kept = config.engine.name == "cpu" and config.density < 1
    return costs[config.model.name, "cpu" if computes_kept else "masked", config.density if computes_kept else 1.0]


def test_every_file_is_checked() -> None:
    assert sorted({name for name, _ in RUNS} | {IMAGENET, REPRODUCTION, *OURS}) == FILES


@pytest.mark.parametrize(("name", "scale"), RUNS)
def test_a_scale_is_as_large_as_it_claims(name: str, scale: str) -> None:
    found = runs(name, scale)
    epochs = EPOCHS.get((name, scale), EPOCHS[scale])
    assert len(found) == RUNS[name, scale] == len({run.id for run in found})
    assert {run.config.training.epochs for run in found} == {epochs}
    said = about(name, scale)
    assert (said["runs"], said["epochs"]) == (len(found), len(found) * epochs)


@pytest.mark.parametrize(("name", "scale"), [pair for pair in RUNS if pair[1] != "smoke"])
def test_core_hours_are_epochs_times_seconds(name: str, scale: str) -> None:
    costs = {(row["model"], row["engine"], float(row["density"])): float(row["seconds"]) for row in table("costs.csv")}
    hours = sum(run.config.training.epochs * seconds_of(run, costs) for run in runs(name, scale)) / 3600
    assert about(name, scale)["core_hours"] == pytest.approx(hours, rel=0.01)


@pytest.mark.parametrize(("name", "scale"), RUNS)
def test_the_readme_says_the_same(name: str, scale: str) -> None:
    said = about(name, scale)
    row = next(line for line in (HERE / "README.md").read_text().splitlines() if line.startswith(f"| `{name}.yaml`"))
    if scale == "smoke":
        assert f"| {said['runs']} runs |" in row
    else:
        hours = f"{said['core_hours']:.2f}" if scale == "short" else str(said["core_hours"])
        assert f"| {said['runs']}, {said['epochs']}, {hours} |" in row


@pytest.mark.parametrize("name", [name for name in FILES if name not in (REPRODUCTION, *OURS)])
def test_a_file_names_claim_source_and_certainty(name: str) -> None:
    said = about(name, "paper")
    assert all(said[part].strip() for part in ("title", "claim", "source", "certainty", "published"))
    assert "2202.02643" in said["source"]


@pytest.mark.parametrize("name", [name for name in FILES if name not in (IMAGENET, REPRODUCTION, *OURS)])
def test_the_paper_scale_has_the_paper_recipe(name: str) -> None:
    for run in runs(name, "paper"):
        training = run.config.training
        assert (training.batch_size, training.lr, training.weight_decay) == (128, 0.1, 5e-4)
        assert training.schedule.options == {"milestones": [0.5, 0.75], "gamma": 0.1}  # 80 and 120 of 160 epochs
        assert training.optimizer.options == {"momentum": 0.9, "nesterov": True}
        assert run.config.topology.name == "static"
        assert run.config.engine.name == "masked"
        assert run.config.data.name in ("cifar10", "cifar100")


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("scale", ["smoke", "short"])
def test_our_own_experiments_are_as_large_as_they_claim(name: str, scale: str) -> None:
    said, found = about(name, scale), runs(name, scale)
    epochs = sum(run.config.training.epochs for run in found)
    assert (said["runs"], said["epochs"]) == (len(found), epochs) == (len({run.id for run in found}), epochs)
    assert all(said[part].strip() for part in ("title", "claim", "source", "certainty", "published"))
    row = next(line for line in (HERE / "README.md").read_text().splitlines() if line.startswith(f"| `{name}.yaml`"))
    size = f"{said['runs']}, {epochs}, {said.get('core_hours', '-')}" if scale == "short" else f"{said['runs']} runs"
    assert f"| {size} |" in row


@pytest.mark.parametrize(("name", "sparsest"), [(SCALING, 1 / 64), ("scaling_resnet", 1 / 64)])
def test_rates_of_scalings_overlap_and_are_powers_of_two(name: str, sparsest: float) -> None:
    rates: dict[tuple[str, float], set[float]] = {}
    for run in runs(name, "short"):
        rates.setdefault((run.config.scaling.name, run.config.density), set()).add(run.config.training.lr)
    assert rates["none", 1.0] == rates["supar", sparsest]
    assert all(math.log2(rate).is_integer() for group in rates.values() for rate in group)
    assert all(rates["none", 1.0] & group for group in rates.values())


def test_the_extreme_compares_scalings_at_the_same_seeds() -> None:
    seeds: dict[tuple[str, float, str], set[int]] = {}
    for run in runs("extreme", "short"):
        key = run.config.training.optimizer.name, run.config.density, run.config.scaling.name
        seeds.setdefault(key, set()).add(run.config.seed)
    assert {density for _, density, _ in seeds} == {1.0, 0.02, 0.01, 0.005}
    assert set(map(frozenset, seeds.values())) == {frozenset({17, 18, 19})}


GROUP_SCALES = [
    ("smoke", 3, 1),
    ("short", 39, 2),
    ("long", 2, 160),
    ("page", 207, 2),
    pytest.param("all", 483, 2, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("scale", "count", "epochs"), GROUP_SCALES)
def test_groups_are_compared_with_unstructured_masks_of_the_same_recipe(scale: str, count: int, epochs: int) -> None:
    found, said = runs(GROUPS, scale), about(GROUPS, scale)
    assert len(found) == count == len({run.id for run in found}) == said["runs"] and said["epochs"] == count * epochs
    assert {run.config.training.epochs for run in found} == {epochs}
    others = read_sweep(HERE / f"{REPRODUCTION}.yaml") if scale == "long" else found
    compared = {run.config.model_copy(update={"pattern": "unstructured", "seed": 0}).model_dump_json() for run in found}
    plain = [run.config.model_copy(update={"seed": 0}) for run in others if run.config.pattern == "unstructured"]
    assert compared <= {config.model_dump_json() for config in plain}


def test_the_reproduction_has_the_paper_recipe_and_starts_with_what_is_worth_most() -> None:
    sweep = read_sweep(HERE / f"{REPRODUCTION}.yaml")
    said = sweeps.read_about(HERE / f"{REPRODUCTION}.yaml")
    assert "2202.02643" in said["source"] and said["runs"] == len(sweep) == len({run.id for run in sweep}) == 17
    first = [(run.config.allocation.name, run.config.density, run.config.seed) for run in sweep[:6]]
    groups = [("erk", 0.1), ("uniform", 0.1), ("dense", 1.0)]
    assert first == [(*group, seed) for group in groups for seed in (17, 18)]
    for run in sweep:
        training = run.config.training
        assert (training.epochs, training.batch_size, training.lr, training.weight_decay) == (160, 128, 0.1, 5e-4)
        assert training.schedule.options == {"milestones": [0.5, 0.75], "gamma": 0.1}
        assert training.optimizer.options == {"momentum": 0.9, "nesterov": True}
        assert (run.config.data.name, run.config.data.options["validation"]) == ("cifar10", 5000)
        assert (run.config.topology.name, training.select) == ("static", "last")


def test_depth_has_the_networks_and_densities_of_the_figure() -> None:
    found = runs("cifar10_depth", "paper")
    depths = {run.config.model.name for run in found}
    assert depths == {f"cifar_resnet_{depth}_16" for depth in (20, 32, 44, 56, 110)}
    assert {run.config.density for run in found} == {1.0, *(tenths / 10 for tenths in range(1, 10))}


def test_the_short_sweeps_share_runs_and_start_with_the_longest() -> None:
    depth, width = runs("cifar10_depth", "short"), runs("cifar10_width", "short")
    shared = {run.id for run in depth} & {run.id for run in width}
    assert {run.config.model.name for run in depth if run.id in shared} == {"cifar_resnet_20_8"}
    assert len(shared) == 6
    assert {run.id for run in runs("panels", "short")} <= {run.id for run in width}
    assert [depth[0].config.model.name, depth[0].config.allocation.name] == ["cifar_resnet_32_8", "dense"]
    assert [width[0].config.model.name, width[0].config.allocation.name] == ["cifar_resnet_20_16", "dense"]


def test_smoke_needs_no_data() -> None:
    smokes = [run for name, scale in RUNS if scale == "smoke" for run in runs(name, scale)]
    assert {run.config.data.name for run in smokes} == {"synthetic"}
    assert sweeps.read_evaluation(HERE / "panels.yaml", "smoke")["ood"] == "noise"


def test_panels_measure_what_the_paper_claims() -> None:
    wanted = sweeps.read_evaluation(HERE / "panels.yaml", "paper")
    assert wanted["calibration"] and wanted["attack"] == "fgsm" and wanted["ood"] == ["cifar100", "svhn"]


def test_imagenet_has_the_paper_recipe() -> None:
    found = runs(IMAGENET, "paper")
    assert [run.config.allocation.name for run in found] == 5 * ["erk_plus"] + 5 * ["erk"] + 5 * ["dense"]
    assert {run.config.model.name for run in found[:10]} == {"wideresnet50_2"}
    assert len({run.config.model.name for run in found[10:]}) == 5
    assert {run.config.allocation.options["fc_density"] for run in found[:5]} == {1.0}
    sparse, dense = found[0].config.training, found[-1].config.training
    drops = [[math.floor(m * t.epochs + 1e-9) for m in t.schedule.options["milestones"]] for t in (sparse, dense)]
    assert drops == [[30, 60, 90], [30, 60, 80]]
    for training in (sparse, dense):
        assert (training.batch_size, training.lr, training.weight_decay, training.warmup_epochs) == (768, 0.4, 1e-4, 5)
        assert (training.norm_weight_decay, training.label_smoothing, training.precision) == (False, 0.1, "fp16")
        assert training.optimizer.options["nesterov"] is False


def test_imagenet_is_as_large_as_it_claims() -> None:
    assert (about(IMAGENET, "paper")["runs"], about(IMAGENET, "paper")["epochs"]) == (15, 10 * 100 + 5 * 90)
    assert sum(run.config.training.epochs for run in runs(IMAGENET, "paper")) == 1450
    smoke = runs(IMAGENET, "smoke")
    assert (
        [run.config.data.name for run in smoke] == ["synthetic"] * 3 == ["synthetic"] * about(IMAGENET, "smoke")["runs"]
    )
    assert {run.config.training.epochs for run in smoke} == {1}


def test_the_headline_is_the_command_beside_it() -> None:
    """The README's command, flag by flag, is one of the sweep's runs."""
    flags = {
        "recipe": "imagenet-paper",
        "sparse": True,
        "fix": True,
        "fp16": True,
        "channels_last": True,
        "engine": "masked",
    }
    assert resolve(build_config(flags)).id in {run.id for run in runs(IMAGENET, "paper") if run.config.density == 0.2}


@pytest.mark.parametrize("name", ["published.csv", "anchors.csv"])
def test_numbers_are_fractions_of_known_methods(name: str) -> None:
    rows = table(name)
    columns = "model,data,allocation,topology,density,metric,value,std,certainty,source,note"
    assert ",".join(rows[0]) == columns
    for row in rows:
        assert row["allocation"] in ALLOCATIONS.names()
        assert row["topology"] in TOPOLOGIES.names()
        assert row["metric"] == "accuracy"
        assert row["certainty"] in ("figure", "read", "unknown")
        assert (row["certainty"] == "unknown") == (not row["value"]) and row["source"]
        if row["value"]:
            assert 0.7 < float(row["value"]) < 0.95
            assert (row["density"] == "1") if row["allocation"] == "dense" else (0 < float(row["density"]) < 1)
        assert not row["std"] or 0 < float(row["std"]) < 0.01
        assert not row["density"] or re.fullmatch(r"1|0\.\d+", row["density"])


def test_published_numbers_are_those_of_the_figure() -> None:
    rows = [row for row in table("published.csv") if row["value"]]
    assert len(rows) == 5 * (1 + 4 * 5) + 1
    assert {(row["data"], row["topology"], row["certainty"]) for row in rows} == {("cifar10", "static", "figure")}
    found = {(row["model"], row["allocation"], row["density"]): row for row in rows}
    assert len(found) == len(rows)
    # Typed from the reading of the figure, not from the file.
    by_hand = {
        (110, "erk", "0.1"): ("0.9193", ""),
        (110, "erk", "0.4"): ("0.9330", "hidden"),
        (110, "uniform", "0.1"): ("0.9133", "hidden"),
        (110, "snip", "0.3"): ("0.9319", ""),
        (56, "erk", "0.1"): ("0.9056", ""),
        (56, "snip", "0.1"): ("0.9078", ""),
        (44, "uniform_plus", "0.5"): ("0.9294", ""),
        (44, "uniform", "0.2"): ("0.9090", ""),
        (32, "uniform_plus", "0.4"): ("0.9178", "hidden"),
        (32, "uniform", "0.1"): ("0.8859", ""),
        (20, "erk", "0.8"): ("0.9218", ""),
        (20, "erk", "0.2"): ("0.8990", "hidden"),
        (20, "uniform", "0.1"): ("0.8628", ""),
    }
    for (depth, allocation, density), (value, hidden) in by_hand.items():
        row = found[f"cifar_resnet_{depth}_16", allocation, density]
        assert row["value"] == value
        assert ("partly hidden" in row["note"]) == bool(hidden)
    dense = {20: ("0.9237", "0.0022"), 32: ("0.9307", "0.0025"), 44: ("0.9331", "0.0013"), 56: ("0.9315", "0.0004")}
    for depth, (value, std) in (dense | {110: ("0.9334", "0.0042")}).items():
        row = found[f"cifar_resnet_{depth}_16", "dense", "1"]
        assert (row["value"], row["std"]) == (value, std)


def test_dense_minus_erk_is_what_the_figure_says() -> None:
    found = {(r["model"], r["allocation"], r["density"]): r["value"] for r in table("published.csv") if r["value"]}
    nets = [f"cifar_resnet_{depth}_16" for depth in (20, 32, 44, 56, 110)]
    gaps = [round(100 * (float(found[net, "dense", "1"]) - float(found[net, "erk", "0.1"])), 2) for net in nets]
    assert gaps == [4.58, 3.38, 2.67, 2.59, 1.41]


def test_anchors_and_the_paper_are_told_apart() -> None:
    assert not any("2202.02643" in row["source"] for row in table("anchors.csv"))
    assert all("2202.02643" in row["source"] for row in table("published.csv"))
