"""One pass through a fused region, and torch's autograd around it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from rarefy.engines._cpu.blocked import _calls
from rarefy.engines._cpu.blocked._calls import Slope, Source
from rarefy.engines._cpu.blocked._layout import enter, leave
from rarefy.engines._cpu.blocked._memory import Array, Maps, constant

if TYPE_CHECKING:
    from rarefy.engines._cpu.fusion._operations import Operation


class Run:
    """What the operations of a region have worked out: values by number, and gradients on the way back.

    Args:
        wanted: Values whose gradient somebody needs.
    """

    def __init__(self, wanted: set[int]) -> None:
        self.wanted = wanted
        self.values: dict[int, Source] = {}
        self.moments: dict[int, _calls.Sums] = {}
        self.norms: dict[int, Array] = {}
        self.finished: dict[int, tuple[Maps, _calls.Sums]] = {}
        self.learned: dict[int, Array] = {}
        self._slopes: dict[int, list[Slope]] = {}

    def number(self, parameter: nn.Parameter) -> Array:
        """A parameter's numbers, flat."""
        numbers: Array = parameter.detach().reshape(-1).numpy()
        return numbers

    def buffer(self, tensor: Tensor) -> Array:
        """A buffer's numbers, to be written into."""
        numbers: Array = tensor.numpy()
        return numbers

    def learn(self, parameter: nn.Parameter, gradient: Array) -> None:
        """Adds to a parameter's gradient."""
        if parameter.requires_grad:
            have = self.learned.get(id(parameter))
            self.learned[id(parameter)] = gradient if have is None else have + gradient

    def give(self, value: int, slope: Slope) -> None:
        """Adds to a value's gradient."""
        self._slopes.setdefault(value, []).append(slope)

    def pending(self, value: int) -> bool:
        """Whether anything was given to a value."""
        return value in self._slopes

    def slope(self, value: int) -> Slope | None:
        """A value's gradient, taken."""
        slopes = self._slopes.pop(value, [])
        while len(slopes) > 1:
            slopes.append(Slope.plain(_sum(_plain(slopes.pop(0)), _plain(slopes.pop(0)))))
        return slopes[0] if slopes else None

    def gradient(self, value: int) -> Maps | None:
        """A value's gradient as maps, taken."""
        slope = self.slope(value)
        return None if slope is None else _plain(slope)


def _plain(slope: Slope) -> Maps:
    if slope.is_plain:
        return slope.g
    out = slope.g.like()
    _calls.add(out, slope.g, slope.t, slope.a, slope.b, slope.c)
    if out.lanes < 16:  # images that only fill up a block take no part in batch norm's sums
        out.data.reshape(out.blocks, -1, 16)[-1, :, out.lanes :] = 0
    return out


def _sum(first: Maps, second: Maps) -> Maps:
    out, one = first.like(), constant(first.channels, 1)
    _calls.add(out, first, second, one, one, constant(first.channels, 0))
    return out


class Region:
    """Operations from some values to others.

    Args:
        inputs: Values that tensors enter as.
        outputs: Values that leave as tensors.
        operations: In the order of computation.
    """

    def __init__(self, inputs: Sequence[int], outputs: Sequence[int], operations: Sequence[Operation]) -> None:
        self.inputs, self.outputs, self.operations = tuple(inputs), tuple(outputs), tuple(operations)

    def parameters(self) -> list[nn.Parameter]:
        """All parameters, each once."""
        found = {id(p): p for operation in self.operations for p in operation.parameters()}
        return list(found.values())

    def __call__(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Runs the region."""
        parameters = self.parameters()
        if torch.is_grad_enabled() and any(t.requires_grad for t in (*tensors, *parameters)):
            results: tuple[Tensor, ...] = _Apply.apply(self, len(tensors), *tensors, *parameters)  # type: ignore[no-untyped-call]
            return results
        return self.forward(Run(set()), tensors)

    def forward(self, run: Run, tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
        """Tensors in, tensors out; what backward needs stays in the run."""
        for value, tensor in zip(self.inputs, tensors, strict=True):
            run.values[value] = Source.plain(enter(tensor))
        for operation in self.operations:
            operation.forward(run)
        return tuple(leave(run.values[value].maps) for value in self.outputs)

    def backward(self, run: Run, gradients: Iterable[Tensor | None]) -> list[Tensor | None]:
        """Gradients of the outputs in; gradients of the inputs out."""
        for value, gradient in zip(self.outputs, gradients, strict=True):
            if gradient is not None and value in run.wanted:
                run.give(value, Slope.plain(enter(gradient)))
        for operation in reversed(self.operations):
            operation.backward(run)
        taken = [run.gradient(value) if value in run.wanted else None for value in self.inputs]
        return [None if maps is None else leave(maps) for maps in taken]

    def wanted(self, needed: Sequence[bool]) -> set[int]:
        """Values whose gradient is needed, given which inputs' are."""
        wanted = {value for value, need in zip(self.inputs, needed, strict=True) if need}
        for operation in self.operations:
            sources = operation.sources()
            if any(p.requires_grad for p in operation.parameters()) or not wanted.isdisjoint(sources):
                wanted.add(operation.result)
        return wanted


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, region: Region, inputs: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.region, ctx.inputs = region, inputs
        ctx.run = Run(region.wanted([t.requires_grad for t in tensors[:inputs]]))
        ctx.save_for_backward(*tensors[inputs:])
        return region.forward(ctx.run, tensors[:inputs])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        parameters = ctx.saved_tensors  # checks that nobody changed them since
        given = ctx.region.backward(ctx.run, gradients)
        learned = [ctx.run.learned.get(id(p)) for p in ctx.region.parameters()]
        found = [
            None if g is None else torch.from_numpy(np.ascontiguousarray(g)).view_as(p)
            for g, p in zip(learned, parameters, strict=True)
        ]
        ctx.run.learned.clear()
        return (None, None, *given, *found)
