"""Distance to the nearest class's mean, in the metric of the classes' common covariance."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from rarefy.evaluation.ood._extra import REQUIRED, detectors
from rarefy.evaluation.ood._registry import SCORES
from rarefy.evaluation.ood._view import CannotScore, View


@SCORES.register("mahalanobis")
@dataclasses.dataclass(frozen=True)
class Mahalanobis:
    """Minus half the squared Mahalanobis distance of the penultimate features to the nearest class mean.

    Means and one covariance for all classes are those of the reference. As in ``pytorch-ood`` (extra ``ood``), which
    computes it, the covariance is not divided by the number of images: a factor that no ranking sees.

    Example:
        >>> SCORES.build("mahalanobis")
        Mahalanobis()

    References:
        Lee et al., 2018, arXiv:1807.03888, section 2.1, on the penultimate layer and without input preprocessing.
    """

    requires: ClassVar[str] = REQUIRED

    def __call__(self, view: View) -> Tensor:
        """The scores, float64 ``[N]``; CannotScore without a reference with images of every class."""
        known = view.fitted_on("mahalanobis")
        labels = known.predictions.labels
        missing = sorted(set(range(view.spec.classes)) - set(labels.tolist()))
        if missing:
            raise CannotScore(f"The score 'mahalanobis' needs reference images of every class; none of {missing} came.")
        try:
            fitted = detectors().Mahalanobis(None).fit_features(known.features, labels)
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
            raise CannotScore(
                f"The score 'mahalanobis' needs more reference images: the covariance of {len(labels)} is singular."
            ) from error
        distances: Tensor = fitted.predict_features(view.features)
        return -distances.double()
