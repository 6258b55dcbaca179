"""Minus the entropy of the softmax, in nats: 0 for a model that is sure."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from rarefy.evaluation.ood._registry import SCORES
from rarefy.evaluation.ood._view import HasLogits


@SCORES.register("entropy")
@dataclasses.dataclass(frozen=True)
class Entropy:
    """Minus the entropy of the softmax, in nats: 0 for a model that is sure.

    Example:
        >>> import torch
        >>> from rarefy.evaluation import Predictions
        >>> Entropy()(Predictions(torch.tensor([[0.0, 999.0]]), torch.tensor([0]))).tolist()
        [-0.0]

    References:
        Macêdo et al., 2021, arXiv:2006.04005, section 3 (the entropic score).
    """

    def __call__(self, view: HasLogits) -> Tensor:
        """Computes the scores, float64 ``[N]``."""
        entropies: Tensor = torch.special.entr(view.logits.double().softmax(1)).sum(1)
        return -entropies
