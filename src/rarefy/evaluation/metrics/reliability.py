"""Reliability diagram."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.evaluation._predictions import Predictions
from rarefy.evaluation.metrics._bins import Mode, bin_top_class, check_bins
from rarefy.evaluation.metrics._registry import METRICS


@METRICS.register("reliability")
@dataclasses.dataclass(frozen=True)
class Reliability:
    """Accuracy and confidence by bin: the bars of a reliability diagram, with the bins of ``ece``.

    Args:
        bins: Number of bins.
        mode: ``"width"`` or ``"mass"``, as of ``ece``.
    Raises:
        ValueError: If an option is out of range.

    Example:
        >>> import torch
        >>> Reliability(bins=2)(Predictions(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1])))
        {'images': [4, 0], 'confidence': [0.5, None], 'accuracy': [0.75, None]}

    References:
        Guo et al., 2017, arXiv:1706.04599, section 2 and figure 1.
    """

    title: ClassVar[str] = "Reliability diagram"
    uses_confidence: ClassVar[bool] = True

    bins: int = 15
    mode: Mode = "width"

    def __post_init__(self) -> None:
        """Checks the options."""
        check_bins(self.bins, self.mode)

    def __call__(self, predictions: Predictions) -> dict[str, list[int] | list[float | None]]:
        """Computes ``images``, mean ``confidence`` and ``accuracy`` by bin; None in an empty bin."""
        bins = bin_top_class(predictions, self.bins, self.mode)
        images = [int(count) for count in bins.images]
        means = [
            [total / count if count else None for total, count in zip(sums.tolist(), images, strict=True)]
            for sums in (bins.confidence, bins.hits)
        ]
        return {"images": images, "confidence": means[0], "accuracy": means[1]}
