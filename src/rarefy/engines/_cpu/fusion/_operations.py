"""What is computed in blocks, forward and backward: convolution, batch norm, ReLU, sum, pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rarefy.engines._cpu.blocked import _calls
from rarefy.engines._cpu.blocked._calls import LazyGradient
from rarefy.engines._cpu.blocked._memory import Array, constant
from rarefy.engines._cpu.blocked._weights import Geometry
from rarefy.engines._cpu.fusion._deferred import DeferredTensor, plain
from rarefy.engines._cpu.fusion._gradients import (
    Activation,
    Finished,
    give,
    is_finished_by_reader,
    take,
    take_finished,
    waiting_gradient,
)
from rarefy.engines._cpu.fusion._graph import Gradients, Inputs, as_numpy, differentiate
from rarefy.engines._cpu.fusion._values import Value, store_gradient
from rarefy.engines._cpu.kernels import _elementwise
from rarefy.engines._cpu.kernels._emit import CHUNKS


class Enter:
    """An ordinary tensor that was brought into blocks."""

    def __init__(self, value: Value) -> None:
        self.value = value

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """The same."""
        return (plain(gradient),)

    def differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """The same."""
        return (gradient,)


class Convolve:
    """A convolution with kept weights only; a linear layer is one of an image of one pixel."""

    def __init__(
        self, geometry: Geometry, source: Value, values: Tensor, bias: Tensor | None, *, moments: bool
    ) -> None:
        self.geometry, self.source = geometry, source
        self.indices = geometry.pattern.indices
        self.is_first = source.uses == 0
        lazy = source.read("convolution")
        self.sizes = geometry.shape(lazy.maps)
        self.reads = geometry.pattern.forward_reads(self.sizes, CHUNKS)
        out = lazy.maps.outputs(self.sizes.weight[0], self.sizes.out)
        numbers = constant(out.channels, 0) if bias is None else as_numpy(bias)
        taken = _calls.convolve(self.reads, as_numpy(values), numbers, lazy, out, moments=moments)
        self.value = Value(_shape(out), "convolution", (source,), _calls.LazyActivation.plain(out))
        if moments:
            self.value.moments = taken

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """Gradients of the source, the kept weights and the bias."""
        if self.geometry.pattern.indices is not self.indices:
            raise RuntimeError(
                "The mask of a sparse layer has moved between its forward and its backward pass: one of the variables "
                "needed for gradient computation has been modified by an inplace operation."
            )
        lazy = take(self.value, gradient)
        of_values = of_bias = of_source = None
        if needed[1] or needed[2]:
            kept, shifts = _calls.correlate(self.reads, self.source.activation(), lazy, bias=needed[2])
            _, values, bias = parameters
            of_values = _as_tensor(kept, values) if needed[1] else None
            of_bias = _as_tensor(shifts, bias) if needed[2] else None
        if needed[0]:
            of_source = self._source_gradient(lazy, parameters[1])
        return of_source, of_values, of_bias

    def _source_gradient(self, lazy: LazyGradient, values: Tensor | None) -> Tensor | None:
        assert values is not None
        source = self.source
        reads = self.geometry.pattern.backward_reads(self.sizes, CHUNKS)
        numbers = as_numpy(values)
        if reads.order is not None:
            numbers = numbers[reads.order]
        others = waiting_gradient(source) if self.is_first else None
        out = source.activation().maps.like()
        if self.is_first and is_finished_by_reader(source):
            activation = Activation.of(source)
            sums = _calls.convolve_back(reads, numbers, lazy, out, activation.epilogue(others))
            return DeferredTensor.of(Finished(source.shape, activation, out, sums))
        after = _calls.NOTHING if others is None else _calls.adding(others)
        _calls.convolve_back(reads, numbers, lazy, out, after)
        return give(source, LazyGradient.plain(out), is_first=self.is_first)

    def differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """By a dense weight."""
        return differentiate(self.geometry.dense, gradient, inputs, needed)


class Normalize:
    """Batch norm of stored maps."""

    def __init__(self, source: Value, numbers: Array, *, by_batch: bool, epsilon: float) -> None:
        self.is_first = source.uses == 0
        source.read("norm")
        self.source, self.numbers, self.by_batch, self.epsilon = source, numbers, by_batch, epsilon
        lazy = _calls.LazyActivation(source.stored(), numbers[2], numbers[3], False)
        self.value = Value(source.shape, "norm", (source,), lazy)
        self.value.numbers = numbers

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """Gradients of the source, scale and shift."""
        done = take_finished(self.value, gradient)
        place, maps = 1 + done.activation.normed.index(self.value), self.source.stored()
        _, weight, bias = parameters
        scale = constant(maps.channels, 1) if weight is None else as_numpy(weight)
        result = _elementwise.norm_backward(done.sums, place, maps.count, scale, self.numbers, self.by_batch)
        lazy = LazyGradient(done.maps, maps if self.by_batch else None, result[2], result[3], result[4])
        return (
            give(self.source, lazy, is_first=self.is_first) if needed[0] else None,
            _as_tensor(result[0], weight) if needed[1] else None,
            _as_tensor(result[1], bias) if needed[2] else None,
        )

    def differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """By torch's own batch norm, with the statistics of the forward pass."""
        return differentiate(self._normalize, gradient, inputs, needed)

    def _normalize(self, inputs: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        if self.by_batch:
            return F.batch_norm(inputs, None, None, weight, bias, True, 0.0, self.epsilon)
        mean, inverse = (torch.from_numpy(one.copy()).view(1, -1, 1, 1) for one in self.numbers[:2])
        result: Tensor = (inputs - mean) * inverse
        result = result if weight is None else result * weight.view(1, -1, 1, 1)
        return result if bias is None else result + bias.view(1, -1, 1, 1)


class Rectify:
    """ReLU, applied by whoever reads the value."""

    def __init__(self, source: Value) -> None:
        self.source, self.is_first = source, source.uses == 0
        source.uses += 1
        source.first_reader = source.first_reader or "relu"
        if source.lazy is None:
            self.value = Value(source.shape, "relu", (source,), None, source.addends, relu=True)
        else:
            self.value = Value(source.shape, "relu", (source,), source.lazy._replace(relu=True))

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """The gradient where the value is positive."""
        done = take_finished(self.value, gradient)
        if done.activation.inner is self.source:
            return (DeferredTensor.of(done),)
        return (give(self.source, LazyGradient.plain(done.maps), is_first=self.is_first),)

    def differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """By torch's own."""
        return (gradient * (self.value.tensor() > 0),)


class Add:
    """The sum of two values, worked out by the ReLU that follows or by whoever reads it first."""

    def __init__(self, first: Value, second: Value) -> None:
        self.sources = (first, second)
        self.are_first = [one.uses == 0 for one in self.sources]
        addends = []
        for one in self.sources:
            lazy = one.read("add")
            addends.append(_calls.LazyActivation.plain(one.stored()) if lazy.relu else lazy)
        self.value = Value(first.shape, "add", self.sources, None, tuple(addends))

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """The same gradient for both."""
        done = take_finished(self.value, gradient)
        return [
            None if not need
            else DeferredTensor.of(done) if any(source is one for one in done.activation.normed)
            else give(source, LazyGradient.plain(done.maps), is_first=is_first)
            for source, is_first, need in zip(self.sources, self.are_first, needed, strict=True)
        ]  # fmt: skip

    def differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """By torch's own."""
        return gradient if needed[0] else None, gradient if needed[1] else None


class Pool:
    """Max or average pooling.

    Args:
        source: Value it reads.
        window: Rows, columns, strides, padding: 6 numbers.
        largest: Max or mean.
    """

    def __init__(self, source: Value, window: tuple[int, int, int, int, int, int], *, largest: bool) -> None:
        self.source, self.window, self.largest = source, window, largest
        self.is_first = source.uses == 0
        lazy = source.read("pool")
        (ky, kx, sy, sx, py, px), maps = window, lazy.maps
        high, wide = (maps.height + 2 * py - ky) // sy + 1, (maps.width + 2 * px - kx) // sx + 1
        out = maps.outputs(maps.channels, (high, wide))
        _calls.pool(lazy, out, window, largest=largest)
        self.value = Value(_shape(out), "pool", (source,), _calls.LazyActivation.plain(out))

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """The gradient to the largest, or to all."""
        g, seen = store_gradient(take(self.value, gradient)), self.source.activation()
        out = seen.maps.like()
        _calls.unpool(seen, self.value.stored(), g, out, self.window, largest=self.largest)
        return (give(self.source, LazyGradient.plain(out), is_first=self.is_first),)

    def differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """By torch's own."""
        kernel, stride, padding = self.window[:2], self.window[2:4], self.window[4:]
        pool = F.max_pool2d if self.largest else F.avg_pool2d
        seen = self.source.tensor().detach().requires_grad_()
        return differentiate(lambda one: pool(one, kernel, stride, padding), gradient, [seen], needed)


def _as_tensor(numbers: Array, like: Tensor | None) -> Tensor:
    assert like is not None
    tensor = torch.from_numpy(np.ascontiguousarray(numbers))
    return tensor if like.dim() == 1 else tensor.view(like.shape)


def _shape(maps: Any) -> torch.Size:
    return torch.Size(
        (maps.images, maps.channels) if maps.rows else (maps.images, maps.channels, maps.height, maps.width)
    )
