"""Accuracy against scikit-learn's."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import accuracy_score

from rarefy.evaluation import Predictions
from rarefy.evaluation.metrics.accuracy import Accuracy


def test_it_is_scikit_learn_s(predictions):
    guesses = predictions.logits.numpy().argmax(1)
    assert Accuracy()(predictions) == accuracy_score(predictions.labels.numpy(), guesses)


@pytest.mark.parametrize(("label", "accuracy"), [(0, 1.0), (1, 0.0), (9, 0.0)])
def test_of_equal_logits_the_first_class_counts(label, accuracy):
    assert Accuracy()(Predictions(torch.ones(8, 10), torch.full((8,), label))) == accuracy
