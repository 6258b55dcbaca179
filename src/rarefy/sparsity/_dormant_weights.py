"""Values of pruned weights that are still trained (Top-KAST): in the model only while an optimizer steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from rarefy.masks import Masks, fill_
from rarefy.shards import shard_like


class DormantWeights:
    """Values by layer, 0 where the weight is kept.

    Args:
        weights: Name to dense weight, before it was masked.
        masks: The masks.

    Attributes:
        trained: Name to bool tensor: which weights are trained, those kept included. Empty before the first step.
    """

    def __init__(self, weights: Mapping[str, Tensor], masks: Masks) -> None:
        self.trained: dict[str, Tensor] = {}
        self._values: dict[str, Tensor] = {}
        self.take_out_(weights, masks, weights)

    @torch.no_grad()
    def put_in_(self, weights: Mapping[str, Tensor], names: Iterable[str]) -> None:
        """Puts the values into the weights, which are 0 there."""
        for name in self._values.keys() & set(names):
            weights[name].add_(shard_like(self._values[name], weights[name]))

    @torch.no_grad()
    def restore_untrained_(self, weights: Mapping[str, Tensor], names: Iterable[str]) -> None:
        """Gives weights that are not trained the values with which the step began."""
        for name in self.trained.keys() & set(names):
            weight, value = weights[name], shard_like(self._values[name], weights[name])
            weight.copy_(torch.where(shard_like(self.trained[name], weight), weight, value))

    @torch.no_grad()
    def take_out_(self, weights: Mapping[str, Tensor], masks: Masks, names: Iterable[str]) -> None:
        """Takes the values of pruned weights out of the weights and leaves zeros."""
        for name in names:
            weight = weights[name].detach()
            self._values[name] = weight.masked_fill(shard_like(masks[name], weight), 0)
        masks.apply_({name: weights[name] for name in names})

    @torch.no_grad()
    def mask_gradients_(self, gradients: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Sets gradients of weights that are not trained to 0; returns those of layers that have no choice yet."""
        for name in gradients.keys() & self.trained.keys():
            fill_(gradients[name], self.trained[name].logical_not(), 0)
        return {name: gradient for name, gradient in gradients.items() if name not in self.trained}

    def state_dict(self) -> dict[str, Any]:
        """Returns the values and which weights are trained."""
        return {"values": self._values, "trained": self.trained}

    def load_state_dict(self, state: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Loads what `state_dict` returned."""
        self._values = {name: shard_like(value, weights[name]).clone() for name, value in state["values"].items()}
        self.trained = {name: shard_like(value, weights[name]).clone() for name, value in state["trained"].items()}
