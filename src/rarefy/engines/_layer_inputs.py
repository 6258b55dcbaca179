"""Records the inputs of layers, on which they are timed one by one."""

from __future__ import annotations

import copy
import dataclasses
import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.engines._inputs import call_model
from rarefy.sparsity import Sparsity


@dataclasses.dataclass(frozen=True)
class LayerInput:
    """Shape, type and memory layout of a layer's inputs, and whether their gradient is needed."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    channels_last: bool
    needs_gradient: bool


def record_layer_inputs(model: nn.Module, sparsity: Sparsity, inputs: Any) -> dict[str, LayerInput]:
    """Runs a copy of the model and records the first input of each masked layer."""
    twin, masks = copy.deepcopy((model, sparsity))
    layer_inputs: dict[str, LayerInput] = {}

    def record(name: str, module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        tensor = arguments[0]
        channels_last = (
            tensor.ndim == 4 and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=torch.channels_last)
        )
        layer_input = LayerInput(tuple(tensor.shape), tensor.dtype, channels_last, tensor.requires_grad)
        layer_inputs.setdefault(name, layer_input)

    for name, owner in masks.masked_model.modules().items():
        owner.register_forward_pre_hook(partial(record, name))
    call_model(twin, inputs)
    return layer_inputs


def estimate_work(owner: Any, layer_input: LayerInput) -> float:
    """Estimates the products of a layer: its weights times the pixels or rows of its input."""
    return float(owner.weight.numel()) * math.prod(layer_input.shape) / float(owner.weight.shape[1])
