"""Records on disk -> what a report is told: groups, numbers, verdicts, what never finished."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml

import rarefy.analysis._report as report_module
from rarefy.analysis import CompareError, report_runs
from rarefy.records import Record, SweepPlan, write, write_sweep_plan
from rarefy.reports import render_report
from rarefy.sweeps import read_sweep

GOLDEN = json.loads((Path(__file__).parents[1] / "records" / "golden" / "record1.json").read_text())


@pytest.fixture
def make(tmp_path):
    """Writes a finished run; its id is a count."""
    made = []

    def run(seed, accuracy, *, folder="runs", **config):
        values = copy.deepcopy(GOLDEN) | {"id": f"{len(made):012d}"}
        made.append(values["id"])
        values["config"] |= {"seed": seed} | config
        values["metrics"] = {"test": {"accuracy": accuracy, "loss": 0.3}}
        write(Record(**values), tmp_path / folder / values["id"] / "record.json")
        return tmp_path / folder / values["id"]

    return run


@pytest.fixture
def told(monkeypatch, tmp_path):
    """The study that a call hands to the report."""

    def call(*paths, **options):
        found = []
        monkeypatch.setattr(report_module, "render_report", lambda study, page, progress: found.append(study) or [page])
        report_runs(paths or [tmp_path / "runs"], tmp_path / "report.html", **options)
        return found[0]

    return call


@pytest.fixture
def quick_drawing(monkeypatch):
    """A stand-in for drawn figures, which is quick."""
    drawn = {"png": b"", "pdf": b"", "svg": b'<svg viewBox="0 0 1 1" xmlns="http://www.w3.org/2000/svg"></svg>'}
    monkeypatch.setattr("rarefy.reports.pages._write_page.draw_files", lambda figure, formats: drawn)
    monkeypatch.setattr("rarefy.reports.pages._write_page.draw_panels", lambda figures, formats: {})


DENSE = {"allocation": {"name": "dense"}, "density": 1.0, "topology": {"name": "static"}}
ERK = {"allocation": {"name": "erk"}, "density": 0.1, "topology": {"name": "static"}}


def named(model, kind):
    return {"model": {"name": model}, **kind}


def test_cells_have_sizes_methods_and_panels(make, told):
    for model in ("cifar_resnet_20_16", "cifar_resnet_56_16", "vgg16", "mlp_16"):
        make(17, 0.9, **named(model, DENSE))
    make(17, 0.8, **named("cifar_resnet_20_16", ERK | {"topology": {"name": "set"}}))
    study = told()
    found = {(cell.model, cell.method): (cell.family, cell.depth, cell.width) for cell in study.groups}
    assert found == {
        ("cifar_resnet_20_16", "dense"): ("ResNet", 20, 16),
        ("cifar_resnet_20_16", "SET (ERK)"): ("ResNet", 20, 16),
        ("cifar_resnet_56_16", "dense"): ("ResNet", 56, 16),
        ("vgg16", "dense"): ("VGG", 16, None),
        ("mlp_16", "dense"): ("", None, None),
    }
    assert len(study.networks) == 4


def test_numbers_are_means_deviations_and_t_intervals(make, told):
    for seed, accuracy in ((1, 0.91), (2, 0.92), (3, 0.93)):
        make(seed, accuracy, **DENSE)
    (cell,) = told().groups
    found = cell.numbers["accuracy"]
    assert (found.mean, found.deviation) == (pytest.approx(0.92), pytest.approx(0.01))
    assert found.interval == pytest.approx((0.92 - 0.024841, 0.92 + 0.024841), abs=1e-6)  # 4.302653 * 0.01 / sqrt(3)
    assert cell.seeds == (1, 2, 3)


def test_verdicts_come_from_compare_and_without_dense_there_is_a_reason(make, told, tmp_path):
    for seed, dense, sparse in ((1, 0.910, 0.80), (2, 0.911, 0.81), (3, 0.912, 0.82)):
        make(seed, dense, **DENSE)
        make(seed, sparse, **ERK)
    study = told(margin=1.0)
    (accuracy,) = [judged for judged in study.verdicts if judged.metric == "accuracy"]
    assert accuracy.margin == 0.01
    assert accuracy.find_row("erk 0.1")["verdict"] == "no"
    sparse_only = [tmp_path / folder for cell in study.groups if not cell.dense for folder in cell.folders]
    lonely = told(*sparse_only)
    assert lonely.verdicts == ()
    assert lonely.notes[0].startswith("There is no dense group")


def test_training_that_differs_parts_panels_and_is_named(make, told):
    training = GOLDEN["config"]["training"]
    make(1, 0.9, **DENSE, training=training | {"lr": 0.1})
    make(1, 0.8, **DENSE, training=training | {"lr": 0.05})
    panels = list(told().networks)
    assert sorted(panel.rpartition(" ")[2] for panel in panels) == ["lr=0.05", "lr=0.1"]


def test_rates_part_networks_that_have_one_name_across_them(make, told):
    for seed, (lr, epochs) in enumerate([(0.1, 2), (0.2, 2), (0.1, 3)]):
        make(seed, 0.9, **DENSE, training=GOLDEN["config"]["training"] | {"lr": lr, "epochs": epochs})
    groups = told().groups
    assert len({group.network for group in groups}) == 3
    assert [sorted(group.lr for group in groups if group.across_rates == name) for name in
            sorted({group.across_rates for group in groups})] == [[0.1, 0.2], [0.1]]  # fmt: skip


def test_the_same_seed_computed_twice_counts_once(make, told):
    first, second = make(1, 0.9, **DENSE, engine={"name": "masked"}), make(1, 0.9, **DENSE, engine={"name": "auto"})
    study = told()
    assert [len(cell.records) for cell in study.groups] == [1]
    assert study.notes[0].startswith(f"Left out: runs/{second.name}. Its seed is that of runs/{first.name}")


def test_what_never_finished_says_how_far_it_came(make, told, tmp_path):
    make(1, 0.9, **DENSE)
    config = copy.deepcopy(GOLDEN["config"]) | ERK | {"seed": 5}
    folder = tmp_path / "runs" / "begun"
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "history.jsonl").write_text(json.dumps(GOLDEN["history"][0]) + "\n")
    (folder / "failure.txt").write_text("Traceback\nMemoryError: none left\n")
    (begun,) = told().unfinished
    assert (begun.seed, begun.group.method, begun.group.density) == (5, "ERK", 0.1)
    assert begun.state == f"1 of {config['training']['epochs']} epochs; failed: MemoryError: none left"


def test_published_names_become_the_records_names(make, told, tmp_path):
    make(1, 0.9, **named("cifar_resnet_20_16", DENSE | {"data": {"name": "cifar10"}}))
    path = tmp_path / "published.csv"
    path.write_text(
        "model,data,allocation,topology,density,metric,value\ncifar_resnet_20,cifar10,ERK-plus,static,0.1,accuracy,0.8\n"
        "nobody_s,cifar10,erk,static,0.1,accuracy,0.8\n"
    )
    study = told(published=path)
    assert [(row.model, row.allocation) for row in study.published] == [
        ("cifar_resnet_20_16", "erk_plus"),
        ("nobody_s", "erk"),
    ]
    assert len(study.shown) == 1


@pytest.mark.parametrize("margin", [0.0, -1.0, float("nan")])
def test_a_margin_is_above_zero(tmp_path, margin):
    with pytest.raises(CompareError, match="margin has to be"):
        report_runs([tmp_path], tmp_path / "report.html", margin=margin)


def test_the_sweep_of_what_is_missing_is_one(make, tmp_path, quick_drawing):
    """Two networks, one of them without its sparse runs: the file asks for exactly these."""
    for seed in (1, 2, 3):
        for model in ("mlp_16", "mlp_8"):
            make(seed, 0.9, **named(model, DENSE))
        make(seed, 0.8, **named("mlp_16", ERK))
    page = tmp_path / "report.html"
    report_runs([tmp_path / "runs"], page)
    found = read_sweep(tmp_path / "report_files" / "missing.yaml")
    assert sorted((run.config.model.name, run.config.allocation.name, run.config.seed) for run in found) == [
        ("mlp_8", "erk", seed) for seed in (1, 2, 3)
    ]
    assert page.is_file()


def test_what_did_nothing_is_a_method_of_its_own_and_asked_of_nobody(make, told, tmp_path, quick_drawing):
    """Its runs say so; the page does not ask for more seeds of it, nor for it on another network."""
    idle = make(1, 0.8, **named("mlp_16", ERK | {"topology": {"name": "rigl"}}))
    values = json.loads((idle / "record.json").read_text())
    values["history"] = [row | {"exploration_rate": values["density"]} for row in values["history"]]
    values["notes"] = ["the masks will never move"]
    (idle / "record.json").write_text(json.dumps(values))
    make(1, 0.9, **named("mlp_16", DENSE))
    make(1, 0.9, **named("mlp_32", DENSE))
    study = told()
    (cell,) = [cell for cell in study.groups if not cell.dense]
    assert (cell.method, cell.topology, cell.moved) == ("RigL (ERK), never moved", "rigl (never moved)", False)
    assert [note for note in study.notes if "never move" in note.partition(": ")[2]] == [
        f"{cell.name}: {values['notes'][0]}"
    ]
    page = tmp_path / "page.html"
    render_report(study, page)
    asked = yaml.safe_load((tmp_path / "page_files" / "missing.yaml").read_text())["list"]
    assert {run["topology"]["name"] for run in asked} == {"static"}


def test_a_page_says_no_more_of_a_path_than_it_must(make, told, tmp_path, monkeypatch):
    make(1, 0.9, **DENSE)
    assert str(tmp_path) not in repr(told())
    monkeypatch.chdir(tmp_path)
    study = told()
    assert (study.folders, study.groups[0].folders[0].startswith("runs/")) == ("runs", True)


def test_the_title_is_that_of_the_sweep_if_one_or_two_have_these_runs(make, told, tmp_path):
    first, second = make(1, 0.9, **DENSE), make(2, 0.9, **DENSE)
    assert told().title == ""
    for name, title, ids in (
        ("depth", "Depth", [first.name, "not-yet"]),
        ("other", "Of other runs", ["elsewhere"]),
        ("untitled", "", [second.name]),
    ):
        write_sweep_plan(SweepPlan(name=name, title=title, runs=dict.fromkeys(ids, "")), tmp_path / "runs")
    assert told().title == "Depth"
    write_sweep_plan(SweepPlan(name="width", title="Width", runs={second.name: ""}), tmp_path / "runs")
    assert told().title == "Depth; Width"
