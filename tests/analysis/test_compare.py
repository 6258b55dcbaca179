"""Groups of runs against a baseline: groups and names by hand, statistics against scipy's."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from scipy.stats import ttest_1samp, ttest_ind

from rarefy.analysis import CompareError, compare_runs, read_runs
from rarefy.records import Record, RecordError, write

GOLDEN = json.loads((Path(__file__).parents[1] / "records" / "golden" / "record1.json").read_text())
DENSE = {"allocation.name": "dense", "density": 1.0}
SPARSE = {"allocation.name": "erk", "density": 0.1}
NEVER = "erk 0.1 rigl (never moved)"
ACCURACIES = {"dense": (0.9231, 0.9274, 0.9252), "sparse": (0.9220, 0.9245)}


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Path]:
    """Writes a finished run; settings and metrics by dotted place. Its id is a count: a, b, ..."""
    made: list[str] = []

    def run(seed: int = 17, metrics: dict[str, Any] | None = None, **settings: Any) -> Path:
        values = copy.deepcopy(GOLDEN)
        values["id"] = chr(ord("a") + len(made)) * 12
        made.append(values["id"])
        for place, value in {"seed": seed, **settings.pop("config", {})}.items():
            put(values["config"], place, value)
        values["metrics"]["test"] = {"accuracy": 0.9, "loss": 0.3} | (metrics or {})
        values |= settings.pop("record", {})
        write(Record(**values), tmp_path / values["id"] / "record.json")
        return tmp_path / values["id"]

    return run


def put(values: dict[str, Any], place: str, value: Any) -> None:
    *above, last = place.split(".")
    for name in above:
        values = values.setdefault(name, {})
    values[last] = value


@pytest.fixture
def usual(make: Callable[..., Path], tmp_path: Path) -> Path:
    """3 dense seeds (a, b, c), 2 sparse ones (d, e), one of another density (f)."""
    for kind, config in (("dense", DENSE), ("sparse", SPARSE)):
        for seed, accuracy in enumerate(ACCURACIES[kind], 17):
            make(seed, {"accuracy": accuracy}, config=config)
    make(17, {"accuracy": 0.8}, config={**SPARSE, "density": 0.01})
    return tmp_path


def names(*configs: dict[str, Any], make: Callable[..., Path], root: Path, baseline: str = "a" * 12) -> list[str]:
    for config in configs:
        make(config=config)
    return [group.name for group in compare_runs(read_runs([root]), baseline).groups]


def test_runs_that_differ_in_the_seed_only_are_a_group(usual: Path) -> None:
    found = compare_runs(read_runs([usual]))
    assert [(group.name, group.seeds) for group in found.groups] == [
        ("dense", (17, 18, 19)),
        ("erk 0.1", (17, 18)),
        ("erk 0.01", (17,)),
    ]
    assert [run.id[0] for run in found.groups[0].runs] == ["a", "b", "c"]
    assert found.notes == ()


@pytest.mark.parametrize("place", ["device", "engine.name", "training.compile", "training.diagnostics"])
def test_where_a_run_was_computed_does_not_part_it(make: Callable[..., Path], tmp_path: Path, place: str) -> None:
    value: Any = True if place.startswith("training") else "cuda"
    make(17, config=DENSE)
    make(18, config={**DENSE, place: value})
    make(17, config=SPARSE)
    assert [group.seeds for group in compare_runs(read_runs([tmp_path])).groups] == [(17, 18), (17,)]


def test_names_say_how_sparse_and_how_masks_move(make: Callable[..., Path], tmp_path: Path) -> None:
    moving = {**SPARSE, "topology": {"name": "set", "fraction": 0.3}}
    found = names(DENSE, SPARSE, moving, {**SPARSE, "allocation.name": "er"}, make=make, root=tmp_path)
    assert found == ["dense", "er 0.1", "erk 0.1", "erk 0.1 set"]


@pytest.mark.parametrize(
    ("place", "value", "ours", "theirs"),
    [
        ("model.name", "vgg11", "mlp_16", "vgg11"),
        ("data.name", "mnist", "digits", "mnist"),
        ("training.epochs", 1, "2 epochs", "1 epoch"),
        ("training.lr", 0.05, "lr=0.1", "lr=0.05"),
        ("training.optimizer.momentum", 0.5, "optimizer.momentum=0.9", "optimizer.momentum=0.5"),
        ("training.schedule.name", "cosine", "schedule=step", "schedule=cosine"),
        ("training.clip_norm", 1.0, "clip_norm=null", "clip_norm=1.0"),
        ("data.validation", 100, "data.validation=unset", "data.validation=100"),
        ("training.select", "best", "select=last", "select=best"),
    ],
)
def test_any_other_setting_parts_groups_and_names(
    make: Callable[..., Path], tmp_path: Path, place: str, value: Any, ours: str, theirs: str
) -> None:
    found = names(DENSE, {**DENSE, place: value}, make=make, root=tmp_path)
    assert sorted(found) == sorted([f"dense {ours}", f"dense {theirs}"])


def test_names_hold_no_more_than_it_takes(make: Callable[..., Path], tmp_path: Path) -> None:
    """lr alone tells both dense groups apart; the sparse group needs neither."""
    other = {**DENSE, "training.lr": 0.5, "training.weight_decay": 0.0}
    assert sorted(names(DENSE, other, SPARSE, make=make, root=tmp_path)) == ["dense lr=0.1", "dense lr=0.5", "erk 0.1"]


def test_a_record_of_before_a_setting_was_has_its_default(make: Callable[..., Path], tmp_path: Path) -> None:
    assert "diagnostics" not in GOLDEN["config"]["training"]
    make(17, config=DENSE)
    make(18, config={**DENSE, "training.diagnostics": False})
    make(config=SPARSE)
    assert len(compare_runs(read_runs([tmp_path])).groups) == 2


def test_statistics_are_scipy_s(usual: Path) -> None:
    table = compare_runs(read_runs([usual]), confidence=0.9, points=0.7).tables[0]
    base, group, single = table.rows
    a, b = ACCURACIES["sparse"], ACCURACIES["dense"]
    assert (table.metric, table.points, table.margin) == ("accuracy", True, pytest.approx(0.007))
    assert (base.values, base.mean) == (b, pytest.approx(numpy.mean(b)))
    assert base.interval == pytest.approx(tuple(ttest_1samp(b, 0).confidence_interval(0.9)))
    assert (base.baseline, base.difference, base.verdict) == ("dense", None, None)
    assert group.difference == pytest.approx(numpy.mean(a) - numpy.mean(b))
    assert group.welch == pytest.approx(tuple(ttest_ind(a, b, equal_var=False).confidence_interval(0.9)))
    lower = ttest_ind(numpy.add(a, 0.007), b, equal_var=False, alternative="greater").pvalue
    upper = ttest_ind(numpy.subtract(a, 0.007), b, equal_var=False, alternative="less").pvalue
    assert group.p_value == pytest.approx(max(lower, upper))
    assert group.verdict == ("yes" if group.p_value < 0.05 else "cannot tell")
    assert group.bootstrap is not None
    assert (single.verdict, single.interval, single.welch, single.seeds_needed) == ("cannot tell", None, None, None)


def test_reasons_are_told_in_points(usual: Path) -> None:
    group = compare_runs(read_runs([usual]), points=50).tables[0].rows[1]
    low, high = ttest_ind(ACCURACIES["sparse"], ACCURACIES["dense"], equal_var=False).confidence_interval(0.9)
    assert group.reason is not None
    assert f"{100 * low:+.3g} to {100 * high:+.3g}" in group.reason
    assert group.reason.endswith("is inside the margin of 50.")


def test_a_metric_that_is_no_share_needs_a_margin_of_its_own(usual: Path) -> None:
    runs = read_runs([usual])
    accuracy, loss = compare_runs(runs).tables
    assert (accuracy.margin, loss.margin, loss.points) == (0.005, None, False)
    assert {(row.verdict, row.reason, row.p_value, row.seeds_needed) for row in loss.rows} == {(None,) * 4}
    assert loss.rows[1].difference == 0
    accuracy, loss = compare_runs(runs, margins={"loss": 0.02, "acc*": 1}).tables
    assert (accuracy.margin, loss.margin) == (0.01, 0.02)
    assert loss.rows[1].verdict is not None


@pytest.mark.parametrize("asked", ["erk 0.1", "ERK-0.1", "d" * 12, "folder", "folder/"])
def test_a_baseline_is_a_name_an_id_or_a_folder(usual: Path, asked: str) -> None:
    asked = asked.replace("folder", str(usual / ("e" * 12)))
    table = compare_runs(read_runs([usual]), asked).tables[0]
    assert [(row.group, row.baseline) for row in table.rows] == [
        ("erk 0.1", "erk 0.1"), ("dense", "erk 0.1"), ("erk 0.01", "erk 0.1")
    ]  # fmt: skip


def test_a_baseline_s_folder_may_have_any_name(usual: Path) -> None:
    renamed = (usual / ("a" * 12)).rename(usual / "first")
    assert compare_runs(read_runs([usual]), str(renamed)).tables[0].rows[0].group == "dense"


def test_several_dense_groups_compare_like_with_like(make: Callable[..., Path], tmp_path: Path) -> None:
    for more in ({}, {"model.name": "vgg11"}, {"training.epochs": 9}):
        make(config={**DENSE, **more})
    for more in ({}, {"model.name": "vgg11"}, {"training.lr": 0.5}):
        make(config={**SPARSE, **more})
    found = compare_runs(read_runs([tmp_path]))
    assert {row.group: row.baseline for row in found.tables[0].rows} == {
        "dense mlp_16 2 epochs": "dense mlp_16 2 epochs",
        "erk 0.1 mlp_16 2 epochs lr=0.1": "dense mlp_16 2 epochs",
        "dense vgg11 2 epochs": "dense vgg11 2 epochs",
        "erk 0.1 vgg11 2 epochs": "dense vgg11 2 epochs",
    }
    assert any("each group is compared with its own" in note for note in found.notes)
    left_out = [note for note in found.notes if note.startswith("Left out")]
    assert ["mlp_16 9 epochs" in left_out[0], "lr=0.5" in left_out[1], len(left_out)] == [True, True, 2]


def test_what_differs_beyond_how_sparse_is_said(make: Callable[..., Path], tmp_path: Path) -> None:
    make(config=DENSE)
    make(config={**SPARSE, "training.epochs": 9, "training.lr": 0.5})
    (note,) = compare_runs(read_runs([tmp_path])).notes
    assert note.startswith("erk 0.1 9 epochs differs from dense 2 epochs")
    assert note.endswith("training.epochs, training.lr.")


PARTS = {
    "images": 100,
    "top5": 0.99,
    "per_class": [0.9, None],
    "calibration": {"temperature": 1.5, "before": {"ece": 0.1, "brier": 0.2}, "after": {"ece": 0.05}},
    "ood": {"noise": {"images": 50, "scores": {"max_softmax": {"auroc": 0.9, "fpr95": 0.3}, "energy": {"auroc": 0.8}}}},
    "attacks": {"pgd:eps=0.03": {"attack": "pgd", "options": {"eps": 0.03}, "images": 10, "robust": 0.2}},
    "corruptions": {"source": "regenerated", "errors": {"fog": [0.1]}, "mean_error": 0.1},
    "flow": {"gradient_norm": {"final": {"total": 2.0, "layers": {"fc": 1.0}}}, "dead_units": {"fraction": 0.1}},
    "evaluated": {"ood": {"seconds": 3.0}},
}


def test_one_number_of_every_part_is_compared(make: Callable[..., Path], tmp_path: Path) -> None:
    make(metrics=PARTS, config=DENSE)
    make(metrics=PARTS, config=SPARSE)
    found = compare_runs(read_runs([tmp_path]))
    assert [(table.metric, table.points) for table in found.tables] == [
        ("accuracy", True),
        ("loss", False),
        ("calibration.before.ece", True),
        ("calibration.before.brier", False),
        ("calibration.after.ece", True),
        ("ood.noise.scores.max_softmax.auroc", True),
        ("attacks.pgd:eps=0.03.robust", True),
        ("corruptions.mean_error", True),
        ("flow.gradient_norm.final.total", False),
        ("flow.dead_units.fraction", False),
    ]


def test_metrics_are_chosen_by_name_and_pattern(make: Callable[..., Path], tmp_path: Path) -> None:
    make(metrics=PARTS, config=DENSE)
    make(metrics=PARTS, config=SPARSE)
    found = compare_runs(read_runs([tmp_path]), metrics=["ood.*.auroc", "top5", "calibration.temperature"])
    chosen = [table.metric for table in found.tables]
    assert chosen == [
        "ood.noise.scores.max_softmax.auroc",
        "ood.noise.scores.energy.auroc",
        "top5",
        "calibration.temperature",
    ]


def test_how_something_was_measured_is_no_metric(make: Callable[..., Path], tmp_path: Path) -> None:
    make(metrics=PARTS, config=DENSE)
    make(metrics=PARTS, config=SPARSE)
    for asked in ("evaluated.ood.seconds", "ood.noise.images", "attacks.pgd:eps=0.03.options.eps"):
        with pytest.raises(CompareError, match="Unknown metric"):
            compare_runs(read_runs([tmp_path]), metrics=[asked])


def test_what_only_some_runs_have_is_left_out_and_said(make: Callable[..., Path], tmp_path: Path) -> None:
    make(17, {"top5": 0.9}, config=DENSE)
    make(17, {"top5": 0.9, "corruptions": {"mean_error": 0.1}}, config=SPARSE)
    make(18, {"top5": 0.9}, config=SPARSE)
    make(config={**SPARSE, "density": 0.2})
    runs = read_runs([tmp_path])
    found = compare_runs(runs)
    assert [table.metric for table in found.tables] == ["accuracy", "loss"]
    (note,) = found.notes
    assert "corruptions.mean_error" in note
    assert "dense (aaaaaaaaaaaa), erk 0.2 (dddddddddddd), erk 0.1 (cccccccccccc)" in note
    # asked for by name, the groups that have it are compared, if the baseline is one of them
    found = compare_runs(runs, metrics=["top5"])
    assert [row.group for row in found.tables[0].rows] == ["dense", "erk 0.1"]
    assert "top5" in found.notes[0]
    with pytest.raises(CompareError, match=r"The baseline has no corruptions.mean_error: not in dense \(a{12}\)"):
        compare_runs(runs, metrics=["corruptions.mean_error"])


@pytest.mark.parametrize(
    ("metric", "changes"),
    [
        ("attacks.pgd:eps=0.03.robust", {"images": 20}),
        ("attacks.pgd:eps=0.03.robust", {"options": {"eps": 0.1}}),
        ("corruptions.mean_error", {"source": "official"}),
        ("corruptions.mean_error", {"errors": {"fog": [0.1], "snow": [0.1]}}),
    ],
)
def test_only_what_was_measured_alike_is_compared(
    make: Callable[..., Path], tmp_path: Path, metric: str, changes: dict[str, Any]
) -> None:
    other: dict[str, Any] = copy.deepcopy(PARTS)
    (other["corruptions"] if metric.startswith("c") else other["attacks"]["pgd:eps=0.03"]).update(changes)
    make(metrics=PARTS, config=DENSE)
    make(metrics=other, config=SPARSE)
    runs = read_runs([tmp_path])
    found = compare_runs(runs)
    assert metric not in [table.metric for table in found.tables]
    assert [f"{metric} was not measured in the same way" in note for note in found.notes] == [True]
    with pytest.raises(CompareError, match="was not measured in the same way"):
        compare_runs(runs, metrics=[metric])


def test_a_record_that_does_not_say_how_is_like_the_others(make: Callable[..., Path], tmp_path: Path) -> None:
    """Training writes an accuracy without the number of images, evaluation adds it."""
    make(17, config=DENSE)
    make(18, {"images": 100}, config=DENSE)
    make(config=SPARSE)
    assert compare_runs(read_runs([tmp_path])).tables[0].metric == "accuracy"


def test_runs_count_once(usual: Path) -> None:
    runs = read_runs([usual, usual / ("a" * 12), usual])
    assert [run.id[0] for run in runs] == list("abcdef")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda runs: compare_runs([]), "There are no runs"),
        (lambda runs: compare_runs(runs, "erk 0.2"), "Did you mean 'erk 0.1'"),
        (lambda runs: compare_runs(runs[:2]), "nothing to compare"),
        (lambda runs: compare_runs(runs[3:]), "There is no dense group; the groups are erk 0.1, erk 0.01"),
        (lambda runs: compare_runs(runs, metrics=["acuracy"]), "Did you mean 'accuracy'.*accuracy, loss"),
        (lambda runs: compare_runs(runs, metrics=["ood.*"]), "Unknown metric 'ood"),
        (lambda runs: compare_runs(runs, margins={"los": 1}), "Did you mean 'loss'"),
        (lambda runs: compare_runs(runs, margins={"loss": 0}), "margin of loss has to be a number above 0; got 0"),
        (lambda runs: compare_runs(runs, points=float("nan")), "number above 0; got nan"),
        (lambda runs: compare_runs(runs, confidence=95), "between 0 and 1, such as 0.95; got 95"),
    ],
)
def test_mistakes(usual: Path, call: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(read_runs([usual]))


def test_a_seed_twice_is_a_mistake(make: Callable[..., Path], tmp_path: Path) -> None:
    one, other = make(17, config=DENSE), make(17, config={**DENSE, "device": "cuda"})
    with pytest.raises(CompareError, match=f"{one} and {other} have the same seed, 17") as told:
        compare_runs(read_runs([tmp_path]))
    assert "(device)" in str(told.value)


def test_folders_that_cannot_be_read(make: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(CompareError, match="There is no folder nowhere"):
        read_runs([Path("nowhere")])
    with pytest.raises(CompareError, match=f"There is no finished run in {tmp_path}"):
        read_runs([tmp_path])
    run = make()
    other = tmp_path / "copies" / run.name
    write(Record(**{**GOLDEN, "id": run.name}), other / "record.json")
    with pytest.raises(CompareError, match=f"{run} and {other} are the same run"):
        read_runs([run, other.parent])
    (run / "record.json").write_text("{")
    with pytest.raises(RecordError, match=f"{run / 'record.json'} is damaged"):
        read_runs([tmp_path])
    make(config={"training.lr": -1.0})
    with pytest.raises(CompareError, match=r"b{12} cannot be understood.*lr"):
        compare_runs(read_runs([tmp_path / ("b" * 12)]))


def test_runs_of_other_data_are_no_group(make: Callable[..., Path], tmp_path: Path) -> None:
    """Seeds 1 and 2 of data a, 3 and 4 of data b; each is compared with dense runs of its own data."""
    for seed, data in enumerate("aabb", 1):
        make(seed, config=DENSE, record={"fingerprint": data * 16})
        make(seed, {"accuracy": 0.8}, config=SPARSE, record={"fingerprint": data * 16})
    found = compare_runs(read_runs([tmp_path]))
    assert {group.name: group.seeds for group in found.groups} == {
        f"{what} data.fingerprint={data * 16}": seeds
        for data, seeds in (("a", (1, 2)), ("b", (3, 4)))
        for what in ("dense", "erk 0.1")
    }
    pairs = {row.group: row.baseline for row in found.tables[0].rows}
    assert all(pairs[name].rpartition(" ")[2] == name.rpartition(" ")[2] for name in pairs)


def test_data_of_one_fingerprint_need_no_name_and_older_records_go_with_them(make: Callable[..., Path], tmp_path: Path):
    make(1, config=DENSE, record={"fingerprint": "a" * 16})
    make(2, config=DENSE)
    make(1, config=SPARSE, record={"fingerprint": "a" * 16})
    assert [(group.name, group.seeds) for group in compare_runs(read_runs([tmp_path])).groups] == [
        ("dense", (1, 2)),
        ("erk 0.1", (1,)),
    ]


def test_where_data_differ_older_records_stand_apart(make: Callable[..., Path], tmp_path: Path) -> None:
    for seed, fingerprint in enumerate(("a" * 16, "b" * 16, None), 1):
        make(seed, config=DENSE, record={"fingerprint": fingerprint})
    make(1, config=SPARSE, record={"fingerprint": "a" * 16})
    names = [group.name for group in compare_runs(read_runs([tmp_path]), "c" * 12).groups]
    assert "dense data.fingerprint=unknown" in names
    assert len(names) == 4


def test_one_id_may_be_of_two_data_sets(make: Callable[..., Path], tmp_path: Path) -> None:
    """As `--out elsewhere` makes them, which is what a refused run is told to do."""
    first = make(1, config=DENSE, record={"fingerprint": "a" * 16})
    make(2, {"accuracy": 0.8}, config=SPARSE, record={"fingerprint": "a" * 16})
    other = json.loads((first / "record.json").read_text()) | {"fingerprint": "b" * 16}
    other["metrics"]["test"]["accuracy"] = 0.5
    write(Record(**other), tmp_path / "elsewhere" / first.name / "record.json")
    runs = read_runs([tmp_path, tmp_path / "elsewhere"])
    assert sorted(run.record.metrics["test"]["accuracy"] for run in runs) == [0.5, 0.8, 0.9]
    rows = compare_runs(runs, "dense data.fingerprint=" + "b" * 16, metrics=["accuracy"]).tables[0].rows
    assert {row.group.rpartition("=")[2]: row.mean for row in rows if "dense" in row.group} == {
        "a" * 16: 0.9,
        "b" * 16: 0.5,
    }


@pytest.mark.parametrize(("rate", "name"), [(None, "erk 0.1 rigl"), (0.5, "erk 0.1 rigl"), ("density", NEVER)])
def test_a_topology_that_never_moved_is_named_so(
    make: Callable[..., Path], tmp_path: Path, rate: Any, name: str
) -> None:
    """The share of weights ever kept is the density: no mask ever held another weight."""
    rate = GOLDEN["density"] if rate == "density" else rate
    history = [row | {"exploration_rate": rate} for row in GOLDEN["history"]]
    make(1, config=DENSE)
    make(1, config=SPARSE, record={"history": history})
    make(1, config={**SPARSE, "topology": {"name": "rigl"}}, record={"history": history})
    assert [group.name for group in compare_runs(read_runs([tmp_path])).groups] == ["dense", "erk 0.1", name]


def test_what_runs_warned_about_is_told_once_a_group(make: Callable[..., Path], tmp_path: Path) -> None:
    for seed in (1, 2, 3):
        make(seed, config=DENSE)
        make(seed, config=SPARSE, record={"notes": ["the kernels are missing"] if seed < 3 else []})
    notes = [note for note in compare_runs(read_runs([tmp_path])).notes if "kernels" in note]
    assert notes == ["erk 0.1 (2 of 3 runs): the kernels are missing"]


def test_a_record_that_cannot_be_read_stops_no_other(
    usual: Path, make: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    (usual / ("c" * 12) / "record.json").write_text("{")
    odd = make(config={**SPARSE, "training.lr": -1.0})
    groups = compare_runs(read_runs([usual])).groups
    assert [(group.name, group.seeds) for group in groups] == [
        ("dense", (17, 18)),
        ("erk 0.1", (17, 18)),
        ("erk 0.01", (17,)),
    ]
    assert all(name in caplog.text for name in ("c" * 12, odd.name, "lr"))
