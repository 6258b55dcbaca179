"""Titles of metrics: every number that pages and tables show has one, with its unit and direction."""

from __future__ import annotations

import pytest

from rarefy.records import describe_metric, describe_metrics


@pytest.mark.parametrize(
    ("name", "title", "unit", "higher"),
    [
        ("accuracy", "Accuracy", "fraction", True),
        ("top5", "Top-5 accuracy", "fraction", True),
        ("loss", "NLL", "nats", False),
        ("calibration.before.ece", "ECE", "fraction", False),
        ("calibration.after.brier", "Brier score after temperature", "", False),
        ("ood.tiny_imagenet.scores.max_softmax.auroc", "AUROC, tiny_imagenet", "fraction", True),
        ("ood.svhn.scores.odin.fpr95", "FPR95 of odin, svhn", "fraction", False),
        ("ood.svhn.scores.knn.aupr_out", "AUPR-out of knn, svhn", "fraction", True),
        ("attacks.pgd:steps=50.robust", "Robust accuracy, pgd:steps=50", "fraction", True),
        ("corruptions.mean_error", "Mean corruption error", "fraction", False),
        ("flow.gradient_norm.final.total", "Gradient norm after training", "", None),
        ("mine", "My metric", "fraction", True),
        ("calibration.after.mine", "My metric after temperature", "fraction", True),
        ("nobody.knows", "nobody.knows", "", None),
    ],
)
def test_a_title_a_unit_and_a_direction(name, title, unit, higher):
    described = {"mine": {"title": "My metric", "unit": "fraction", "higher_is_better": True}}
    info = describe_metric(name, describe_metrics({"described": described}))
    assert (info.title, info.unit, info.higher_is_better) == (title, unit, higher)
