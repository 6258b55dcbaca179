"""The largest logit."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from rarefy.evaluation.ood._registry import SCORES
from rarefy.evaluation.ood._view import HasLogits


@SCORES.register("max_logit")
@dataclasses.dataclass(frozen=True)
class MaxLogit:
    """The largest logit.

    Example:
        >>> import torch
        >>> from rarefy.evaluation import Predictions
        >>> MaxLogit()(Predictions(torch.tensor([[1.0, 2.0]]), torch.tensor([0]))).tolist()
        [2.0]

    References:
        Hendrycks et al., 2022, arXiv:1911.11132, section 3.
    """

    def __call__(self, view: HasLogits) -> Tensor:
        """Computes the scores, float64 ``[N]``."""
        return view.logits.double().amax(1)
