"""Expected calibration error over bins of equal counts."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from rarefy.evaluation.metrics._bins import Mode
from rarefy.evaluation.metrics._registry import METRICS
from rarefy.evaluation.metrics.ece import Ece


@METRICS.register("ece_mass")
@dataclasses.dataclass(frozen=True)
class EceMass(Ece):
    """Expected calibration error over bins of equally many images, in [0, 1]: `ece` with ``mode="mass"``.

    Args:
        bins: Number of bins.
        mode: As of `ece`.
    Raises:
        ValueError: If an option is out of range.

    Example:
        >>> import torch
        >>> from rarefy.evaluation import Predictions
        >>> EceMass()(Predictions(torch.zeros(4, 2), torch.tensor([0, 0, 0, 1])))
        0.25

    References:
        Nixon et al., 2019, arXiv:1904.01685, section 3.
    """

    title: ClassVar[str] = "ECE, equal counts"
    unit: ClassVar[str] = "fraction"
    higher_is_better: ClassVar[bool] = False
    is_headline: ClassVar[bool] = False
    uses_confidence: ClassVar[bool] = True

    mode: Mode = "mass"
