"""Minus the free energy of the logits."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.evaluation.ood._registry import SCORES
from rarefy.evaluation.ood._view import HasLogits


@SCORES.register("energy")
@dataclasses.dataclass(frozen=True)
class Energy:
    """``T * log(sum(exp(logits / T)))``: minus the free energy, so that higher means more in-distribution.

    Args:
        temperature: T, above 0.

    Raises:
        ValueError: If the temperature is not above 0.

    Example:
        >>> import torch
        >>> from rarefy.evaluation import Predictions
        >>> Energy()(Predictions(torch.zeros(1, 1), torch.tensor([0]))).tolist()
        [0.0]

    References:
        Liu et al., 2020, arXiv:2010.03759, equation 4; T = 1 is the paper's.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        """Checks the temperature."""
        if not self.temperature > 0:
            raise InvalidInput(
                f"temperature must be above 0, got {self.temperature}", name="temperature", value=self.temperature
            )

    def __call__(self, view: HasLogits) -> Tensor:
        """Computes the scores, float64 ``[N]``."""
        return self.temperature * (view.logits.double() / self.temperature).logsumexp(1)
