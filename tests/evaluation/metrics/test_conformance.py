"""What every metric promises: a pure function of predictions, to a value JSON can hold."""

from __future__ import annotations

import json

import pytest
import torch

from rarefy.evaluation import METRICS, Predictions


@pytest.mark.parametrize("name", METRICS.names())
def test_a_metric_is_pure_and_its_value_is_json(name, predictions):
    logits, labels = predictions.logits.clone(), predictions.labels.clone()
    value = METRICS.build(name)(predictions)
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert METRICS.build(name)(predictions) == value
    assert torch.equal(predictions.logits, logits)
    assert torch.equal(predictions.labels, labels)


@pytest.mark.parametrize("name", METRICS.names())
def test_the_order_of_images_does_not_matter(name, predictions):
    order = torch.randperm(len(predictions), generator=torch.Generator().manual_seed(1))
    shuffled = Predictions(predictions.logits[order], predictions.labels[order])
    assert METRICS.build(name)(shuffled) == pytest.approx(METRICS.build(name)(predictions), rel=1e-12)
