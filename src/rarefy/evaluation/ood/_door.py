"""What a score is, the registry of them, and the verb."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from rarefy.data import Spec, Split
from rarefy.evaluation.ood._detection import detection
from rarefy.evaluation.ood._view import View
from rarefy.registry import Registry


class Score(Protocol):
    """How much an image looks like the training data to a model: one number an image, higher = more so."""

    def __call__(self, view: View) -> Tensor:
        """The scores, float64 ``[N]``, on the CPU."""
        ...


SCORES: Registry[Score] = Registry("score", "scores")


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

    Every split goes through the model once, whatever the number of scores (ODIN goes its own way, with gradients).

    Args:
        model: Maps normalised images to logits; it is used in evaluation mode and not changed.
        spec: The in-distribution data set.
        inside: Its test images.
        outside: Name to images from elsewhere, in the spec's shape: `load_ood` makes them.
        scores: Name to score, built by ``SCORES.build``.
        reference: In-distribution training images, for scores that are fitted (mahalanobis, knn).
        batch_size: Images at once.

    Returns:
        Name of the split to name of the score to `detection`'s numbers.

    Raises:
        ValueError: If a score needs ``reference`` and there is none, or features and the model has none.

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
    fitted = View(model, spec, reference, batch_size=batch_size) if reference is not None else None

    def scored(split: Split) -> dict[str, Tensor]:
        view = View(model, spec, split, reference=fitted, batch_size=batch_size)
        return {name: score(view) for name, score in scores.items()}

    ours = scored(inside)
    theirs = {name: scored(split) for name, split in outside.items()}
    return {name: {score: detection(ours[score], out[score]) for score in scores} for name, out in theirs.items()}
