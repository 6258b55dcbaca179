"""AUROC, AUPR, FPR95 and ROC curve of two lists of scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rarefy.errors import InvalidInput

ROC_FPR = (0.0, 0.001, 0.002, 0.005, 0.01, 0.02, *(step / 20 for step in range(1, 21)))
"""False positive rates at which `compute_roc` samples the curve: dense near 0, then every 0.05 up to 1."""


def measure_detection(scores_in: Tensor, scores_out: Tensor) -> dict[str, float]:
    """Measures how well a threshold on a score separates in-distribution images from others.

    - ``auroc``: probability that an in-distribution image scores above another one; a tie counts one half.
    - ``aupr_in``, ``aupr_out``: average precision with the in-distribution images, or the others, as the positives;
      it depends on the number of each.
    - ``fpr95``: fraction of the others at or above t, the highest threshold that at least 95% of the in-distribution
      images reach (score >= t), without interpolation.

    Args:
        scores_in: Scores of in-distribution images, ``[N]``; higher = more in-distribution.
        scores_out: Scores of other images, ``[M]``.

    Returns:
        The four numbers, each in [0, 1].

    Raises:
        ValueError: If one list is empty or a score is not finite.

    Example:
        >>> import torch
        >>> measure_detection(torch.tensor([3.0, 2.0]), torch.tensor([1.0, 2.0]))["auroc"]
        0.875

    References:
        Hendrycks and Gimpel, 2017, arXiv:1610.02136, section 2. FPR at 95% TPR: Liang et al., 2018, arXiv:1706.02690.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    inside, outside = (
        _to_array("in-distribution", scores_in),
        _to_array("out-of-distribution", scores_out),
    )
    positive, scores = _concatenate(inside, outside)
    reached = -(-19 * len(inside) // 20)  # 95% of them, rounded up
    threshold = np.sort(inside)[len(inside) - reached]
    return {
        "auroc": float(roc_auc_score(positive, scores)),
        "aupr_in": float(average_precision_score(positive, scores)),
        "aupr_out": float(average_precision_score(~positive, -scores)),
        "fpr95": float(np.mean(outside >= threshold)),
    }


def compute_roc(scores_in: Tensor, scores_out: Tensor) -> list[float]:
    """Computes the ROC curve: true positive rates at the false positive rates ``ROC_FPR``.

    The curve is linear between the points given by thresholds, also where several scores are equal; at a jump the upper
    end counts.

    Args:
        scores_in: Scores of in-distribution images, ``[N]``; higher = more in-distribution.
        scores_out: Scores of other images, ``[M]``.

    Returns:
        True positive rates, each in [0, 1], not decreasing.

    Raises:
        ValueError: If one list is empty or a score is not finite.

    Example:
        >>> import torch
        >>> curve = compute_roc(torch.tensor([3.0, 2.0]), torch.tensor([1.0, 2.0]))
        >>> curve[ROC_FPR.index(0.0)], curve[ROC_FPR.index(0.25)], curve[ROC_FPR.index(0.5)]
        (0.5, 0.75, 1.0)

    References:
        Hendrycks and Gimpel, 2017, arXiv:1610.02136, section 2.
    """
    from sklearn.metrics import roc_curve

    inside, outside = (
        _to_array("in-distribution", scores_in),
        _to_array("out-of-distribution", scores_out),
    )
    false, true, _ = roc_curve(*_concatenate(inside, outside))
    rates: list[float] = np.interp(ROC_FPR, false, true).tolist()
    return rates


def _concatenate(
    inside: NDArray[np.float64], outside: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Joins both lists; returns which scores are in-distribution, and all scores."""
    scores = np.concatenate([inside, outside])
    return np.arange(len(scores)) < len(inside), scores


def _to_array(which: str, scores: Tensor) -> NDArray[np.float64]:
    values: NDArray[np.float64] = scores.detach().double().cpu().numpy()
    if values.ndim != 1 or not len(values):
        raise InvalidInput(
            f"Detection needs at least one {which} image and one score per image; got shape {values.shape}."
        )
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise InvalidInput(f"{bad} of {len(values)} {which} scores are not finite: the model has diverged on them.")
    return values
