"""Keeps the layers of short runs dense: their training takes less time than to measure what is faster."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rarefy import engines
from rarefy.sparsity import Sparsity

SHORT_TRAINING = 2e10  # FLOPs of the masked layers in a dense training: about a second on two cores
REASON = "the whole training takes less time than measuring whether sparse layers are faster"


def choose_engine(
    engine: engines.Engine, model: nn.Module, sparsity: Sparsity, inputs: Tensor, images: int
) -> Callable[[nn.Module, Sparsity, Any], engines.Plan]:
    """Returns the engine, or for a short run dense layers, if the engine may choose them.

    This depends on the run's numbers only, so it is the same on every machine.

    Args:
        engine: The run's engine.
        model: The model, with dense layers.
        sparsity: Its sparsity.
        inputs: A batch.
        images: Images of the whole training, each counted once per epoch.
    """
    if not engine.fallback or _count_training_flops(model, sparsity, inputs, images) >= SHORT_TRAINING:
        return engine
    plan = engines.Plan("auto", dict.fromkeys(sparsity.masks, "dense"), reason=REASON)
    return lambda *_: plan


def _count_training_flops(model: nn.Module, sparsity: Sparsity, inputs: Tensor, images: int) -> float:
    """Counts forward and backward of the masked layers, two per multiply-add; exactly only where it is little."""
    least = 6.0 * sparsity.total * images
    if least >= SHORT_TRAINING:
        return least
    twin, masks = copy.deepcopy((model, sparsity))
    flops: list[float] = []
    for owner in masks.masked_model.modules().values():
        owner.register_forward_hook(partial(_add_flops, flops))
    few = inputs[:2]
    with torch.no_grad():
        twin.eval()(few)
    return sum(flops) * images / len(few)


def _add_flops(flops: list[float], layer: nn.Module, inputs: Any, output: Any) -> None:
    if isinstance(output, Tensor) and isinstance(weight := getattr(layer, "weight", None), Tensor):
        flops.append(6.0 * weight.numel() * output.numel() / weight.shape[0])
