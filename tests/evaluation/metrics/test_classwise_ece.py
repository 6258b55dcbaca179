"""Classwise calibration error against torchmetrics' binary one, class by class."""

from __future__ import annotations

import pytest
import torch
from torchmetrics.functional.classification import binary_calibration_error

from rarefy.evaluation import Predictions
from rarefy.evaluation.metrics.classwise_ece import ClasswiseEce


@pytest.mark.parametrize("bins", [1, 15])
def test_it_is_the_mean_of_torchmetrics(predictions, bins):
    probabilities = predictions.logits.double().softmax(1)
    errors = [
        float(binary_calibration_error(column, (predictions.labels == label).int(), n_bins=bins, norm="l1"))
        for label, column in enumerate(probabilities.T.contiguous())
    ]
    assert ClasswiseEce(bins)(predictions) == pytest.approx(sum(errors) / len(errors), abs=1e-6)  # theirs: float32


@pytest.mark.parametrize("mode", ["width", "mass"])
def test_it_sees_what_the_guess_hides(mode):
    """The guess is right as often as it says, 1/2; but the rest is all class 1's, and shared with class 2."""
    logits = torch.tensor([[0.5, 0.25, 0.25]] * 4, dtype=torch.float64).log()
    predictions = Predictions(logits, torch.tensor([0, 0, 1, 1]))
    assert ClasswiseEce(mode=mode)(predictions) == pytest.approx((0 + 0.25 + 0.25) / 3)


def test_what_are_no_bins():
    with pytest.raises(ValueError, match="bins"):
        ClasswiseEce(bins=0)
