"""The largest softmax probability."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from rarefy.evaluation.ood._registry import SCORES
from rarefy.evaluation.ood._view import HasLogits


@SCORES.register("max_softmax")
@dataclasses.dataclass(frozen=True)
class MaxSoftmax:
    """The largest softmax probability: the paper's score.

    Example:
        >>> import torch
        >>> from rarefy.evaluation import Predictions
        >>> MaxSoftmax()(Predictions(torch.tensor([[0.5, 0.5]]), torch.tensor([0]))).tolist()
        [0.5]

    References:
        Hendrycks and Gimpel, 2017, arXiv:1610.02136, section 2.
    """

    def __call__(self, view: HasLogits) -> Tensor:
        """Computes the scores, float64 ``[N]``."""
        return view.logits.double().softmax(1).amax(1)
