"""What every metric promises: a pure function of predictions, to a value JSON can hold."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from rarefy.evaluation import METRICS, Predictions, predict


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
    value, again = METRICS.build(name)(predictions), METRICS.build(name)(shuffled)
    assert leaves(again) == pytest.approx(leaves(value), rel=1e-12)


@pytest.mark.parametrize("name", METRICS.names())
def test_batches_do_not_matter(name, predictions):
    """The model runs over batches; the metric sees the whole."""
    whole = predict(nn.Identity(), [(predictions.logits, predictions.labels)])
    parts = predict(nn.Identity(), zip(predictions.logits.split(3), predictions.labels.split(3), strict=True))
    assert METRICS.build(name)(parts) == METRICS.build(name)(whole)


@pytest.mark.parametrize("name", METRICS.names())
@pytest.mark.parametrize("classes", [1, 2, 10])
def test_images_of_one_class(name, classes):
    value = METRICS.build(name)(Predictions(torch.zeros(4, classes), torch.zeros(4, dtype=torch.int64)))
    assert json.loads(json.dumps(value, allow_nan=False)) == value


def leaves(value):
    """The numbers of a value, in order, each list with its length; -1 for None."""
    if isinstance(value, dict):
        return leaves(list(value.values()))
    if isinstance(value, list):
        return [len(value), *(leaf for item in value for leaf in leaves(item))]
    return [-1 if value is None else value]
