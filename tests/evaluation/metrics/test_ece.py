"""Expected calibration error against torchmetrics', and by hand."""

from __future__ import annotations

import math

import numpy
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from rarefy.evaluation import Predictions
from rarefy.evaluation.metrics.ece import Ece


def binary(confidences, hits):
    """Two classes, the guess is class 0 with these confidences (above 1/2)."""
    gaps = [math.log(p / (1 - p)) for p in confidences]
    logits = torch.tensor([[gap, 0.0] for gap in gaps], dtype=torch.float64)
    return Predictions(logits, 1 - torch.tensor(hits))


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_it_is_torchmetrics(predictions, bins):
    logits, classes = predictions.logits.double(), predictions.logits.shape[1]
    expected = multiclass_calibration_error(logits.softmax(1), predictions.labels, classes, n_bins=bins, norm="l1")
    assert Ece(bins)(predictions) == pytest.approx(float(expected), abs=1e-6)  # theirs is in float32


def test_equal_counts_against_a_loop(predictions):
    probabilities = predictions.logits.double().softmax(1).numpy()
    confidence, hit = probabilities.max(1), probabilities.argmax(1) == predictions.labels.numpy()
    order, count = numpy.argsort(confidence), len(predictions)
    expected, sizes = 0.0, []
    for index in range(15):
        chosen = order[[i for i in range(count) if math.floor(i * 15 / count) == index]]
        sizes.append(len(chosen))
        expected += abs(hit[chosen].sum() - confidence[chosen].sum()) / count
    assert max(sizes) - min(sizes) <= 1
    assert Ece(mode="mass")(predictions) == pytest.approx(expected)


@pytest.mark.parametrize("mode", ["width", "mass"])
def test_perfectly_calibrated(mode):
    """Of ten images with .7 seven are right, of ten with .9 nine."""
    perfect = binary([0.7] * 10 + [0.9] * 10, [1] * 7 + [0] * 3 + [1] * 9 + [0])
    assert Ece(mode=mode)(perfect) == pytest.approx(0, abs=1e-12)
    worst = binary([0.999999] * 10, [0] * 10)
    assert Ece(mode=mode)(worst) == pytest.approx(0.999999)


def test_by_hand():
    """Two of four in (.5, .75], accuracy 1/2 at .6; two in (.75, 1], accuracy 1 at .8 and .9."""
    four = binary([0.6, 0.6, 0.8, 0.9], [1, 0, 1, 1])
    assert Ece(bins=4)(four) == pytest.approx((2 * 0.1 + 2 * 0.15) / 4)
    assert Ece(bins=1)(four) == pytest.approx(0.75 - 0.725)


def test_an_edge_belongs_to_the_bin_below_it():
    """Right at 1/2 exactly, wrong at 1 exactly: two bins, two gaps that in one bin would cancel."""
    labels = torch.tensor([0, 1])
    assert Ece(bins=2)(Predictions(torch.tensor([[0.0, 0.0], [1e4, 0.0]]), labels)) == pytest.approx((0.5 + 1) / 2)
    just_above = Predictions(torch.tensor([[1e-6, 0.0], [1e4, 0.0]]), labels)
    assert Ece(bins=2)(just_above) == pytest.approx(abs(1 - 1.5) / 2, abs=1e-6)


def test_equal_confidences_stay_together():
    halves = Predictions(torch.zeros(4, 2), torch.tensor([0, 0, 1, 1]))
    assert Ece(bins=2, mode="mass")(halves) == 0.0


@pytest.mark.parametrize("options", [{"bins": 0}, {"mode": "depth"}])
def test_what_are_no_bins(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        Ece(**options)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_model_that_diverged_is_not_scored(value):
    with pytest.raises(ValueError, match="diverged"):
        Ece()(Predictions(torch.full((2, 2), value), torch.zeros(2).long()))
