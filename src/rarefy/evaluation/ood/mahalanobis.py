"""Mahalanobis distance to the nearest class mean."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from rarefy.evaluation.ood._extra import REQUIRED, import_detectors
from rarefy.evaluation.ood._registry import SCORES
from rarefy.evaluation.ood._view import CannotScore, View


@SCORES.register("mahalanobis")
@dataclasses.dataclass(frozen=True)
class Mahalanobis:
    """Minus half the squared Mahalanobis distance of the penultimate features to the nearest class mean.

    Class means and the common covariance are those of the reference. As in ``pytorch-ood`` (extra ``ood``), which
    computes the score, the covariance is not divided by the number of images; this factor changes no ranking.

    Example:
        >>> SCORES.build("mahalanobis")
        Mahalanobis()

    References:
        Lee et al., 2018, arXiv:1807.03888, section 2.1, on the penultimate layer and without input preprocessing.
    """

    requires: ClassVar[str] = REQUIRED

    def __call__(self, view: View) -> Tensor:
        """Computes the scores, float64 ``[N]``; CannotScore without a reference with images of every class."""
        known = view.require_reference("mahalanobis")
        labels = known.predictions.labels
        missing = sorted(set(range(view.spec.classes)) - set(labels.tolist()))
        if missing:
            raise CannotScore(f"The score 'mahalanobis' needs reference images of every class; {missing} have none.")
        try:
            fitted = import_detectors().Mahalanobis(None).fit_features(known.features, labels)
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
            raise CannotScore(
                f"The score 'mahalanobis' needs more reference images: the covariance of {len(labels)} is singular."
            ) from error
        distances: Tensor = fitted.predict_features(view.features)
        return -distances.double()
