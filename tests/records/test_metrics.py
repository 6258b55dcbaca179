"""What the models of a record's metrics promise: every name is described, nothing is lost, another shape is refused."""

from __future__ import annotations

import inspect
from typing import Any

import pydantic
import pytest

from rarefy.records import _metrics
from rarefy.records._metrics import Metrics

MODELS = [
    model
    for _, model in inspect.getmembers(_metrics, inspect.isclass)
    if issubclass(model, pydantic.BaseModel) and model.model_fields
]
SIDE = {
    "ece": 0.05,
    "ece_mass": 0.04,
    "classwise_ece": 0.01,
    "loss": 0.7,
    "brier": 0.3,
    "reliability": {"images": [3, 0], "confidence": [0.4, None], "accuracy": [0.5, None]},
}
SCORE = {"auroc": 0.9, "aupr_in": 0.9, "aupr_out": 0.8, "fpr95": 0.4, "roc": [0.0, 0.7, 1.0]}


def values() -> dict[str, Any]:
    """Every part there is, as JSON, with a name in each of them that no model knows."""
    return {
        "accuracy": 0.8,
        "loss": 0.6,
        "images": 10000,
        "accuracy_interval": [0.79, 0.81],
        "top5": 0.99,
        "class_names": ["cat", "dog"],
        "per_class": {"images": [2, 0], "accuracy": [0.5, None], "interval": [[0.1, 0.9], None]},
        "confusion": [[1, 1], [0, 0]],
        "calibration": {"temperature": 1.6, "before": SIDE, "after": SIDE, "mine": 1},
        "ood": {"svhn": {"images": 3, "inside": 4, "roc_fpr": [0.0, 0.5, 1.0], "scores": {"odin": SCORE}, "mine": 1}},
        "attacks": {
            "pgd:steps=50": {
                "attack": "pgd",
                "options": {"eps": 8 / 255, "steps": 50},
                "clean": 0.8,
                "clean_interval": [0.7, 0.9],
                "robust": 0.1,
                "robust_interval": [0.0, 0.2],
                "images": 1000,
                "mine": 1,
            }
        },
        "robust_curve": {"fgsm": {"eps": [0.0, 0.5 / 255], "robust": [0.8, 0.7], "images": 200, "mine": 1}},
        "corruptions": {
            "source": "official",
            "images": 1000,
            "severities": [1, 5],
            "errors": {"fog": [0.2, 0.4]},
            "mean_error": 0.3,
            "relative_to": {"beef": 0.9},
            "mine": 1,
        },
        "cost": {
            "parameters": {"all": 10, "prunable": 8, "kept": 4},
            "flops": {"dense": 16, "kept": 7.5, "layers": {"fc.weight": {"dense": 16, "kept": 7.5}}},
            "training_flops": {"dense": 48, "kept": 24},
            "bytes": {"model": 100, "dense": 200},
            "latency": {"1": {"seconds": 0.003, "engine": "masked"}},
            "peak_memory_bytes": {"1": 1024},
            "threads": 2,
            "mine": 1,
        },
        "flow": {
            "gradient_norm": {"initial": {"total": 5.0, "layers": {"fc.weight": 5.0}}},
            "effective_density": {"effective_density": 0.1},
            "dead_units": {"fraction": 0.1},
            "hessian": {"eigenvalue": 3.0},
            "landscape": {"at": [-1.0, 0.0, 1.0], "loss": [1.0, 0.5, 1.0]},
            "mine": 1,
        },
        "evaluated": {"ood": {"seconds": 12.3, "options": {"limit": None}, "mine": 1}},
        "mine": {"of": "a user's own"},
    }


def test_nothing_is_lost_or_changed() -> None:
    assert Metrics.model_validate(values()).model_dump(mode="json", exclude_unset=True) == values()


def test_what_train_writes_is_enough() -> None:
    metrics = Metrics.model_validate({"accuracy": 0.8, "loss": 0.6})
    assert (metrics.calibration, metrics.ood, metrics.evaluated) == (None, {}, {})


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_is_described_and_every_model_is_used(model: type[pydantic.BaseModel]) -> None:
    assert [name for name, field in model.model_fields.items() if not field.description] == []
    assert model is Metrics or model.__name__ in Metrics.model_json_schema()["$defs"]


def test_they_are_frozen() -> None:
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        Metrics(accuracy=0.8, loss=0.6).accuracy = 0.9


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("accuracy",), "most"),
        (("accuracy_interval",), [0.1]),
        (("calibration", "before", "ece"), None),
        (("ood", "svhn", "scores", "odin", "auroc"), None),
        (("attacks", "pgd:steps=50", "options"), None),
        (("corruptions", "errors", "fog"), 0.3),
    ],
)
def test_another_shape_is_refused(path: tuple[str, ...], wrong: object) -> None:
    found = at = values() | {"calibration": {"temperature": 1.6, "before": dict(SIDE), "after": SIDE}}
    at["ood"]["svhn"]["scores"] = {"odin": dict(SCORE)}
    for name in path[:-1]:
        at = at[name]
    at[path[-1]] = wrong
    with pytest.raises(pydantic.ValidationError, match=path[-1]):
        Metrics.model_validate(found)
