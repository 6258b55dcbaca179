"""Values of pruned weights that are still trained (Top-KAST): in the model only while an optimizer steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from rarefy.masks import Masks, fill_
from rarefy.shards import placed


class Reserve:
    """Values by layer, 0 where the weight is kept; falsy when the topology has none, and then it does nothing.

    Args:
        weights: Name to dense weight, before it was masked; none for a topology without a reserve.
        masks: The masks.
    """

    def __init__(self, weights: Mapping[str, Tensor], masks: Masks) -> None:
        self.trained: dict[str, Tensor] = {}
        self._values: dict[str, Tensor] = {}
        self.close_(weights, masks, weights)

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self._values)

    @torch.no_grad()
    def open_(self, weights: Mapping[str, Tensor], names: Iterable[str]) -> None:
        """Puts the values back into the weights, which are 0 there."""
        for name in self._values.keys() & set(names):
            weights[name].add_(placed(self._values[name], weights[name]))

    @torch.no_grad()
    def freeze_(self, weights: Mapping[str, Tensor], names: Iterable[str]) -> None:
        """Gives weights that are not trained the values back with which the step began."""
        for name in self.trained.keys() & set(names):
            weight, value = weights[name], placed(self._values[name], weights[name])
            weight.copy_(torch.where(placed(self.trained[name], weight), weight, value))

    @torch.no_grad()
    def close_(self, weights: Mapping[str, Tensor], masks: Masks, names: Iterable[str]) -> None:
        """Takes the values of pruned weights out again, and leaves zeros."""
        for name in names:
            weight = weights[name].detach()
            self._values[name] = weight.masked_fill(placed(masks[name], weight), 0)
        masks.apply_({name: weights[name] for name in names})

    @torch.no_grad()
    def mask_gradients_(self, gradients: Mapping[str, Tensor]) -> None:
        """Zeroes gradients of weights that are not trained."""
        for name, gradient in gradients.items():
            fill_(gradient, self.trained[name].logical_not(), 0)

    def state_dict(self) -> dict[str, Any]:
        """The values and which weights are trained."""
        return {"values": self._values, "trained": self.trained}

    def load_state_dict(self, state: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """Puts back what `state_dict` gave."""
        self._values = {name: placed(value, weights[name]).clone() for name, value in state["values"].items()}
        self.trained = {name: placed(value, weights[name]).clone() for name, value in state["trained"].items()}
