"""Floating-point operations of a forward pass, layer by layer."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def layer_flops(model: nn.Module, weights: Mapping[str, Tensor], shape: tuple[int, ...]) -> dict[str, int]:
    """FLOPs of each layer's dense forward pass for one input, two per multiply-add; no number is computed for it.

    Args:
        model: The model.
        weights: Layer name to weight, parameters of the model.
        shape: Shape of one input without the batch, ``(C, H, W)``.

    Returns:
        Layer name to FLOPs. Multiplied by the layer's density it is what a kernel that skips zeros computes.

    Example:
        >>> layer = nn.Linear(8, 4)
        >>> layer_flops(layer, {"weight": layer.weight}, (8,))
        {'weight': 64}

    References:
        `torch.utils.flop_counter`, which counts 2 per multiply-add.
    """
    owners = {id(p): name for name, module in model.named_modules() for p in module.parameters(recurse=False)}
    skeleton = copy.deepcopy(model).to("meta").eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        skeleton(torch.empty(1, *shape, device="meta"))
    counts = counter.get_flop_counts()
    root = type(skeleton).__name__
    path = {name: f"{root}.{owners[id(weight)]}".rstrip(".") for name, weight in weights.items()}
    return {name: sum(counts.get(path[name], {}).values()) for name in weights}
