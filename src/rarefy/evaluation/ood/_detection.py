"""From two lists of scores to the field's four numbers and its curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rarefy.errors import InvalidInput

ROC_FPR = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, *(step / 20 for step in range(1, 21)))
"""The false positive rates at which `roc` reads the curve: dense near 0, where detectors work; then every 0.05 to 1."""


def detection(scores_in: Tensor, scores_out: Tensor) -> dict[str, float]:
    """How well a threshold on a score tells in-distribution images from others.

    - ``auroc``: chance that an in-distribution image scores above another one; a tie counts one half.
    - ``aupr_in``, ``aupr_out``: average precision with the in-distribution images, or the others, as the positives;
      it depends on how many there are of each.
    - ``fpr95``: share of the others at or above t, the highest threshold that at least 95% of the in-distribution
      images reach (score >= t); there is no interpolation.

    Args:
        scores_in: Scores of in-distribution images, ``[N]``; higher = more in-distribution.
        scores_out: Scores of other images, ``[M]``.

    Returns:
        The four numbers, each in [0, 1].

    Raises:
        ValueError: If one list is empty or a score is not finite.

    Example:
        >>> import torch
        >>> detection(torch.tensor([3.0, 2.0]), torch.tensor([1.0, 2.0]))["auroc"]
        0.875

    References:
        Hendrycks and Gimpel, 2017, arXiv:1610.02136, section 2. FPR at 95% TPR: Liang et al., 2018, arXiv:1706.02690.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    inside, outside = _checked("in-distribution", scores_in), _checked("out-of-distribution", scores_out)
    positive, scores = _together(inside, outside)
    reached = -(-19 * len(inside) // 20)  # the least whole number that is at least 95% of them
    threshold = np.sort(inside)[len(inside) - reached]
    return {
        "auroc": float(roc_auc_score(positive, scores)),
        "aupr_in": float(average_precision_score(positive, scores)),
        "aupr_out": float(average_precision_score(~positive, -scores)),
        "fpr95": float(np.mean(outside >= threshold)),
    }


def roc(scores_in: Tensor, scores_out: Tensor) -> list[float]:
    """The ROC curve: the share of in-distribution images accepted where so many of the others are, too.

    Between the points that thresholds give it is a straight line, also where several scores are equal; at a jump it is
    the upper end, the most that can be accepted.

    Args:
        scores_in: Scores of in-distribution images, ``[N]``; higher = more in-distribution.
        scores_out: Scores of other images, ``[M]``.

    Returns:
        True positive rates at the false positive rates ``ROC_FPR``, each in [0, 1]; they never fall.

    Raises:
        ValueError: If one list is empty or a score is not finite.

    Example:
        >>> import torch
        >>> curve = roc(torch.tensor([3.0, 2.0]), torch.tensor([1.0, 2.0]))
        >>> curve[ROC_FPR.index(0.0)], curve[ROC_FPR.index(0.25)], curve[ROC_FPR.index(0.5)]
        (0.5, 0.75, 1.0)

    References:
        Hendrycks and Gimpel, 2017, arXiv:1610.02136, section 2.
    """
    from sklearn.metrics import roc_curve

    inside, outside = _checked("in-distribution", scores_in), _checked("out-of-distribution", scores_out)
    false, true, _ = roc_curve(*_together(inside, outside))
    rates: list[float] = np.interp(ROC_FPR, false, true).tolist()
    return rates


def _together(
    inside: NDArray[np.float64], outside: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which are in-distribution, and all scores."""
    scores = np.concatenate([inside, outside])
    return np.arange(len(scores)) < len(inside), scores


def _checked(which: str, scores: Tensor) -> NDArray[np.float64]:
    values: NDArray[np.float64] = scores.detach().double().cpu().numpy()
    if values.ndim != 1 or not len(values):
        raise InvalidInput(f"Detection needs one score an {which} image and at least one; shape {values.shape} came.")
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise InvalidInput(f"{bad} of {len(values)} {which} scores are not finite: the model has diverged on them.")
    return values
