"""Top-5 accuracy against scikit-learn's."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import top_k_accuracy_score

from rarefy.evaluation import Predictions
from rarefy.evaluation.metrics.top5 import Top5


def test_it_is_scikit_learn_s(predictions):
    classes = predictions.logits.shape[1]
    if classes <= 5:
        assert Top5()(predictions) == 1.0
        return
    labels, logits = predictions.labels.numpy(), predictions.logits.numpy()
    assert Top5()(predictions) == top_k_accuracy_score(labels, logits, k=5, labels=range(classes))
    assert 0 < Top5()(predictions) < 1


@pytest.mark.parametrize(("label", "value"), [(0, 1.0), (4, 1.0), (5, 0.0), (9, 0.0)])
def test_of_equal_logits_the_first_classes_count(label, value):
    assert Top5()(Predictions(torch.ones(8, 10), torch.full((8,), label))) == value


def test_nan_is_not_right():
    assert Top5()(Predictions(torch.full((8, 10), torch.nan), torch.zeros(8).long())) == 0.0
