"""The Brier score against scikit-learn's, and by hand."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import brier_score_loss

from rarefy.evaluation import Predictions
from rarefy.evaluation.metrics.brier import Brier


def test_it_is_scikit_learn_s(predictions):
    classes = predictions.logits.shape[1]
    probabilities = predictions.logits.double().softmax(1).numpy()
    labels = predictions.labels.numpy()
    columns = probabilities if classes > 2 else probabilities[:, 1]
    expected = brier_score_loss(labels, columns, labels=list(range(classes)), scale_by_half=classes == 2)
    assert Brier()(predictions) == pytest.approx(expected * (2 if classes == 2 else 1))


def test_by_hand():
    """3/4 for the wrong class: (3/4)^2 + (3/4)^2; sure and wrong: 2; sure and right: 0."""
    logits = torch.tensor([[math.log(3), 0.0], [1e4, 0.0], [0.0, 1e4]])
    assert Brier()(Predictions(logits, torch.tensor([1, 1, 1]))) == pytest.approx((9 / 8 + 2 + 0) / 3)


def test_a_model_that_diverged_is_not_scored():
    with pytest.raises(ValueError, match="diverged"):
        Brier()(Predictions(torch.full((2, 2), torch.nan), torch.zeros(2).long()))
