"""Expected calibration error."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.evaluation._predictions import Predictions
from rarefy.evaluation.metrics._bins import Mode, bin_top_class, check_bins
from rarefy.evaluation.metrics._registry import METRICS


@METRICS.register("ece")
@dataclasses.dataclass(frozen=True)
class Ece:
    """Mean distance between confidence and accuracy over bins of equal width, in [0, 1].

    Images are binned by confidence; the distance of a bin is |accuracy - mean confidence|.

    Args:
        bins: Number of bins.
        mode: ``"width"``: equal ranges that include their upper end (and the first 0), as in the paper; other libraries
            include the lower end, or give confidence 1 its own bin. ``"mass"``: equal counts; equal confidences stay
            together in the lower bin.
    Raises:
        ValueError: If an option is out of range.

    Example:
        >>> import torch
        >>> Ece()(Predictions(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1])))  # confidence 1/2, accuracy 3/4
        0.25

    References:
        Guo et al., 2017, arXiv:1706.04599, equation 3, with its 15 bins.
        Equal counts: Nixon et al., 2019, arXiv:1904.01685, section 3.
    """

    title: ClassVar[str] = "ECE"
    unit: ClassVar[str] = "fraction"
    higher_is_better: ClassVar[bool] = False
    is_headline: ClassVar[bool] = True
    uses_confidence: ClassVar[bool] = True

    bins: int = 15
    mode: Mode = "width"

    def __post_init__(self) -> None:
        """Checks the options."""
        check_bins(self.bins, self.mode)

    def __call__(self, predictions: Predictions) -> float:
        """Computes the error; raises ValueError if a logit is nan or inf."""
        return bin_top_class(predictions, self.bins, self.mode).compute_error()
