"""Operations in blocks as nodes of autograd's graph, one each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from rarefy.engines._cpu.blocked._memory import Array
from rarefy.engines._cpu.fusion._deferred import DeferredTensor, plain
from rarefy.engines._cpu.fusion._values import Value

Gradients = Sequence[Tensor | None]
Inputs = Sequence[Tensor | None]


class Operation(Protocol):
    """What was computed, and how its gradient is."""

    value: Value

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """Gradients of the node's tensors, as far as they are needed."""

    def differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """The same by torch's own functions, for whoever differentiates twice."""


def attach(operation: Operation, *tensors: Tensor | None, written: bool = False) -> Tensor:
    """Makes the tensor that stands for an operation's value.

    Args:
        operation: The operation, computed.
        tensors: What autograd knows of it: inputs, then parameters.
        written: Whether the value replaces that of the first tensor, in place.
    """
    if not written and not torch.is_grad_enabled():
        return DeferredTensor.of(operation.value)
    result: Tensor = _apply(operation, written, *tensors)  # type: ignore[no-untyped-call]
    return result


class _Node(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, operation: Operation, written: bool, *tensors: Tensor | None) -> Tensor:
        ctx.operation = operation
        ctx.deferred = [(at, one, one.value) for at, one in enumerate(tensors) if type(one) is DeferredTensor]
        ctx.save_for_backward(*[None if type(one) is DeferredTensor else one for one in tensors])
        if not written:
            return DeferredTensor.of(operation.value)
        first: Any = tensors[0]
        ctx.mark_dirty(first)
        ctx.deferred = ctx.deferred[1:]  # it is this node's own result now
        first.value = operation.value
        return cast(Tensor, first)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors  # checks that nobody changed them since
        needed = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():
            return None, None, *_differentiable(ctx, gradient, needed, saved)
        return None, None, *ctx.operation.backward(gradient, needed, saved)


def _differentiable(ctx: Any, gradient: Tensor, needed: Sequence[bool], saved: Sequence[Tensor | None]) -> Gradients:
    """Gradients that can be differentiated again, by torch's own functions."""
    inputs = list(saved)
    for at, tensor, value in ctx.deferred:
        if tensor.value is value:
            inputs[at] = plain(tensor)
    return ctx.operation.differentiable(plain(gradient), inputs, needed)  # type: ignore[no-any-return]


def differentiate(
    function: Callable[..., Tensor], gradient: Tensor, inputs: Inputs, needed: Sequence[bool]
) -> Gradients:
    """The gradients of a function of torch at the inputs, with a graph of their own."""
    if inputs[0] is None:
        raise RuntimeError("A tensor that is needed to differentiate twice has been modified by an inplace operation.")
    with torch.enable_grad():
        result = function(*inputs)
    wanted = [one for one, need in zip(inputs, needed, strict=True) if need and one is not None]
    found = iter(torch.autograd.grad(result, wanted, gradient, create_graph=True))
    return [next(found) if need else None for need in needed]


_apply = super(torch.autograd.Function, _Node).apply  # without what only torch.func needs: it is not active here


def as_numpy(tensor: Tensor) -> Array:
    """A tensor's numbers, flat and contiguous."""
    numbers: Array = tensor.detach().numpy()
    return numbers if numbers.ndim == 1 and numbers.flags.c_contiguous else numbers.ravel()
