"""Probabilities, and images binned by confidence, for metrics of calibration."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.evaluation._predictions import Predictions

Mode = Literal["width", "mass"]


def compute_probabilities(predictions: Predictions) -> Tensor:
    """Computes the softmax of the logits, float64 ``[N, classes]``; raises ValueError if a value is NaN."""
    values = predictions.logits.double().softmax(1)
    if values.isnan().any():
        raise InvalidInput("Calibration needs probabilities, and some logits are nan or inf: the model has diverged.")
    return values


@dataclasses.dataclass(frozen=True)
class Bins:
    """Sums over the images of each bin, float64 ``[bins]``, in the order of confidence."""

    images: Tensor
    confidence: Tensor
    hits: Tensor

    def compute_error(self) -> float:
        """Computes the mean over images of their bin's |accuracy - confidence|."""
        return float((self.hits - self.confidence).abs().sum() / self.images.sum())


def bin_by_confidence(confidence: Tensor, hit: Tensor, bins: int, mode: Mode) -> Bins:
    """Bins images by confidence, float64 ``[N]``; ``hit``, bool ``[N]``, says whether each prediction is correct.

    ``"width"``: bin i holds i / bins < confidence <= (i + 1) / bins; the first also holds 0.
    ``"mass"``: bins have equal counts, except that equal confidences stay together in the lower bin.
    """
    confidence, order = confidence.sort()  # sums then do not depend on the order of images
    if mode == "width":
        index = torch.bucketize(confidence, torch.arange(1, bins, dtype=torch.float64) / bins)
    else:
        index = torch.searchsorted(confidence, confidence) * bins // len(confidence)
    columns = torch.stack([torch.ones_like(confidence), confidence, hit[order].double()])
    return Bins(*torch.zeros(3, bins, dtype=torch.float64).index_add_(1, index, columns))


def bin_top_class(predictions: Predictions, bins: int, mode: Mode) -> Bins:
    """Bins images by the probability of the predicted class: the first of equal logits, as in `accuracy`."""
    guesses = predictions.logits.argmax(1)
    confidence = compute_probabilities(predictions).gather(1, guesses[:, None])[:, 0]
    return bin_by_confidence(confidence, guesses == predictions.labels, bins, mode)


def check_bins(bins: int, mode: str) -> None:
    """Raises ValueError unless ``bins`` is at least 1 and the mode is known."""
    if bins < 1:
        raise InvalidInput(f"bins must be at least 1, got {bins}; 15 is usual", name="bins", value=bins)
    if mode not in ("width", "mass"):
        raise InvalidInput(
            f"mode must be 'width' (equal ranges) or 'mass' (equal counts), got {mode!r}", name="mode", value=mode
        )
