"""Expected calibration error averaged over classes."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.evaluation._predictions import Predictions
from rarefy.evaluation.metrics._bins import Mode, bin_by_confidence, check_bins, compute_probabilities
from rarefy.evaluation.metrics._registry import METRICS


@METRICS.register("classwise_ece")
@dataclasses.dataclass(frozen=True)
class ClasswiseEce:
    """Mean over classes of the calibration error of the class's own probability, in [0, 1].

    With many classes most probabilities are near 0, and so is this error: compare it only at equal numbers of classes.

    Args:
        bins: Number of bins.
        mode: ``"width"`` or ``"mass"``, as of ``ece``.
    Raises:
        ValueError: If an option is out of range.

    Example:
        >>> import torch
        >>> ClasswiseEce()(Predictions(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1])))
        0.25

    References:
        Kull et al., 2019, arXiv:1910.12656, section 2, classwise-ECE.
    """

    title: ClassVar[str] = "Classwise ECE"
    unit: ClassVar[str] = "fraction"
    higher_is_better: ClassVar[bool] = False
    uses_confidence: ClassVar[bool] = True

    bins: int = 15
    mode: Mode = "width"

    def __post_init__(self) -> None:
        """Checks the options."""
        check_bins(self.bins, self.mode)

    def __call__(self, predictions: Predictions) -> float:
        """Computes the error; raises ValueError if a logit is nan or inf."""
        columns = compute_probabilities(predictions).unbind(1)
        errors = [
            bin_by_confidence(column, predictions.labels == label, self.bins, self.mode).compute_error()
            for label, column in enumerate(columns)
        ]
        return sum(errors) / len(errors)
