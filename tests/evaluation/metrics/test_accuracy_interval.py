"""The accuracy's interval against scipy's."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from rarefy.evaluation.metrics.accuracy_interval import AccuracyInterval


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_it_is_scipy_s(predictions, confidence):
    right = int((predictions.logits.argmax(1) == predictions.labels).sum())
    expected = binomtest(right, len(predictions)).proportion_ci(confidence, method="wilson")
    assert AccuracyInterval(confidence)(predictions) == pytest.approx([expected.low, expected.high], rel=1e-9)


def test_what_is_no_confidence():
    with pytest.raises(ValueError, match="confidence"):
        AccuracyInterval(95)
