"""Distance to the k-th nearest training image."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from rarefy.errors import InvalidInput
from rarefy.evaluation.ood._extra import REQUIRED, import_detectors
from rarefy.evaluation.ood._registry import SCORES
from rarefy.evaluation.ood._view import CannotScore, View


@SCORES.register("knn")
@dataclasses.dataclass(frozen=True)
class Knn:
    """Minus the distance of the penultimate features, scaled to length 1, to the k-th nearest of the reference.

    Computed by ``pytorch-ood`` (extra ``ood``).

    Args:
        k: Rank of the neighbour, from 1; the paper uses 50 for CIFAR-10 and 200 for CIFAR-100 (all images).

    Raises:
        ValueError: If k is below 1.

    Example:
        >>> SCORES.build("knn", k=10)
        Knn(k=10)

    References:
        Sun et al., 2022, arXiv:2204.06507, section 3.
    """

    requires: ClassVar[str] = REQUIRED

    k: int = 50

    def __post_init__(self) -> None:
        """Checks k."""
        if self.k < 1:
            raise InvalidInput(f"k must be at least 1, got {self.k}", name="k", value=self.k)

    def __call__(self, view: View) -> Tensor:
        """Computes the scores, float64 ``[N]``; CannotScore without a reference of at least k images."""
        known = view.require_reference("knn")
        if len(known.split) < self.k:
            raise CannotScore(
                f"The score 'knn' with k={self.k} needs at least as many reference images; got {len(known.split)}."
            )
        fitted = import_detectors().KNN(None, k=self.k).fit_features(known.features, known.predictions.labels)
        distances: Tensor = fitted.predict_features(view.features)
        return -distances.double()
