"""Evaluating: one pass over the split for all metrics."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rarefy.errors import UnknownName
from rarefy.evaluation import METRICS, Predictions, evaluate


class Counting(nn.Module):
    calls = 0

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return logits


def test_every_metric_gets_the_same_predictions_of_one_pass():
    model, seen = Counting(), []
    batches = [(torch.eye(3), torch.tensor([0, 1, 1])), (torch.eye(3)[:1], torch.tensor([0]))]

    def note(predictions: Predictions) -> int:
        seen.append(predictions)
        return len(predictions)

    assert evaluate(model, iter(batches), {"b": note, "a": note}) == {"b": 4, "a": 4}
    assert model.calls == 2
    assert seen[0] is seen[1]


def test_by_hand():
    metrics = {name: METRICS.build(name) for name in ("accuracy", "loss")}
    scores = evaluate(nn.Identity(), [(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))], metrics)
    assert scores == {"accuracy": 0.75, "loss": pytest.approx(0.6931471805599453)}


def test_an_empty_split_raises():
    with pytest.raises(ValueError, match="no images"):
        evaluate(nn.Identity(), [], {})


def test_metrics_by_name_or_value():
    batches = [(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1]))]
    ece = METRICS.build("ece", bins=2)
    assert evaluate(nn.Identity(), batches, ["Top_5", ece]) == {"top5": 1.0, "ece": 0.25}
    with pytest.raises(UnknownName) as caught:
        evaluate(nn.Identity(), batches, ["acuracy"])
    assert caught.value.name == "acuracy"
