"""Logits and features of a split, computed once at first use and shared by all scores."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import torch
from torch import Tensor, nn

from rarefy.data import AnySplit, Batches, Spec
from rarefy.errors import InvalidInput
from rarefy.evaluation._frozen import get_device
from rarefy.evaluation._predictions import Predictions, predict


class HasLogits(Protocol):
    """Input of scores that need only logits, such as `Predictions` or `View`."""

    @property
    def logits(self) -> Tensor:
        """Outputs before the softmax, ``[N, classes]``."""
        ...


class CannotScore(InvalidInput):
    """A score cannot be computed for these images or this model; others may be.

    Attributes:
        left_out: Reasons by name of the score, if none of several scores can be computed.

    Example:
        >>> issubclass(CannotScore, ValueError)
        True
    """

    left_out: Mapping[str, str] = MappingProxyType({})


class View:
    """Logits, features and pixels of a split for one model.

    Features are the flattened input of the model's last ``nn.Linear`` in module order: the penultimate layer.

    Args:
        model: Maps normalised images to logits; it is used in evaluation mode and not changed.
        spec: The in-distribution data set; its normalisation is applied to any split.
        split: The images, of the spec's shape.
        reference: View of the in-distribution training images, for scores that are fitted.
        batch_size: Images per batch.

    Example:
        >>> spec = Spec("dots", classes=2, channels=1, height=1, width=2, mean=(0.0,), std=(1.0,))
        >>> from rarefy.data import Split
        >>> split = Split(torch.full((3, 1, 1, 2), 255, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64))
        >>> view = View(nn.Sequential(nn.Flatten(), nn.Linear(2, 2)), spec, split)
        >>> view.logits.shape, view.features.tolist()
        (torch.Size([3, 2]), [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    """

    def __init__(
        self, model: nn.Module, spec: Spec, split: AnySplit, *, reference: View | None = None, batch_size: int = 256
    ) -> None:
        self.model = model
        self.spec = spec
        self.split = split.to(get_device(model))
        self.batch_size = batch_size
        self._reference = reference

    @property
    def predictions(self) -> Predictions:
        """Logits and labels, on the CPU."""
        return self._seen[0]

    @property
    def logits(self) -> Tensor:
        """Outputs before the softmax, float32 ``[N, classes]``, on the CPU."""
        return self.predictions.logits

    @functools.cached_property
    def features(self) -> Tensor:
        """Input of the last linear layer, float32 ``[N, D]``, on the CPU; CannotScore if there is no such layer."""
        parts = self._seen[1]
        if sum(map(len, parts)) != len(self.predictions):
            raise CannotScore(
                "Features are the input of the model's last nn.Linear, once per image; this model has no nn.Linear or "
                "does not call it once per image. Use a score of the logits: max_softmax, max_logit, energy, entropy."
            )
        return torch.cat(parts)

    def require_reference(self, score: str) -> View:
        """Returns the view of the training images; raises ValueError, naming the score, if there is none."""
        if self._reference is None:
            raise InvalidInput(
                f"The score {score!r} is fitted on training images: pass reference=<the training split>."
            )
        return self._reference

    @functools.cached_property
    def _seen(self) -> tuple[Predictions, list[Tensor]]:
        """Predictions, and the inputs of the last linear layer from the same pass, batch by batch."""
        linear = [module for module in self.model.modules() if isinstance(module, nn.Linear)]
        parts: list[Tensor] = []

        def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            parts.append(inputs[0].flatten(1).float().cpu())

        hooks = [layer.register_forward_pre_hook(keep) for layer in linear[-1:]]
        try:
            return predict(self.model, Batches(self.split, self.spec, self.batch_size).epoch(0)), parts
        finally:
            for hook in hooks:
                hook.remove()
