"""Cross-entropy against scikit-learn's log loss."""

from __future__ import annotations

import math

import numpy
import pytest
import torch
from sklearn.metrics import log_loss

from rarefy.evaluation import Predictions
from rarefy.evaluation.metrics.loss import Loss


def test_it_is_scikit_learn_s(predictions):
    logits = predictions.logits.double().numpy()
    probabilities = numpy.exp(logits) / numpy.exp(logits).sum(1, keepdims=True)
    expected = log_loss(predictions.labels.numpy(), probabilities, labels=range(logits.shape[1]))
    assert Loss()(predictions) == pytest.approx(expected, rel=1e-9)


def test_by_hand():
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])  # probabilities 1/4, 3/4 and 1/2, 1/2
    assert Loss()(Predictions(logits, torch.tensor([0, 1]))) == pytest.approx((math.log(4) + math.log(2)) / 2)


def test_it_keeps_what_float32_would_lose():
    confident = Predictions(torch.tensor([[20.0, 0.0]]), torch.tensor([0]))
    assert Loss()(confident) == pytest.approx(math.log1p(math.exp(-20)), rel=1e-6)
