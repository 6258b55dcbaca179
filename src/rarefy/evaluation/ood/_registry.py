"""What a score is, the registry of them, and the verbs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor, nn

from rarefy.data import Spec, Split
from rarefy.evaluation.ood._detection import detection
from rarefy.evaluation.ood._view import CannotScore, View
from rarefy.registry import Registry


class Score(Protocol):
    """How much an image looks like the training data to a model: one number an image, higher = more so."""

    def __call__(self, view: View) -> Tensor:
        """The scores, float64 ``[N]``, on the CPU."""
        ...


_LOG = logging.getLogger("rarefy")

SCORES: Registry[Score] = Registry("score", "scores")


def scored(
    model: nn.Module,
    spec: Spec,
    splits: Mapping[str, Split],
    scores: Mapping[str, Score],
    *,
    reference: Split | None = None,
    batch_size: int = 256,
    progress: Callable[[str], None] = lambda name: None,
) -> dict[str, dict[str, Tensor]]:
    """Scores of every image of every split; the test images are one of them.

    Every split goes through the model once, whatever the number of scores (ODIN goes its own way, with gradients), and
    so does the reference, if a score needs it.

    Args:
        model: Maps normalised images to logits; it is used in evaluation mode and not changed.
        spec: The in-distribution data set.
        splits: Name to images in the spec's shape, of the data set itself or from elsewhere (`load_ood`).
        scores: Name to score, built by ``SCORES.build``.
        reference: In-distribution training images, for scores that are fitted (mahalanobis, knn).
        batch_size: Images at once.
        progress: Called with the name of each split before it is scored.

    Returns:
        Name of the split to name of the score to the scores, float64 ``[N]`` on the CPU, in the order of the images.
        A score that cannot be computed of one of them (knn of fewer images than k) is left out of all, with a warning.

    Raises:
        CannotScore: If no score can be computed.
        ValueError: If a score needs ``reference`` and there is none.

    Example:
        >>> import torch
        >>> spec = Spec("dots", classes=2, channels=1, height=1, width=2, mean=(0.0,), std=(1.0,))
        >>> grey = Split(torch.full((2, 1, 1, 2), 127, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
        >>> found = scored(nn.Flatten(), spec, {"grey": grey}, {"max_softmax": SCORES.build("max_softmax")})
        >>> found["grey"]["max_softmax"].tolist()
        [0.5, 0.5]
    """
    fitted = View(model, spec, reference, batch_size=batch_size) if reference is not None else None
    found: dict[str, dict[str, Tensor]] = {}
    faults: dict[str, str] = {}
    for name, split in splits.items():
        progress(name)
        view = View(model, spec, split, reference=fitted, batch_size=batch_size)
        found[name], missing = compute_scores(view, scores)
        faults |= missing
    for fault in faults.values():
        _LOG.warning("%s It is left out.", fault)
    if scores and not scores.keys() - faults:
        raise CannotScore(f"No score can be computed of all splits. {' '.join(faults.values())}", left_out=faults)
    return {name: {kind: score for kind, score in of.items() if kind not in faults} for name, of in found.items()}


def compute_scores(view: View, scores: Mapping[str, Score]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Computes the scores that can be computed, and says why others cannot.

    Args:
        view: The images as the model sees them.
        scores: Name to score, built by ``SCORES.build``.

    Returns:
        Name to scores, float64 ``[N]``, and name to reason of those that are left out.

    Raises:
        CannotScore: If not one can be computed.

    Example:
        >>> import torch
        >>> spec = Spec("dots", classes=2, channels=1, height=1, width=2, mean=(0.0,), std=(1.0,))
        >>> grey = Split(torch.full((2, 1, 1, 2), 127, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
        >>> model = nn.Flatten()
        >>> view = View(model, spec, grey, reference=View(model, spec, grey))
        >>> found, left_out = compute_scores(view, {name: SCORES.build(name) for name in ("energy", "knn")})
        >>> list(found), list(left_out)
        (['energy'], ['knn'])
    """
    found, left_out = {}, {}
    for name, score in scores.items():
        try:
            found[name] = _require_finite(name, score(view))
        except CannotScore as error:
            left_out[name] = str(error)
    if scores and not found:
        raise CannotScore(f"No score can be computed. {' '.join(left_out.values())}", left_out=left_out)
    return found, left_out


def _require_finite(name: str, values: Tensor) -> Tensor:
    if not values.isfinite().all():
        bad = int((~values.isfinite()).sum())
        raise CannotScore(f"The score {name!r} is not finite for {bad} of {len(values)} images.")
    return values


def detect(
    model: nn.Module,
    spec: Spec,
    inside: Split,
    outside: Mapping[str, Split],
    scores: Mapping[str, Score],
    *,
    reference: Split | None = None,
    batch_size: int = 256,
) -> dict[str, dict[str, dict[str, float]]]:
    """How well scores tell the test images from images of other data sets.

    Args:
        model: Maps normalised images to logits; it is used in evaluation mode and not changed.
        spec: The in-distribution data set.
        inside: Its test images.
        outside: Name to images from elsewhere, in the spec's shape: `load_ood` makes them.
        scores: Name to score, built by ``SCORES.build``.
        reference: In-distribution training images, for scores that are fitted (mahalanobis, knn).
        batch_size: Images at once.

    Returns:
        Name of the split to name of the score to `detection`'s numbers; without scores that cannot be computed.

    Raises:
        CannotScore: If no score can be computed.
        ValueError: If a score needs ``reference`` and there is none.

    Example:
        >>> import torch
        >>> spec = Spec("dots", classes=2, channels=1, height=1, width=2, mean=(0.0,), std=(1.0,))
        >>> labels = torch.zeros(2, dtype=torch.int64)
        >>> inside = Split(torch.tensor([[[[255, 0]]], [[[0, 255]]]], dtype=torch.uint8), labels)
        >>> grey = Split(torch.full((2, 1, 1, 2), 127, dtype=torch.uint8), labels)
        >>> found = detect(nn.Flatten(), spec, inside, {"grey": grey}, {"max_softmax": SCORES.build("max_softmax")})
        >>> found["grey"]["max_softmax"]["auroc"]
        1.0
    """
    found = scored(model, spec, {"": inside, **outside}, scores, reference=reference, batch_size=batch_size)
    ours = found.pop("")
    return {name: {score: detection(ours[score], out[score]) for score in out} for name, out in found.items()}
