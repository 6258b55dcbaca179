"""Products in blocks: with a factor per channel, with one per image and channel, or with a tensor of the same shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rarefy.engines._cpu.blocked._memory import Array, BlockedTensor, get_constant
from rarefy.engines._cpu.blocked._operands import LazyActivation, LazyGradient
from rarefy.engines._cpu.fusion._blocked_inputs import get_value, is_in_blocks
from rarefy.engines._cpu.fusion._gradients import add_grad, pop_grad
from rarefy.engines._cpu.fusion._graph import Gradients, Inputs, as_numpy, differentiate, record_operation
from rarefy.engines._cpu.fusion._limits import can_read
from rarefy.engines._cpu.fusion._values import Value, store_gradient

_LARGEST = 3e38  # of a number of float32


class Scale:
    """A product with a factor per channel, computed by the operations that read it.

    Args:
        source: The value that it reads.
        factors: A factor per channel.
    """

    def __init__(self, source: Value, factors: Array) -> None:
        self.source, self.factors, self.is_first = source, factors, source.uses == 0
        lazy = source.read("scale")
        lazy = LazyActivation.plain(source.store()) if lazy.relu.active else lazy
        self.value = Value(source.shape, "scale", (source,), lazy._replace(a=lazy.a * factors, c=lazy.c * factors))

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """Computes the gradients of the source and of the factors."""
        grad, factors_grad, like = store_gradient(pop_grad(self.value, gradient)), None, parameters[-1]
        if needed[-1] and like is not None:
            products = _view(_multiply(grad, self.source.store()))
            factors_grad = products.sum((0, 2, 3)).view(like.shape)
        zero = get_constant(grad.channels, 0)
        lazy = LazyGradient(grad, None, self.factors, zero, zero)
        return add_grad(self.source, lazy, is_first=self.is_first) if needed[0] else None, factors_grad

    def backward_differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """Computes them by torch's own functions."""
        if inputs[1] is not None:
            return differentiate(torch.mul, gradient, inputs, needed)
        return gradient * torch.from_numpy(self.factors).view(1, -1, 1, 1), None


class Multiply:
    """A product of two values; the second may have one number per image and channel."""

    def __init__(self, first: Value, second: Value) -> None:
        self.sources = (first, second)
        self.are_first = [source.uses == 0 for source in self.sources]
        for source in self.sources:
            source.read("multiply")
        self.value = Value(first.shape, "multiply", self.sources, None)
        self.value.lazy = LazyActivation.plain(_multiply(first.store(), second.store()))

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """Computes the gradients of both."""
        grad = store_gradient(pop_grad(self.value, gradient))
        return [
            add_grad(source, LazyGradient.plain(_add_up(_multiply(grad, other.store()), source)), is_first=is_first)
            if need
            else None
            for source, other, is_first, need in zip(
                self.sources, self.sources[::-1], self.are_first, needed, strict=True
            )
        ]

    def backward_differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """Computes them by torch's own functions."""
        return differentiate(torch.mul, gradient, inputs, needed)


def _view(maps: BlockedTensor) -> Tensor:
    """Returns the memory as a tensor [blocks, channels, pixels, 16]."""
    return torch.from_numpy(maps.data).view(maps.blocks, maps.channels, -1, 16)


def _multiply(first: BlockedTensor, second: BlockedTensor) -> BlockedTensor:
    out = first.new_like()
    torch.mul(_view(first), _view(second), out=_view(out))
    return out


def _add_up(products: BlockedTensor, source: Value) -> BlockedTensor:
    """Adds up over the pixels, where the source has one number for all."""
    maps = source.store()
    if maps.data.size == products.data.size:
        return products
    out = maps.new_like()
    torch.sum(_view(products), 2, keepdim=True, out=_view(out))
    return out


def multiply(first: Any, second: Any, *, out: Any = None, written: bool = False) -> Any:
    """Computes a product in blocks, where one of the two is in blocks and the other one is of a kind as above."""
    if not is_in_blocks(first, written=written):
        first, second = second, first
        if written:
            return NotImplemented
    if out is not None or not is_in_blocks(first):
        return NotImplemented
    if isinstance(second, int | float) and not isinstance(second, bool) and abs(second) < _LARGEST:
        factors = np.full(first.value.shape[1], second, np.float32)
        return record_operation(Scale(first.value, factors), first, None, written=written)
    return _multiply_tensors(first, second, written=written) if can_read(second) else NotImplemented


def _multiply_tensors(first: Any, second: Any, *, written: bool) -> Any:
    shape, other = tuple(first.shape), tuple(second.shape)
    per_channel = (1, shape[1], 1, 1)
    if other in (per_channel, per_channel[1:]) and not is_in_blocks(second):
        return record_operation(Scale(first.value, as_numpy(second).copy()), first, second, written=written)
    if other == (*shape[:2], 1, 1) or other == shape:
        return record_operation(Multiply(first.value, get_value(second)), first, second, written=written)
    if shape == (*other[:2], 1, 1) and not written:
        return record_operation(Multiply(get_value(second), first.value), second, first)
    return NotImplemented


def multiply_(first: Any, second: Any) -> Any:
    """Computes a product in place of the first."""
    return multiply(first, second, written=True)


_T = torch.Tensor
PRODUCTS = {
    **dict.fromkeys((torch.mul, torch.multiply, _T.mul, _T.multiply, _T.__mul__, _T.__rmul__), multiply),
    **dict.fromkeys((_T.mul_, _T.multiply_, _T.__imul__), multiply_),
}
