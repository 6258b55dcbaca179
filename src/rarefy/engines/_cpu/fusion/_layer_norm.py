"""Layer norm over channels in blocks: of a tensor [N, C, H, W] that is seen as [N, H, W, C]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rarefy.engines._cpu.blocked._map_calls import normalize_channels, normalize_channels_backward
from rarefy.engines._cpu.blocked._memory import get_constant
from rarefy.engines._cpu.blocked._operands import LazyActivation, LazyGradient
from rarefy.engines._cpu.fusion._deferred import DeferredTensor
from rarefy.engines._cpu.fusion._gradients import add_grad, pop_grad
from rarefy.engines._cpu.fusion._graph import Gradients, Inputs, as_numpy, differentiate, record_operation
from rarefy.engines._cpu.fusion._limits import can_read
from rarefy.engines._cpu.fusion._permuted import (
    TO_FIRST,
    TO_LAST,
    PermutedValue,
    can_permute,
    unwrap_gradient,
    wrap_gradient,
)
from rarefy.engines._cpu.fusion._values import Value, store_gradient


class LayerNorm:
    """Layer norm over the channels of each pixel.

    Args:
        source: The value [N, C, H, W] that it reads.
        weight: A factor per channel, if any.
        bias: A summand per channel, if any.
        epsilon: Added to the variances.
    """

    def __init__(self, source: Value, weight: Tensor | None, bias: Tensor | None, epsilon: float) -> None:
        self.source, self.is_first, self.epsilon = source, source.uses == 0, epsilon
        source.read("layer_norm")
        maps = source.store()
        out = maps.new_like()
        self.scale = get_constant(maps.channels, 1) if weight is None else as_numpy(weight).copy()
        shift = get_constant(maps.channels, 0) if bias is None else as_numpy(bias)
        self.numbers = normalize_channels(maps, self.scale, shift, epsilon, out)
        self.result = Value(source.shape, "layer_norm", (source,), LazyActivation.plain(out))
        self.result.is_channels_last = True  # as that of torch's layer norm
        self.value = PermutedValue(self.result)

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """Computes the gradients of the source, weight and bias."""
        grad, maps = store_gradient(pop_grad(self.result, unwrap_gradient(gradient))), self.source.store()
        out = maps.new_like()
        sums = normalize_channels_backward(maps, self.scale, self.numbers, grad, out)
        source_grad = add_grad(self.source, LazyGradient.plain(out), is_first=self.is_first) if needed[0] else None
        of_parameters = [torch.from_numpy(np.ascontiguousarray(sums[:, i])) for i in (0, 1)]
        return (
            None if source_grad is None else wrap_gradient(source_grad),
            of_parameters[0] if needed[1] else None,
            of_parameters[1] if needed[2] else None,
        )

    def backward_differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """Computes them by torch's own function."""

        def normalize(inputs: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
            return F.layer_norm(inputs, inputs.shape[-1:], weight, bias, self.epsilon)

        return differentiate(normalize, gradient, inputs, needed)


def _permute(inputs: Any, *numbers: Any, dims: Any = None) -> Any:
    order = list(numbers if dims is None else dims)
    order = list(order[0]) if len(order) == 1 and isinstance(order[0], tuple | list) else order
    if order not in (TO_LAST, TO_FIRST) or type(inputs) is not DeferredTensor or not can_permute(inputs.value):
        return NotImplemented
    return torch.ops.aten.permute.default(inputs, order)


def _layer_norm(inputs: Any, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    value = inputs.value if type(inputs) is DeferredTensor else None
    if not isinstance(value, PermutedValue) or not can_permute(value):
        return NotImplemented
    shape = value.shape[-1:]
    parameters = [tensor for tensor in (weight, bias) if tensor is not None]
    if tuple(normalized_shape) != shape or not all([can_read(p) and p.shape == shape for p in parameters]):
        return NotImplemented
    return record_operation(LayerNorm(value.base, weight, bias, eps), inputs, weight, bias)


NORM_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    F.layer_norm: _layer_norm,
    torch.permute: _permute,
    torch.Tensor.permute: _permute,
}
