"""Functions of each number by itself in blocks: torch's own kernels compute them, which need not know the layout."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from rarefy.engines._cpu.blocked._memory import BlockedTensor
from rarefy.engines._cpu.blocked._operands import LazyActivation, LazyGradient
from rarefy.engines._cpu.fusion._blocked_inputs import is_in_blocks
from rarefy.engines._cpu.fusion._gradients import add_grad, pop_grad
from rarefy.engines._cpu.fusion._graph import Gradients, Inputs, differentiate, record_operation
from rarefy.engines._cpu.fusion._values import Value, store_gradient

_ATEN: Any = torch.ops.aten


@dataclasses.dataclass(frozen=True)
class _Function:
    """A function of torch and its derivative, which write into memory that is given.

    Args:
        forward: Computes results from numbers.
        backward: Computes the gradient of the numbers from that of the results.
        options: Further arguments of both.
        reads_results: Whether `backward` needs the results instead of the numbers.
        output: Name of the argument for the memory of `backward`.
    """

    forward: Callable[..., Tensor]
    backward: Callable[..., Tensor]
    options: tuple[tuple[str, Any], ...] = ()
    reads_results: bool = False
    output: str = "grad_input"


class Pointwise:
    """A function of each number.

    Args:
        source: The value that it reads.
        function: The function.
    """

    def __init__(self, source: Value, function: _Function) -> None:
        self.source, self.function, self.is_first = source, function, source.uses == 0
        source.read("pointwise")
        out = source.store().new_like()
        function.forward(as_flat(source.store()), **dict(function.options), out=as_flat(out))
        self.value = Value(source.shape, "pointwise", (source,), LazyActivation.plain(out))

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """Computes the gradient of the source."""
        function, grad = self.function, store_gradient(pop_grad(self.value, gradient))
        seen, out = (self.value if function.reads_results else self.source).store(), grad.new_like()
        memory = {function.output: as_flat(out)}
        function.backward(as_flat(grad), as_flat(seen), **dict(function.options), **memory)
        return (add_grad(self.source, LazyGradient.plain(out), is_first=self.is_first),)

    def backward_differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """Computes it by torch's own function."""
        return differentiate(
            lambda x: self.function.forward(x, **dict(self.function.options)), gradient, inputs, needed
        )


def as_flat(maps: BlockedTensor) -> Tensor:
    """Returns the memory of a blocked tensor as a flat tensor."""
    return torch.from_numpy(maps.data)


_SILU = _Function(_ATEN.silu, _ATEN.silu_backward)
_HARDSWISH = _Function(_ATEN.hardswish, _ATEN.hardswish_backward, output="out")
_HARDSIGMOID = _Function(_ATEN.hardsigmoid, _ATEN.hardsigmoid_backward)
_SIGMOID = _Function(_ATEN.sigmoid, _ATEN.sigmoid_backward, reads_results=True)
_TANH = _Function(_ATEN.tanh, _ATEN.tanh_backward, reads_results=True)
_GELU = {kind: _Function(_ATEN.gelu, _ATEN.gelu_backward, (("approximate", kind),)) for kind in ("none", "tanh")}


def _compute(inputs: Any, function: _Function | None, *, written: bool = False) -> Any:
    if function is None or not is_in_blocks(inputs, (2, 4), written=written):
        return NotImplemented
    return record_operation(Pointwise(inputs.value, function), inputs, written=written)


def _make_function(function: _Function) -> Callable[..., Any]:
    def compute(inputs: Any, inplace: bool = False, *, out: Any = None) -> Any:
        return NotImplemented if out is not None else _compute(inputs, function, written=inplace)

    return compute


def _gelu(inputs: Any, *, approximate: str = "none") -> Any:
    return _compute(inputs, _GELU.get(approximate))


def _drop(inputs: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    return inputs if is_in_blocks(inputs, (2, 4)) and (p == 0 or not training) else NotImplemented  # as torch does


_T = torch.Tensor
POINTWISE_FUNCTIONS: dict[Any, Callable[..., Any]] = {
    F.gelu: _gelu,
    F.dropout: _drop,
    F.silu: _make_function(_SILU),
    F.hardswish: _make_function(_HARDSWISH),
    F.hardsigmoid: _make_function(_HARDSIGMOID),
    **dict.fromkeys((torch.sigmoid, _T.sigmoid), _make_function(_SIGMOID)),
    **dict.fromkeys((torch.tanh, _T.tanh), _make_function(_TANH)),
}
