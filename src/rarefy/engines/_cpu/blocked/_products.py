"""The three products of a layer with its kept weights: forward pass, input gradient, weight gradient.

Layers in which groups of outputs or of inputs keep the same positions take the kernels for groups, all others those for
single weights.
"""

from __future__ import annotations

from typing import Protocol

from rarefy.engines._cpu.blocked import _calls, _group_calls
from rarefy.engines._cpu.blocked._groups import GroupOffsets, Groups
from rarefy.engines._cpu.blocked._indices import KeptIndices
from rarefy.engines._cpu.blocked._memory import EMPTY, Array, BlockedTensor, get_constant
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
    if offsets is None:
        return WeightProducts(pattern, shape)
    kind = OutputGroupProducts if offsets.groups.slots is None else InputGroupProducts
    return kind(pattern, shape, offsets.groups)


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


class _GroupProducts:
    """What products by the kernels for groups share."""

    def __init__(self, pattern: KeptIndices, shape: Shape, groups: Groups) -> None:
        self.pattern, self.kept, self.shape, self.groups = pattern, pattern.kept, shape, groups

    def _copy_values(self, values: Array) -> Array:
        return _group_calls.copy_values(self.groups, self.kept, values)

    def _gather(self, *, backward: bool = False) -> GroupOffsets:
        offsets = self.pattern.get_group_offsets(self.shape, GROUP_CHUNKS, backward=backward)
        assert offsets is not None
        return offsets


class OutputGroupProducts(_GroupProducts):
    """Products by the kernels for groups of outputs."""

    def convolve(
        self, values: Array, bias: Array, source: LazyActivation, out: BlockedTensor, *, moments: bool
    ) -> Sums:
        """See `Products`."""
        weights = self._copy_values(values)
        return _group_calls.convolve(self._gather(), weights, bias, source, out, moments=moments)

    def convolve_backward(
        self, values: Array, gradient: LazyGradient, out: BlockedTensor, epilogue: BackwardEpilogue
    ) -> Sums:
        """See `Products`."""
        weights = self._copy_values(values)
        return _group_calls.scatter(self._gather(backward=True), weights, EMPTY, gradient, out, epilogue=epilogue)

    def correlate(self, source: LazyActivation, gradient: LazyGradient, *, bias: bool) -> tuple[Array, Array]:
        """See `Products`."""
        gather, channels = self._gather(), gradient.g.channels if bias else 0
        dots = _group_calls.make_dots(gather, source, channels, with_input_gradient=False)
        _group_calls.correlate(gather, gradient, dots)
        return _group_calls.sum_dots(self.groups, self.kept, dots)

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
        gather, channels = self._gather(backward=True), gradient.g.channels if bias else 0
        dots = _group_calls.make_dots(gather, source, channels, with_input_gradient=True)
        weights = self._copy_values(values)
        sums = _group_calls.scatter(gather, weights, EMPTY, gradient, out, epilogue=epilogue, dots=dots)
        return sums, _group_calls.sum_dots(self.groups, self.kept, dots)


class InputGroupProducts(_GroupProducts):
    """Products by the kernels for groups, of the transposed layer: its input gradient is the output of this one."""

    def convolve(
        self, values: Array, bias: Array, source: LazyActivation, out: BlockedTensor, *, moments: bool
    ) -> Sums:
        """See `Products`."""
        weights = self._copy_values(values)
        return _group_calls.scatter(self._gather(backward=True), weights, bias, source, out, moments=moments)

    def convolve_backward(
        self, values: Array, gradient: LazyGradient, out: BlockedTensor, epilogue: BackwardEpilogue
    ) -> Sums:
        """See `Products`."""
        weights, zeros = self._copy_values(values), get_constant(out.channels, 0)
        return _group_calls.convolve(self._gather(), weights, zeros, gradient, out, epilogue=epilogue)

    def correlate(self, source: LazyActivation, gradient: LazyGradient, *, bias: bool) -> tuple[Array, Array]:
        """See `Products`."""
        gather = self._gather()
        dots = _group_calls.make_dots(gather, gradient, 0, with_input_gradient=False)
        _group_calls.correlate(gather, source, dots)
        values, _ = _group_calls.sum_dots(self.groups, self.kept, dots)
        return values, _group_calls.sum_gradient(gradient) if bias else EMPTY

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
        gather, weights, zeros = self._gather(), self._copy_values(values), get_constant(out.channels, 0)
        dots = _group_calls.make_dots(gather, source, 0, with_input_gradient=False)
        sums = _group_calls.convolve(gather, weights, zeros, gradient, out, epilogue=epilogue, dots=dots)
        grads, _ = _group_calls.sum_dots(self.groups, self.kept, dots)
        return sums, (grads, _group_calls.sum_gradient(gradient) if bias else EMPTY)
