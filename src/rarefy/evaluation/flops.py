"""Counts the floating-point operations of a forward pass by weight."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.dispatch_modes import EagerMode, call_without_values


def count_layer_flops(model: nn.Module, weights: Mapping[str, Tensor], shape: tuple[int, ...]) -> dict[str, int]:
    """Counts the FLOPs of each weight in a dense forward pass of one input, on the meta device.

    A weight that is used twice (tied, or in a recurrence) counts twice. Operations without a weight, such as the
    product of queries and keys, are not counted: sparsity does not change them.

    Args:
        model: The model.
        weights: Weights by name, parameters of the model.
        shape: Shape of one input without the batch, ``(C, H, W)``.

    Returns:
        FLOPs by name, two per multiply-add; a kernel that skips zeros computes this times the layer's density.

    Example:
        >>> layer = nn.Linear(8, 4)
        >>> count_layer_flops(layer, {"weight": layer.weight}, (8,))
        {'weight': 64}

    References:
        The formulas are those of `torch.utils.flop_counter`.
    """
    memo: dict[int, Any] = {}
    skeleton = copy.deepcopy(model, memo).eval()
    names = {id(memo[id(weight)]): name for name, weight in weights.items()}
    slots = [(module, attr) for module in skeleton.modules() for attr in module._parameters]
    named = {slot: names.get(id(slot[0]._parameters[slot[1]])) for slot in slots}
    skeleton.to("meta")
    owners = {_get_storage(module._parameters[attr]): name for (module, attr), name in named.items() if name}
    counter = _Counter(owners)
    with counter, torch.enable_grad():  # without gradients torch may use fused operations that have no formula
        skeleton(torch.empty(1, *shape, device="meta"))
    return {name: counter.flops.get(name, 0) for name in weights}


class _Counter(EagerMode):
    """Adds up the FLOPs of every operation that reads a weight, by the storage it reads."""

    def __init__(self, owners: Mapping[int, str]) -> None:
        super().__init__()
        from torch.utils.flop_counter import flop_registry  # which imports triton

        self._formulas = flop_registry
        self.flops: dict[str, int] = {}
        self._owners = owners

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = call_without_values(func, args, kwargs)
        formula: Callable[..., int] | None = self._formulas.get(func._overloadpacket)
        if formula is not None:
            read = {self._owners.get(_get_storage(value)) for value in args if isinstance(value, Tensor)} - {None}
            for name in read:
                self.flops[str(name)] = self.flops.get(str(name), 0) + formula(*args, **(kwargs or {}), out_val=result)
        return result


def _get_storage(tensor: Tensor | None) -> int:
    return 0 if tensor is None else int(tensor.untyped_storage()._cdata)
