"""Protocol and registry of scores; scores splits and measures detection."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor, nn

from rarefy.data import Spec, Split
from rarefy.evaluation.ood._detection import measure_detection
from rarefy.evaluation.ood._view import CannotScore, View
from rarefy.registry import Registry


class Score(Protocol):
    """How much images look like the training data to a model: one number per image, higher = more."""

    def __call__(self, view: View) -> Tensor:
        """Computes the scores, float64 ``[N]``, on the CPU."""
        ...


_LOG = logging.getLogger("rarefy")

SCORES: Registry[Score] = Registry("score", "scores")


def score_splits(
    model: nn.Module,
    spec: Spec,
    splits: Mapping[str, Split],
    scores: Mapping[str, Score],
    *,
    reference: Split | None = None,
    batch_size: int = 256,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, dict[str, Tensor]]:
    """Computes scores of every image of every split.

    The model runs once over each split for all scores (ODIN needs passes of its own, with gradients), and once over the
    reference if a score needs it.

    Args:
        model: Maps normalised images to logits; it is used in evaluation mode and not changed.
        spec: The in-distribution data set.
        splits: Images by name, in the spec's shape: test images, or those of other data sets (`load_ood`).
        scores: Scores by name, built by ``SCORES.build``.
        reference: In-distribution training images, for scores that are fitted (mahalanobis, knn).
        batch_size: Images per batch.
        progress: Called with the name of each split before it is scored.

    Returns:
        By split and score, the scores of the images in order, float64 ``[N]`` on the CPU. A score that cannot be
        computed for one split (such as knn with fewer images than k) is left out of all, with a warning.

    Raises:
        CannotScore: If no score can be computed.
        ValueError: If a score needs ``reference`` and there is none.

    Example:
        >>> import torch
        >>> spec = Spec("dots", classes=2, channels=1, height=1, width=2, mean=(0.0,), std=(1.0,))
        >>> grey = Split(torch.full((2, 1, 1, 2), 127, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
        >>> scores = score_splits(nn.Flatten(), spec, {"grey": grey}, {"max_softmax": SCORES.build("max_softmax")})
        >>> scores["grey"]["max_softmax"].tolist()
        [0.5, 0.5]
    """
    fitted = View(model, spec, reference, batch_size=batch_size) if reference is not None else None
    results: dict[str, dict[str, Tensor]] = {}
    faults: dict[str, str] = {}
    for name, split in splits.items():
        progress(name)
        view = View(model, spec, split, reference=fitted, batch_size=batch_size)
        results[name], missing = compute_scores(view, scores)
        faults |= missing
    for fault in faults.values():
        _LOG.warning("%s It is left out.", fault)
    if scores and not scores.keys() - faults:
        raise CannotScore(f"No score can be computed of all splits. {' '.join(faults.values())}", left_out=faults)
    return {name: {kind: score for kind, score in of.items() if kind not in faults} for name, of in results.items()}


def compute_scores(view: View, scores: Mapping[str, Score]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Computes the scores that can be computed, and says why others cannot.

    Args:
        view: The images as the model sees them.
        scores: Name to score, built by ``SCORES.build``.

    Returns:
        Scores by name, float64 ``[N]``, and reasons by name of the scores that are left out.

    Raises:
        CannotScore: If none can be computed.

    Example:
        >>> import torch
        >>> spec = Spec("dots", classes=2, channels=1, height=1, width=2, mean=(0.0,), std=(1.0,))
        >>> grey = Split(torch.full((2, 1, 1, 2), 127, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
        >>> model = nn.Flatten()
        >>> view = View(model, spec, grey, reference=View(model, spec, grey))
        >>> results, left_out = compute_scores(view, {name: SCORES.build(name) for name in ("energy", "knn")})
        >>> list(results), list(left_out)
        (['energy'], ['knn'])
    """
    results, left_out = {}, {}
    for name, score in scores.items():
        try:
            results[name] = _require_finite(name, score(view))
        except CannotScore as error:
            left_out[name] = str(error)
    if scores and not results:
        raise CannotScore(f"No score can be computed. {' '.join(left_out.values())}", left_out=left_out)
    return results, left_out


def _require_finite(name: str, values: Tensor) -> Tensor:
    if not values.isfinite().all():
        bad = int((~values.isfinite()).sum())
        raise CannotScore(f"The score {name!r} is not finite for {bad} of {len(values)} images.")
    return values


def detect_ood(
    model: nn.Module,
    spec: Spec,
    inside: Split,
    outside: Mapping[str, Split],
    scores: Mapping[str, Score],
    *,
    reference: Split | None = None,
    batch_size: int = 256,
) -> dict[str, dict[str, dict[str, float]]]:
    """Measures how well scores separate test images from images of other data sets.

    Args:
        model: Maps normalised images to logits; it is used in evaluation mode and not changed.
        spec: The in-distribution data set.
        inside: The test images.
        outside: Images of other data sets by name, in the spec's shape: see `load_ood`.
        scores: Scores by name, built by ``SCORES.build``.
        reference: In-distribution training images, for scores that are fitted (mahalanobis, knn).
        batch_size: Images per batch.

    Returns:
        By split and score, the results of `measure_detection`; scores that cannot be computed are left out.

    Raises:
        CannotScore: If no score can be computed.
        ValueError: If a score needs ``reference`` and there is none.

    Example:
        >>> import torch
        >>> spec = Spec("dots", classes=2, channels=1, height=1, width=2, mean=(0.0,), std=(1.0,))
        >>> labels = torch.zeros(2, dtype=torch.int64)
        >>> inside = Split(torch.tensor([[[[255, 0]]], [[[0, 255]]]], dtype=torch.uint8), labels)
        >>> grey = Split(torch.full((2, 1, 1, 2), 127, dtype=torch.uint8), labels)
        >>> scores = {"max_softmax": SCORES.build("max_softmax")}
        >>> results = detect_ood(nn.Flatten(), spec, inside, {"grey": grey}, scores)
        >>> results["grey"]["max_softmax"]["auroc"]
        1.0
    """
    results = score_splits(model, spec, {"": inside, **outside}, scores, reference=reference, batch_size=batch_size)
    test = results.pop("")
    return {name: {score: measure_detection(test[score], out[score]) for score in out} for name, out in results.items()}
