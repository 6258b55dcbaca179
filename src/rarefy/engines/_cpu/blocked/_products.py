"""The three products of a layer with its kept weights: forward pass, input gradient, weight gradient.

Layers in which groups of outputs keep the same positions take the kernels for groups, all others those for single
weights.
"""

from __future__ import annotations

from typing import Protocol

from rarefy.engines._cpu.blocked import _calls, _group_calls
from rarefy.engines._cpu.blocked._groups import GroupOffsets
from rarefy.engines._cpu.blocked._indices import KeptIndices
from rarefy.engines._cpu.blocked._memory import Array, BlockedTensor
from rarefy.engines._cpu.blocked._operands import BackwardEpilogue, LazyActivation, LazyGradient, Sums
from rarefy.engines._cpu.blocked._tiling import Shape
from rarefy.engines._cpu.kernels._emit import CHUNKS
from rarefy.engines._cpu.kernels._group_emit import GROUP_CHUNKS


class Products(Protocol):
    """The products of a layer on inputs of one size. Values are in the layer's own order, [nnz]."""

    def convolve(
        self, values: Array, bias: Array, source: LazyActivation, out: BlockedTensor, *, moments: bool
    ) -> Sums:
        """Computes out = the convolution of the source; returns its moments, [threads, channels, 3], or no channels."""

    def convolve_backward(
        self, values: Array, gradient: LazyGradient, out: BlockedTensor, epilogue: BackwardEpilogue
    ) -> Sums:
        """Computes out = the input gradient, then the epilogue; returns sums for batch norm, [threads, channels, 3]."""

    def correlate(self, source: LazyActivation, gradient: LazyGradient, *, bias: bool) -> tuple[Array, Array]:
        """Returns the gradients of the kept weights, [nnz], and of the bias, [channels], or empty."""

    def differentiate(
        self,
        values: Array,
        source: LazyActivation,
        gradient: LazyGradient,
        out: BlockedTensor,
        epilogue: BackwardEpilogue,
        *,
        bias: bool,
    ) -> tuple[Sums, tuple[Array, Array]]:
        """Does both: returns what `convolve_backward` and `correlate` return."""


def make_products(pattern: KeptIndices, shape: Shape) -> Products:
    """Chooses the kernels for a layer on inputs of these sizes."""
    offsets = pattern.get_group_offsets(shape, GROUP_CHUNKS)
    return WeightProducts(pattern, shape) if offsets is None else GroupProducts(pattern, shape, offsets)


class WeightProducts:
    """Products by the kernels for single weights."""

    def __init__(self, pattern: KeptIndices, shape: Shape) -> None:
        self.pattern, self.kept, self.shape = pattern, pattern.kept, shape
        self.offsets = pattern.get_forward_offsets(shape, CHUNKS)

    def convolve(
        self, values: Array, bias: Array, source: LazyActivation, out: BlockedTensor, *, moments: bool
    ) -> Sums:
        """See `Products`."""
        return _calls.convolve(self.offsets, values, bias, source, out, moments=moments)

    def convolve_backward(
        self, values: Array, gradient: LazyGradient, out: BlockedTensor, epilogue: BackwardEpilogue
    ) -> Sums:
        """See `Products`."""
        offsets = self.pattern.get_backward_offsets(self.shape, CHUNKS)
        weights = _calls.transpose(self.kept, offsets, values)
        return _calls.convolve_backward(offsets, weights, gradient, out, epilogue)

    def correlate(self, source: LazyActivation, gradient: LazyGradient, *, bias: bool) -> tuple[Array, Array]:
        """See `Products`."""
        dots = _calls.make_dots(self.offsets, source, gradient.g.channels, bias=bias)
        _calls.correlate(self.offsets, gradient, dots)
        return dots.sum()

    def differentiate(
        self,
        values: Array,
        source: LazyActivation,
        gradient: LazyGradient,
        out: BlockedTensor,
        epilogue: BackwardEpilogue,
        *,
        bias: bool,
    ) -> tuple[Sums, tuple[Array, Array]]:
        """See `Products`."""
        offsets = self.pattern.get_backward_offsets(self.shape, CHUNKS)
        dots = _calls.make_dots(self.offsets, source, gradient.g.channels, bias=bias)
        weights = _calls.transpose(self.kept, offsets, values)
        if _calls.fuses_backward(self.offsets, offsets, out.blocks):
            return _calls.convolve_backward(offsets, weights, gradient, out, epilogue, dots), dots.sum()
        _calls.correlate(self.offsets, gradient, dots)
        return _calls.convolve_backward(offsets, weights, gradient, out, epilogue), dots.sum()


class GroupProducts:
    """Products by the kernels for groups."""

    def __init__(self, pattern: KeptIndices, shape: Shape, offsets: GroupOffsets) -> None:
        self.pattern, self.kept, self.shape, self.offsets = pattern, pattern.kept, shape, offsets

    def convolve(
        self, values: Array, bias: Array, source: LazyActivation, out: BlockedTensor, *, moments: bool
    ) -> Sums:
        """See `Products`."""
        return _group_calls.convolve(self.offsets, self.kept, values, bias, source, out, moments=moments)

    def convolve_backward(
        self, values: Array, gradient: LazyGradient, out: BlockedTensor, epilogue: BackwardEpilogue
    ) -> Sums:
        """See `Products`."""
        return _group_calls.convolve_backward(self._backward_offsets, self.kept, values, gradient, out, epilogue)

    def correlate(self, source: LazyActivation, gradient: LazyGradient, *, bias: bool) -> tuple[Array, Array]:
        """See `Products`."""
        dots = _group_calls.make_dots(self.offsets, source, gradient.g.channels, bias=bias, with_input_gradient=False)
        _group_calls.correlate(self.offsets, gradient, dots)
        return _group_calls.sum_dots(self.offsets, self.kept, dots)

    def differentiate(
        self,
        values: Array,
        source: LazyActivation,
        gradient: LazyGradient,
        out: BlockedTensor,
        epilogue: BackwardEpilogue,
        *,
        bias: bool,
    ) -> tuple[Sums, tuple[Array, Array]]:
        """See `Products`."""
        offsets = self._backward_offsets
        dots = _group_calls.make_dots(offsets, source, gradient.g.channels, bias=bias, with_input_gradient=True)
        sums = _group_calls.convolve_backward(offsets, self.kept, values, gradient, out, epilogue, dots)
        return sums, _group_calls.sum_dots(offsets, self.kept, dots)

    @property
    def _backward_offsets(self) -> GroupOffsets:
        offsets = self.pattern.get_group_offsets(self.shape, GROUP_CHUNKS, backward=True)
        assert offsets is not None
        return offsets
