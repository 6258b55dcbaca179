"""The bars of a reliability diagram against scikit-learn's calibration curve."""

from __future__ import annotations

import pytest
import torch
from sklearn.calibration import calibration_curve

from rarefy.evaluation import Predictions
from rarefy.evaluation.metrics.ece import Ece
from rarefy.evaluation.metrics.reliability import Reliability


def test_it_is_scikit_learn_s_curve(predictions):
    probabilities = predictions.logits.double().softmax(1)
    confidence, guesses = probabilities.max(1)
    hits = (guesses == predictions.labels).numpy()
    accuracy, mean = calibration_curve(hits, confidence.numpy(), n_bins=15, pos_label=True)
    found = Reliability()(predictions)
    assert [value for value in found["accuracy"] if value is not None] == pytest.approx(accuracy)
    assert [value for value in found["confidence"] if value is not None] == pytest.approx(mean)
    assert sum(found["images"]) == len(predictions)


@pytest.mark.parametrize("mode", ["width", "mass"])
def test_the_calibration_error_is_read_off_it(predictions, mode):
    found = Reliability(mode=mode)(predictions)
    bars = zip(found["images"], found["accuracy"], found["confidence"], strict=True)
    gaps = sum(count * abs(accuracy - confidence) for count, accuracy, confidence in bars if count)
    assert gaps / len(predictions) == pytest.approx(Ece(mode=mode)(predictions))


def test_empty_bins():
    found = Reliability(bins=3)(Predictions(torch.zeros(2, 2), torch.tensor([0, 1])))
    assert found == {"images": [0, 2, 0], "confidence": [None, 0.5, None], "accuracy": [None, 0.5, None]}


def test_what_are_no_bins():
    with pytest.raises(ValueError, match="bins"):
        Reliability(bins=0)
