"""A finished run is evaluated: every part once, into the record, with numbers that other code finds, too."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
import torch
from PIL import Image

import rarefy
from rarefy import data, models
from rarefy.analysis import render_joint_page
from rarefy.config import Config
from rarefy.paths import RunPaths
from rarefy.pipeline import EvaluationOptions, Progress, RunError, evaluate_runs, resolve, run
from rarefy.records import Metrics, RecordError, read, write
from rarefy.rng import Streams

TINY = {"name": "synthetic", "height": 8, "width": 8, "train": 256, "validation": 64, "test": 64}
SMALL: dict[str, Any] = {"ood_images": 40, "attack_images": 16, "curve_images": 8, "corruption_images": 8}
EVERYTHING = EvaluationOptions(
    ood=("uniform_noise", "digits"),
    scores=("max_softmax", "energy"),
    attacks=("fgsm", "pgd:steps=3"),
    eps=(1 / 255, 8 / 255),
    corruptions=True,
    calibration=True,
    cost=True,
    hessian=True,
    landscape=True,
    **SMALL,
)


def config(**values: Any) -> Config:
    training = {"epochs": 1, "batch_size": 32}
    return Config.from_values({"data": TINY, "model": "mlp_24_16", "density": 0.2, "training": training, **values})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("eval")


@pytest.fixture(scope="module")
def folders(home: Path) -> list[Path]:
    """A sparse run and a dense one on the same data."""
    return [home / run(config(**values), out=home).id for values in ({}, {"allocation": "dense", "density": 1.0})]


@pytest.fixture(scope="module")
def evaluated(folders: list[Path]) -> list[dict[str, Any]]:
    """What the records hold of the test split after everything was computed."""
    return [record.metrics["test"] for record in evaluate_runs(folders, EVERYTHING)]


@pytest.fixture
def copies(tmp_path: Path, folders: list[Path], evaluated: list[dict[str, Any]]) -> list[Path]:
    """The evaluated runs once more, to evaluate otherwise."""
    return [Path(shutil.copytree(folder, tmp_path / folder.name)) for folder in folders]


def logits_of(folder: Path, split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """What the saved network says of a split, without the code under test."""
    plan = resolve(Config.from_values(read(folder).config))
    splits = data.load(plan.dataset, folder, Streams(17)("split"))
    model = models.build(plan.model, in_channels=3, classes=10, size=(8, 8), generator=torch.Generator())
    rarefy.load(model, folder / "model.safetensors")
    chosen = getattr(splits, split)
    with torch.no_grad():
        return model.eval()(splits.spec.normalize(chosen.images.float() / 255)), chosen.labels


def test_the_record_on_disk_holds_every_part(folders: list[Path], evaluated: list[dict[str, Any]]) -> None:
    parts = {"calibration", "ood", "attacks", "robust_curve", "corruptions", "cost", "flow", "evaluated", "confusion"}
    for folder, test in zip(folders, evaluated, strict=True):
        assert parts | {"accuracy", "loss", "top5", "per_class", "accuracy_interval"} <= test.keys()
        assert read(folder).metrics["test"] == test
        assert set(test["ood"]) == {"uniform_noise", "digits"} and set(test["attacks"]) == {"fgsm", "pgd:steps=3"}
        json.dumps(test, allow_nan=False)


def undocumented(model: pydantic.BaseModel, place: str = "") -> list[str]:
    """Fields that the schema does not describe, at any depth."""
    found = [f"{place}.{name}" for name in model.model_extra or {}]
    for name, value in model:
        inner = value.items() if isinstance(value, dict) else [("", value)]
        found += [
            x for k, v in inner if isinstance(v, pydantic.BaseModel) for x in undocumented(v, f"{place}.{name}{k}")
        ]
    return found


def test_everything_written_is_in_the_schema(evaluated: list[dict[str, Any]]) -> None:
    for test in evaluated:
        assert undocumented(Metrics.model_validate(test)) == []
    assert undocumented(Metrics.model_validate({**evaluated[0], "mine": 1})) == [".mine"]


def test_accuracy_and_calibration_are_those_of_the_saved_network(
    folders: list[Path], evaluated: list[dict[str, Any]]
) -> None:
    from sklearn.metrics import confusion_matrix, log_loss

    logits, labels = logits_of(folders[0], "test")
    assert evaluated[0]["accuracy"] == pytest.approx((logits.argmax(1) == labels).double().mean().item())
    expected = confusion_matrix(labels, logits.argmax(1), labels=range(10))
    assert evaluated[0]["confusion"] == expected.tolist()
    found = evaluated[0]["calibration"]
    after = (logits.double() / found["temperature"]).softmax(1)
    assert found["after"]["loss"] == pytest.approx(log_loss(labels, after, labels=range(10)), rel=1e-5)
    seen, truth = logits_of(folders[0], "validation")  # a temperature nearby is worse where it was fitted
    at = [float(torch.nn.functional.cross_entropy(seen / (found["temperature"] * by), truth)) for by in (0.9, 1, 1.1)]
    assert at[1] < min(at[0], at[2])


def test_robustness_is_monotone_and_starts_at_the_clean_accuracy(evaluated: list[dict[str, Any]]) -> None:
    for test in evaluated:
        for label, curve in test["robust_curve"].items():
            assert curve["eps"] == [0.0, 1 / 255, 8 / 255] and curve["images"] == 8
            assert curve["robust"][0] >= curve["robust"][-1]
            found = test["attacks"][label]
            assert found["images"] == 16 and found["robust"] <= found["clean"]
        assert test["attacks"]["pgd:steps=3"]["options"]["steps"] == 3


def test_the_curve_at_the_attack_s_eps_is_the_attack(copies: list[Path]) -> None:
    request = EvaluationOptions(attacks=("fgsm",), eps=(8 / 255,), attack_images=16, curve_images=16)
    test = evaluate_runs(copies[:1], request)[0].metrics["test"]
    assert test["robust_curve"]["fgsm"]["robust"] == [
        test["attacks"]["fgsm"]["clean"],
        test["attacks"]["fgsm"]["robust"],
    ]


def test_corruptions_are_the_same_for_runs_that_share_their_data(
    copies: list[Path], evaluated: list[dict[str, Any]]
) -> None:
    for folder, test in zip(copies, evaluated, strict=True):
        alone = evaluate_runs([folder], EvaluationOptions(corruptions=True, corruption_images=8), again=True)[0]
        assert alone.metrics["test"]["corruptions"] == test["corruptions"]
        assert len(test["corruptions"]["errors"]) == 19 and test["corruptions"]["source"] == "regenerated"


def test_cost_and_flow_count_the_network(folders: list[Path], evaluated: list[dict[str, Any]]) -> None:
    total = 3 * 64 * 24 + 24 * 16 + 16 * 10
    sparse, dense = (test["cost"] for test in evaluated)
    assert sparse["parameters"]["prunable"] == total and sparse["parameters"]["kept"] == round(0.2 * total)
    assert dense["flops"]["kept"] == dense["flops"]["dense"] == 2 * total
    assert sparse["flops"]["kept"] == pytest.approx(2 * sparse["parameters"]["kept"])  # a linear layer: 2 a weight
    assert sparse["bytes"]["model"] == (folders[0] / "model.safetensors").stat().st_size
    assert sparse["latency"]["1"]["seconds"] > 0 and sparse["peak_memory_bytes"]["1"] > 0
    assert evaluated[0]["flow"]["effective_density"]["kept"] == sparse["parameters"]["kept"]
    assert evaluated[0]["flow"]["gradient_norm"]["initial"]["total"] > 0
    assert "eigenvalue" in evaluated[0]["flow"]["hessian"] and "loss" in evaluated[0]["flow"]["landscape"]


def test_initial_gradients_are_of_the_untrained_network(folders: list[Path], evaluated: list[dict[str, Any]]) -> None:
    """Made from the config alone, by hand."""
    plan, streams = resolve(config()), Streams(17)
    splits = data.load(plan.dataset, folders[0], streams("split"))
    model = models.build(plan.model, in_channels=3, classes=10, size=(8, 8), generator=streams("init"))
    sparsity = rarefy.sparsify(model, density=0.2, seed=17)
    images, labels = data.draw_balanced(splits.train, 256, streams("flow"))
    torch.nn.functional.cross_entropy(model.train()(splits.spec.normalize(images.float() / 255)), labels).backward()
    sparsity.mask_gradients_()
    norm = sum(float(weight.grad.square().sum()) for weight in sparsity.weights().values()) ** 0.5
    assert evaluated[0]["flow"]["gradient_norm"]["initial"]["total"] == pytest.approx(norm, rel=1e-4)


def test_pictures_and_pages_are_there(home: Path, folders: list[Path], evaluated: list[dict[str, Any]]) -> None:
    from matplotlib.image import imread

    for folder in folders:
        for kind in ("detected", "missed"):
            assert imread(folder / "examples" / f"digits_{kind}.png").shape[:2] == (8, 8 * 10 - 2)
        assert (folder / "evaluation.html").stat().st_size > 10_000
    render_joint_page(folders, home / "both.html")
    text = (home / "both.html").read_text(encoding="utf-8")
    assert all(folder.name in text for folder in folders)


def test_what_is_known_is_not_computed_again(copies: list[Path]) -> None:
    told: list[Progress] = []
    evaluate_runs(copies, EVERYTHING, progress=told.append)
    assert told and {progress.seconds for progress in told} == {0.0} and told[-1].share == 1
    assert {progress.run for progress in told} == {folder.name for folder in copies}
    told.clear()
    evaluate_runs(
        copies[:1], EvaluationOptions(cost=True, calibration=True, hessian=True, landscape=True), progress=told.append
    )
    assert {progress.part: progress.seconds for progress in told}["cost"] == 0.0
    told.clear()
    evaluate_runs(copies[:1], EvaluationOptions(ood=("digits",), scores=("energy",), **SMALL), progress=told.append)
    assert told[-1].part == "ood digits" and told[-1].seconds, "other scores are another question"


def test_an_interrupted_evaluation_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = run(config(training={"epochs": 1, "batch_size": 64}), out=tmp_path)
    folder = tmp_path / record.id

    def stop(progress: Progress) -> None:
        if progress.part == "corruptions":
            raise KeyboardInterrupt

    request = EvaluationOptions(calibration=True, corruptions=True, corruption_images=4)
    with pytest.raises(KeyboardInterrupt):
        evaluate_runs([folder], request, progress=stop)
    test = read(folder).metrics["test"]
    assert "calibration" in test and "corruptions" not in test
    assert test["accuracy"] == record.metrics["test"]["accuracy"]
    assert "corruptions" in evaluate_runs([folder], request)[0].metrics["test"]


def test_what_another_evaluation_found_meanwhile_is_kept(copies: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from rarefy.pipeline._evaluate import _evaluate_runs

    @contextlib.contextmanager
    def claimed_late(paths: RunPaths) -> Iterator[None]:
        record = read(paths.record)  # the other one ends between our look at the record and our turn
        test = {**record.metrics["test"], "meanwhile": 1}
        write(record.model_copy(update={"metrics": {"test": test}}), paths.record)
        yield

    monkeypatch.setattr(_evaluate_runs, "claim_folder", claimed_late)
    found = evaluate_runs(copies[:1], EvaluationOptions(), again=True)[0].metrics["test"]
    assert found["meanwhile"] == 1 and read(copies[0]).metrics["test"] == found


def test_a_model_that_is_not_the_record_s_is_refused(tmp_path: Path) -> None:
    first = tmp_path / run(config(), out=tmp_path).id
    other = tmp_path / run(config(seed=18), out=tmp_path).id
    (first / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(RunError, match=r"scores 0\.\d+ on the test split, its record says"):
        evaluate_runs([first], EvaluationOptions())
    assert "evaluated" not in read(first).metrics["test"]
    (first / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"has a record but no model\.safetensors"):
        evaluate_runs([first], EvaluationOptions())
    with pytest.raises(RecordError, match="no record"):
        evaluate_runs([tmp_path / "nowhere"], EvaluationOptions())


def test_a_request_is_checked_before_anything_is_computed() -> None:
    for wrong, message in (
        ({"attacks": ("pdg",)}, "Did you mean 'pgd'"),
        ({"attacks": ("pgd:step=3",)}, "has no option 'step'.*'steps'"),
        ({"scores": ("energi",)}, "Did you mean 'energy'"),
        ({"attack_images": 0}, "at least 1"),
        ({"eps": (8.0,)}, r"in \(0, 1\]"),
        ({"attacks": ("pgd:eps=8",)}, "eps is in units of pixels"),
    ):
        with pytest.raises(ValueError, match=message):
            EvaluationOptions(**wrong)


def test_a_record_does_not_say_where_a_source_lies(copies: list[Path], tmp_path: Path) -> None:
    """Two folders of one name stay two; another folder under a known label is computed anew."""
    for place, shade in (("one/textures", 20), ("two/textures", 200), ("three/textures", 90)):
        (tmp_path / place).mkdir(parents=True)
        Image.new("RGB", (8, 8), (shade, 0, 0)).save(tmp_path / place / "1.png")
        Image.new("RGB", (8, 8), (0, shade, 0)).save(tmp_path / place / "2.png")

    def found(*places: str) -> dict[str, Any]:
        request = EvaluationOptions(
            ood=tuple(str(tmp_path / place) for place in places), scores=("max_softmax",), **SMALL
        )
        (record,) = evaluate_runs(copies[:1], request)
        assert str(tmp_path) not in json.dumps(record.model_dump(mode="json"))
        return dict(record.metrics["test"]["ood"])

    first = found("one/textures", "two/textures")
    assert {"textures", "two/textures"} <= set(first)
    assert found("three/textures")["textures"] != first["textures"]
