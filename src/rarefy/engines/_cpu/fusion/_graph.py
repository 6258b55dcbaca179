"""Makes each operation on blocked tensors a node of autograd's graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from rarefy.engines._cpu.blocked._memory import Array
from rarefy.engines._cpu.fusion._deferred import DeferredTensor, to_plain
from rarefy.engines._torch_internals import apply_function

Gradients = Sequence[Tensor | None]
Inputs = Sequence[Tensor | None]


class Operation(Protocol):
    """An operation that was computed, and its gradient."""

    value: Any

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """Computes the gradients of the node's tensors, as far as they are needed."""

    def backward_differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """Computes them by torch's own functions, so that they can be differentiated again."""


def record_operation(operation: Operation, *tensors: Tensor | None, written: bool = False) -> Tensor:
    """Records an operation in autograd's graph and returns the tensor of its value.

    Args:
        operation: The operation, already computed.
        tensors: Its inputs, then its parameters.
        written: Whether the value replaces that of the first tensor, in place.
    """
    if not written and not torch.is_grad_enabled():
        operation.value.is_observed = True  # its node, if any, is another function's, as of a reentrant checkpoint
        return DeferredTensor.of(operation.value)
    result: Tensor = _apply(operation, written, *tensors)
    return result


class _Node(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, operation: Operation, written: bool, *tensors: Tensor | None) -> Tensor:
        ctx.operation = operation
        ctx.deferred = [(i, tensor, tensor.value) for i, tensor in enumerate(tensors) if type(tensor) is DeferredTensor]
        ctx.save_for_backward(*[None if type(tensor) is DeferredTensor else tensor for tensor in tensors])
        if not written:
            return DeferredTensor.of(operation.value)
        first: Any = tensors[0]
        ctx.mark_dirty(first)
        ctx.deferred = ctx.deferred[1:]  # this node's own result
        first.value = operation.value
        return cast(Tensor, first)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # raises if one was changed in place since
        needed = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():
            return None, None, *_backward_differentiable(ctx, gradient, needed, saved)
        return None, None, *ctx.operation.backward(gradient, needed, saved)


def _backward_differentiable(
    ctx: Any, gradient: Tensor, needed: Sequence[bool], saved: Sequence[Tensor | None]
) -> Gradients:
    """Computes gradients that can be differentiated again, by torch's own functions."""
    inputs = list(saved)
    for i, tensor, value in ctx.deferred:
        if tensor.value is value:
            inputs[i] = to_plain(tensor)
    return ctx.operation.backward_differentiable(to_plain(gradient), inputs, needed)  # type: ignore[no-any-return]


def differentiate(
    function: Callable[..., Tensor], gradient: Tensor, inputs: Inputs, needed: Sequence[bool]
) -> Gradients:
    """Computes the gradients of a function of torch at the inputs, with a graph of their own."""
    if inputs[0] is None:
        raise RuntimeError("A tensor that is needed to differentiate twice has been modified by an inplace operation.")
    with torch.enable_grad():
        result = function(*inputs)
    wanted = [tensor for tensor, need in zip(inputs, needed, strict=True) if need and tensor is not None]
    gradients = iter(torch.autograd.grad(result, wanted, gradient, create_graph=True))
    return [next(gradients) if need else None for need in needed]


_apply = apply_function(_Node)


def as_numpy(tensor: Tensor) -> Array:
    """Returns a tensor's values as a flat contiguous array."""
    numbers: Array = tensor.detach().numpy()
    return numbers if numbers.ndim == 1 and numbers.flags.c_contiguous else numbers.ravel()
