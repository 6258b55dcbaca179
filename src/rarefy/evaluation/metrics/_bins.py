"""What the measures of calibration share: probabilities, and images put into bins by them."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.evaluation._predictions import Predictions

Mode = Literal["width", "mass"]


def probabilities(predictions: Predictions) -> Tensor:
    """Softmax of the logits, float64 ``[N, classes]``; ValueError if it is not a number somewhere."""
    found = predictions.logits.double().softmax(1)
    if found.isnan().any():
        raise InvalidInput("Calibration needs probabilities, and some logits are nan or inf: the model has diverged.")
    return found


@dataclasses.dataclass(frozen=True)
class Bins:
    """Sums over the images of each bin, float64 ``[bins]``, from the least to the most confident."""

    images: Tensor
    confidence: Tensor
    hits: Tensor

    def error(self) -> float:
        """Mean over images of their bin's |accuracy - confidence|."""
        return float((self.hits - self.confidence).abs().sum() / self.images.sum())


def binned(confidence: Tensor, hit: Tensor, bins: int, mode: Mode) -> Bins:
    """Puts images into bins by confidence, float64 ``[N]``; ``hit``, bool ``[N]``, is whether it came true.

    ``"width"``: bin i holds i / bins < confidence <= (i + 1) / bins, the first one 0, too.
    ``"mass"``: as many images each, if no confidences are equal; those that are stay together, in the lower bin.
    """
    confidence, order = confidence.sort()  # sums then do not depend on the order of images
    if mode == "width":
        index = torch.bucketize(confidence, torch.arange(1, bins, dtype=torch.float64) / bins)
    else:
        index = torch.searchsorted(confidence, confidence) * bins // len(confidence)
    columns = torch.stack([torch.ones_like(confidence), confidence, hit[order].double()])
    return Bins(*torch.zeros(3, bins, dtype=torch.float64).index_add_(1, index, columns))


def top(predictions: Predictions, bins: int, mode: Mode) -> Bins:
    """Bins of the guessed class's probability; of equal logits the first class is the guess, as in `accuracy`."""
    guesses = predictions.logits.argmax(1)
    confidence = probabilities(predictions).gather(1, guesses[:, None])[:, 0]
    return binned(confidence, guesses == predictions.labels, bins, mode)


def check_bins(bins: int, mode: str) -> None:
    """Raises ValueError unless there is a bin and the mode is known."""
    if bins < 1:
        raise InvalidInput(f"bins must be at least 1, got {bins}; 15 is usual", name="bins", value=bins)
    if mode not in ("width", "mass"):
        raise InvalidInput(
            f"mode must be 'width' (equal ranges) or 'mass' (equal counts), got {mode!r}", name="mode", value=mode
        )
