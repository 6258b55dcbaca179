"""Accuracy by class against scikit-learn's recall."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import recall_score

from rarefy.evaluation import Predictions
from rarefy.evaluation.metrics.per_class import PerClass


def test_it_is_scikit_learn_s_recall(predictions):
    classes = predictions.logits.shape[1]
    labels, guesses = predictions.labels.numpy(), predictions.logits.argmax(1).numpy()
    expected = recall_score(labels, guesses, labels=range(classes), average=None, zero_division=0)
    found = PerClass()(predictions)
    assert [value or 0.0 for value in found["accuracy"]] == pytest.approx(expected)
    assert found["images"] == [int((labels == label).sum()) for label in range(classes)]


def test_intervals_and_a_class_without_images():
    found = PerClass()(Predictions(torch.eye(3)[[0, 0, 0, 1, 1]], torch.tensor([0, 0, 0, 0, 1])))
    expected = [binomtest(*pair).proportion_ci(method="wilson") for pair in ((3, 4), (1, 1))]
    assert found["accuracy"] == [0.75, 1.0, None]
    assert found["interval"][2] is None
    for interval, wilson in zip(found["interval"][:2], expected, strict=True):
        assert interval == pytest.approx([wilson.low, wilson.high])
