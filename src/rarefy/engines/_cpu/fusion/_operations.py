"""Operations on blocked tensors, forward and backward: convolution, batch norm, ReLU, sum, pooling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rarefy.engines._cpu.blocked import _map_calls
from rarefy.engines._cpu.blocked._geometry import Geometry
from rarefy.engines._cpu.blocked._memory import Array, BlockedTensor, get_constant
from rarefy.engines._cpu.blocked._operands import NO_EPILOGUE, LazyActivation, LazyGradient, make_addition_epilogue
from rarefy.engines._cpu.blocked._products import make_products
from rarefy.engines._cpu.fusion._deferred import DeferredTensor, to_plain
from rarefy.engines._cpu.fusion._gradients import (
    Activation,
    FinishedGradient,
    add_grad,
    is_finished_by_first,
    pop_finished_grad,
    pop_grad,
    pop_waiting_grad,
)
from rarefy.engines._cpu.fusion._graph import Gradients, Inputs, as_numpy, differentiate
from rarefy.engines._cpu.fusion._values import Value, store_gradient
from rarefy.engines._cpu.kernels import _elementwise
from rarefy.engines._cpu.kernels._tiles import Rectifier


class ToBlocked:
    """Conversion of an ordinary tensor to blocks."""

    def __init__(self, value: Value) -> None:
        self.value = value

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """Returns the same gradient."""
        return (to_plain(gradient),)

    def backward_differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """Returns the same gradient."""
        return (gradient,)


class Convolve:
    """Convolution with kept weights only; a linear layer is a convolution of an image of one pixel."""

    def __init__(
        self, geometry: Geometry, source: Value, values: Tensor, bias: Tensor | None, *, moments: bool
    ) -> None:
        self.geometry, self.source = geometry, source
        self.kept = geometry.pattern.kept
        self.is_first = source.uses == 0
        lazy = source.read("convolution")
        self.sizes = geometry.shape(lazy.maps)
        self.products = make_products(geometry.pattern, self.sizes)
        out = lazy.maps.new_output(self.sizes.weight[0], self.sizes.out)
        shift = get_constant(out.channels, 0) if bias is None else as_numpy(bias)
        sums = self.products.convolve(as_numpy(values), shift, lazy, out, moments=moments)
        self.value = Value(_get_shape(out), "convolution", (source,), LazyActivation.plain(out))
        if moments:
            self.value.moments = sums

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """Computes the gradients of the source, the kept weights and the bias."""
        if self.geometry.pattern.kept is not self.kept:
            raise RuntimeError(
                "The mask of a sparse layer has moved between its forward and its backward pass: one of the variables "
                "needed for gradient computation has been modified by an inplace operation."
            )
        lazy = pop_grad(self.value, gradient)
        _, values, bias = parameters
        source_grad, grads = None, None
        if needed[0]:
            source_grad, grads = self._compute_source_grad(lazy, values, needed)
        elif needed[1] or needed[2]:
            grads = self.products.correlate(self.source.activation(), lazy, bias=needed[2])
        if grads is None:
            return source_grad, None, None
        kept_grad = _as_tensor(grads[0], values) if needed[1] else None
        return source_grad, kept_grad, _as_tensor(grads[1], bias) if needed[2] else None

    def _compute_source_grad(
        self, lazy: LazyGradient, values: Tensor | None, needed: Sequence[bool]
    ) -> tuple[Tensor | None, tuple[Array, Array] | None]:
        """Computes the gradient of the source, and in the same pass those of the kept weights and the bias."""
        assert values is not None
        source, numbers = self.source, as_numpy(values)
        others = pop_waiting_grad(source) if self.is_first else None
        seen = source.activation()
        out = seen.maps.new_like()
        activation = Activation.of(source) if self.is_first and is_finished_by_first(source) else None
        epilogue = NO_EPILOGUE if others is None else make_addition_epilogue(others)
        if activation is not None:
            epilogue = activation.epilogue(others)
        grads = None
        if needed[1] or needed[2]:
            sums, grads = self.products.differentiate(numbers, seen, lazy, out, epilogue, bias=needed[2])
        else:
            sums = self.products.convolve_backward(numbers, lazy, out, epilogue)
        if activation is not None:
            return DeferredTensor.of(FinishedGradient(source.shape, activation, out, sums)), grads
        return add_grad(source, LazyGradient.plain(out), is_first=self.is_first), grads

    def backward_differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """Computes them with a dense weight."""
        return differentiate(self.geometry.compute_dense_from_values, gradient, inputs, needed)


class Normalize:
    """Batch norm of stored maps, applied by the operations that read the value."""

    def __init__(self, source: Value, numbers: Array, *, by_batch: bool, epsilon: float) -> None:
        self.is_first = source.uses == 0
        source.read("norm")
        self.source, self.numbers, self.by_batch, self.epsilon = source, numbers, by_batch, epsilon
        lazy = LazyActivation(source.store(), numbers[2], numbers[3])
        self.value = Value(source.shape, "norm", (source,), lazy)
        self.value.norm_numbers = numbers

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """Computes the gradients of the source, scale and shift."""
        finished = pop_finished_grad(self.value, gradient)
        row, maps = 1 + finished.activation.normed.index(self.value), self.source.store()
        _, weight, bias = parameters
        scale = get_constant(maps.channels, 1) if weight is None else as_numpy(weight)
        result = np.empty((5, maps.channels), np.float32)
        _elementwise.norm_backward(finished.sums, row, maps.count, scale, self.numbers, self.by_batch, result)
        lazy = LazyGradient(finished.maps, maps if self.by_batch else None, result[2], result[3], result[4])
        return (
            add_grad(self.source, lazy, is_first=self.is_first) if needed[0] else None,
            _as_tensor(result[0], weight) if needed[1] else None,
            _as_tensor(result[1], bias) if needed[2] else None,
        )

    def backward_differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """Computes them by torch's batch norm, with the statistics of the forward pass."""
        return differentiate(self._normalize, gradient, inputs, needed)

    def _normalize(self, inputs: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        if self.by_batch:
            return F.batch_norm(inputs, None, None, weight, bias, True, 0.0, self.epsilon)
        mean, inverse = (torch.from_numpy(row.copy()).view(1, -1, 1, 1) for row in self.numbers[:2])
        result: Tensor = (inputs - mean) * inverse
        result = result if weight is None else result * weight.view(1, -1, 1, 1)
        return result if bias is None else result + bias.view(1, -1, 1, 1)


class Relu:
    """ReLU, applied by the operations that read the value.

    Args:
        source: The value that it reads.
        limit: The largest result; NaN for any.
    """

    def __init__(self, source: Value, limit: float = np.nan) -> None:
        self.source, self.is_first = source, source.uses == 0
        source.uses += 1
        source.first_reader = source.first_reader or "relu"
        before = source.relu if source.lazy is None else source.lazy.relu
        relu = Rectifier(True, np.fmin(np.float32(limit), before.limit))
        lazy = None if source.lazy is None else source.lazy._replace(relu=relu)
        self.value = Value(source.shape, "relu", (source,), lazy, source.addends, relu=relu)

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """Sets the gradient to 0 where the value is not positive, or at the limit."""
        finished = pop_finished_grad(self.value, gradient)
        if finished.activation.inner is self.source:
            return (DeferredTensor.of(finished),)
        return (add_grad(self.source, LazyGradient.plain(finished.maps), is_first=self.is_first),)

    def backward_differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """Computes them by torch's own functions."""
        value = self.value.tensor()
        return (gradient * ((value > 0) & ~(value >= float(self.value.relu.limit))),)


class Add:
    """Sum of two values, computed by the ReLU that follows or by the first operation that reads it."""

    def __init__(self, first: Value, second: Value) -> None:
        self.sources = (first, second)
        self.are_first = [source.uses == 0 for source in self.sources]
        addends = []
        for source in self.sources:
            lazy = source.read("add")
            addends.append(LazyActivation.plain(source.store()) if lazy.relu.active else lazy)
        self.value = Value(first.shape, "add", self.sources, None, tuple(addends))

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """Returns the same gradient for both."""
        finished = pop_finished_grad(self.value, gradient)
        return [
            None if not need
            else DeferredTensor.of(finished) if any(source is value for value in finished.activation.normed)
            else add_grad(source, LazyGradient.plain(finished.maps), is_first=is_first)
            for source, is_first, need in zip(self.sources, self.are_first, needed, strict=True)
        ]  # fmt: skip

    def backward_differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """Computes them by torch's own functions."""
        return gradient if needed[0] else None, gradient if needed[1] else None


class Pool:
    """Max or average pooling.

    Args:
        source: The value that it reads.
        window: Rows, columns, strides, padding: 6 numbers.
        largest: Whether it is max pooling.
    """

    def __init__(self, source: Value, window: tuple[int, int, int, int, int, int], *, largest: bool) -> None:
        self.source, self.window, self.largest = source, window, largest
        self.is_first = source.uses == 0
        lazy = source.read("pool")
        (ky, kx, sy, sx, py, px), maps = window, lazy.maps
        high, wide = (maps.height + 2 * py - ky) // sy + 1, (maps.width + 2 * px - kx) // sx + 1
        out = maps.new_output(maps.channels, (high, wide))
        _map_calls.pool(lazy, out, window, largest=largest)
        self.value = Value(_get_shape(out), "pool", (source,), LazyActivation.plain(out))

    def backward(self, gradient: Tensor, needed: Sequence[bool], parameters: Sequence[Tensor | None]) -> Gradients:
        """Passes the gradient to the largest value of each window, or to all."""
        grad, source = store_gradient(pop_grad(self.value, gradient)), self.source.activation()
        out, pooled = source.maps.new_like(), self.value.store()
        if self.is_first and is_finished_by_first(self.source):
            activation = Activation.of(self.source)
            epilogue = activation.epilogue(None)
            sums = _map_calls.unpool(source, pooled, grad, out, self.window, epilogue, largest=self.largest)
            return (DeferredTensor.of(FinishedGradient(self.source.shape, activation, out, sums)),)
        _map_calls.unpool(source, pooled, grad, out, self.window, NO_EPILOGUE, largest=self.largest)
        return (add_grad(self.source, LazyGradient.plain(out), is_first=self.is_first),)

    def backward_differentiable(self, gradient: Tensor, inputs: Inputs, needed: Sequence[bool]) -> Gradients:
        """Computes them by torch's own functions."""
        kernel, stride, padding = self.window[:2], self.window[2:4], self.window[4:]
        pool = F.max_pool2d if self.largest else F.avg_pool2d
        seen = self.source.tensor().detach().requires_grad_()
        return differentiate(lambda tensor: pool(tensor, kernel, stride, padding), gradient, [seen], needed)


def _as_tensor(numbers: Array, like: Tensor | None) -> Tensor:
    assert like is not None
    tensor = torch.from_numpy(np.ascontiguousarray(numbers))
    return tensor if like.dim() == 1 else tensor.view(like.shape)


def _get_shape(maps: BlockedTensor) -> torch.Size:
    return torch.Size(
        (maps.images, maps.channels) if maps.rows else (maps.images, maps.channels, maps.height, maps.width)
    )
