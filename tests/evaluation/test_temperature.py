"""Temperature scaling against scipy's minimiser, and by hand."""

from __future__ import annotations

import math

import numpy
import pytest
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from rarefy.evaluation import METRICS, Predictions, fit_temperature, scale_logits

ZEROS = torch.zeros(8, dtype=torch.int64)


def made(sharpness: float) -> Predictions:
    """Labels drawn from softmax(logits), and logits that are too sharp."""
    generator = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(2000, 5, generator=generator)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator)[:, 0]
    return Predictions(logits * sharpness, labels)


@pytest.mark.parametrize("sharpness", [0.2, 1.0, 7.0])
def test_it_minimises_the_cross_entropy(sharpness: float) -> None:
    predictions = made(sharpness)
    logits, rows = predictions.logits.double().numpy(), numpy.arange(2000)

    def loss(log_t: float) -> float:
        return -log_softmax(logits / math.exp(log_t), axis=1)[rows, predictions.labels.numpy()].mean()

    expected = math.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9}).x)
    found = fit_temperature(predictions)
    assert found == pytest.approx(expected, rel=1e-5)
    assert found == pytest.approx(sharpness, rel=0.1)  # the truth, as far as 2000 images tell
    assert fit_temperature(predictions) == found


def test_scaling_calibrates_and_changes_no_guess() -> None:
    sharp = made(7.0)
    logits = sharp.logits.clone()
    soft = scale_logits(sharp, fit_temperature(sharp))
    assert torch.equal(sharp.logits, logits)
    assert torch.equal(soft.logits.argmax(1), logits.argmax(1))
    assert METRICS.build("ece")(soft) < 0.04 < 0.15 < METRICS.build("ece")(sharp)
    assert METRICS.build("loss")(soft) < METRICS.build("loss")(sharp)


def test_scaling_keeps_neighbours_apart() -> None:
    """The nearest float32 numbers: in float32 some would become equal, and the guess would change."""
    low = torch.linspace(1, 2, 1000)
    close = Predictions(torch.stack([low, torch.nextafter(low, torch.tensor(9.0))], 1), torch.ones(1000).long())
    for temperature in (3.0, 1.7, 0.3):
        assert METRICS.build("accuracy")(scale_logits(close, temperature)) == 1.0


@pytest.mark.parametrize(
    ("logits", "expected"),
    [
        (torch.tensor([[1.0, 0.0]] * 8), 0.01),  # all right: the surer the better
        (torch.tensor([[0.0, 1.0]] * 8), 100.0),  # all wrong: the less sure the better
        (torch.ones(8, 3), 1.0),  # says nothing
        (torch.tensor([[1e4, 0.0]] * 8), 0.01),  # nothing overflows
        (torch.zeros(8, 1), 1.0),  # one class
    ],
)
def test_where_there_is_no_minimum(logits: torch.Tensor, expected: float) -> None:
    assert fit_temperature(Predictions(logits, ZEROS)) == expected


def test_what_cannot_be_fitted() -> None:
    with pytest.raises(ValueError, match="finite"):
        fit_temperature(Predictions(torch.full((8, 2), torch.nan), ZEROS))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_what_is_no_temperature(temperature: float) -> None:
    with pytest.raises(ValueError, match="temperature"):
        scale_logits(Predictions(torch.zeros(8, 2), ZEROS), temperature)
