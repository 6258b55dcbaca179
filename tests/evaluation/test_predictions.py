"""Predicting: in evaluation mode, without a trace left in the model."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from rarefy.evaluation import Predictions, predict


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 3))


@pytest.fixture
def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(17)
    return [(torch.randn(n, 1, 2, 2, generator=generator), torch.arange(n) % 3) for n in (4, 4, 2)]


def test_it_is_the_model_in_evaluation_mode_batch_after_batch(model, batches):
    predictions = predict(model, batches)
    oracle = copy.deepcopy(model).eval()
    assert torch.equal(predictions.logits, torch.cat([oracle(images) for images, _ in batches]))
    assert predictions.labels.tolist() == [0, 1, 2, 0, 0, 1, 2, 0, 0, 1]
    assert len(predictions) == 10


def test_modes_of_every_module_are_put_back(model, batches):
    model.train()
    model[1].eval()  # a frozen norm in a model that trains
    before = [module.training for module in model.modules()]
    assert set(before) == {True, False}
    predict(model, batches)
    assert [module.training for module in model.modules()] == before


def test_modes_are_put_back_after_a_failure(model, batches):
    model.train()
    with pytest.raises(RuntimeError):
        predict(model, [*batches, (torch.zeros(1, 9), torch.zeros(1, dtype=torch.int64))])
    assert all(module.training for module in model.modules())


def test_weights_statistics_and_gradients_are_left_alone(model, batches):
    model.train()
    before = copy.deepcopy(model.state_dict())
    global_state = torch.get_rng_state()
    predictions = predict(model, batches)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not predictions.logits.requires_grad
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), global_state)


def test_half_precision_outputs_become_float32(batches):
    predictions = predict(
        nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).bfloat16(), [(batches[0][0].bfloat16(), batches[0][1])]
    )
    assert predictions.logits.dtype == torch.float32


def test_an_iterator_is_enough(model, batches):
    assert len(predict(model, iter(batches))) == 10


def test_no_batches_raise(model):
    with pytest.raises(ValueError, match="There is nothing to score: the split has no images"):
        predict(model, [])


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ((3,), (3,), r"logits \[N, classes\] and labels \[N\]; got \(3,\) and \(3,\)"),
        ((3, 10, 1), (3,), r"got \(3, 10, 1\) and \(3,\)"),
        ((3, 10), (2,), r"got \(3, 10\) and \(2,\)"),
        ((3, 10), (3, 1), r"got \(3, 10\) and \(3, 1\)"),
        ((0, 10), (0,), "nothing to score"),
    ],
)
def test_shapes_that_do_not_fit_raise(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        Predictions(torch.zeros(logits), torch.zeros(labels, dtype=torch.int64))
