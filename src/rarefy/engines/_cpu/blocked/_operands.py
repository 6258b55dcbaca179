"""What kernels read and write besides whole tensors: lazy inputs, epilogues and sums over threads."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rarefy.engines._cpu.blocked._memory import EMPTY, EMPTY_MOMENTS, Array, BlockedTensor, get_constant
from rarefy.engines._cpu.blocked._offsets import Ints, Positions, TileOffsets
from rarefy.engines._cpu.blocked._tiling import Tiling
from rarefy.engines._cpu.kernels._tiles import NO_RELU, Rectifier

Sums = npt.NDArray[np.float64]
LazySource = tuple[Array, Array, bool, Array, Array, Array, Rectifier]
"""What a kernel copies into its tiles: s, t, whether there is a t, a, b, c and the ReLU of ``a * s + b * t + c``."""


class LazyActivation(NamedTuple):
    """An activation that its reader computes: ``a * maps + c`` per channel, then the ReLU."""

    maps: BlockedTensor
    a: Array
    c: Array
    relu: Rectifier = NO_RELU

    @staticmethod
    def plain(maps: BlockedTensor) -> LazyActivation:
        """Makes the activation of maps as they are stored."""
        return LazyActivation(maps, get_constant(maps.channels, 1), get_constant(maps.channels, 0))

    @property
    def is_plain(self) -> bool:
        """Whether the maps are read as they are stored."""
        return not self.relu.active and self.a is get_constant(self.maps.channels, 1)

    def as_source(self) -> LazySource:
        """Returns it as a kernel takes it."""
        return self.maps.data, self.maps.data, False, self.a, self.a, self.c, self.relu


class LazyGradient(NamedTuple):
    """A gradient that its reader computes: ``a * g + b * t + c`` per channel."""

    g: BlockedTensor
    t: BlockedTensor | None
    a: Array
    b: Array
    c: Array

    @staticmethod
    def plain(g: BlockedTensor) -> LazyGradient:
        """Makes the gradient of maps as they are stored."""
        one, zero = get_constant(g.channels, 1), get_constant(g.channels, 0)
        return LazyGradient(g, None, one, zero, zero)

    @property
    def is_plain(self) -> bool:
        """Whether the maps are read as they are stored."""
        return self.t is None and self.a is get_constant(self.g.channels, 1)

    @property
    def maps(self) -> BlockedTensor:
        """The stored maps."""
        return self.g

    def as_source(self) -> LazySource:
        """Returns it as a kernel takes it."""
        return self.g.data, (self.t or self.g).data, self.t is not None, self.a, self.b, self.c, NO_RELU


class BackwardEpilogue(NamedTuple):
    """What is done to an input gradient while it is in the cache: see `kernels._tiles.apply_epilogue`."""

    active: bool
    more: bool
    relu: Rectifier
    norms: int
    add: Array
    source: Array
    a: Array
    c: Array
    first: Array
    first_mean: Array
    second: Array
    second_mean: Array
    sums: Sums


NO_EPILOGUE = BackwardEpilogue._make((False, False, NO_RELU, 0, *[EMPTY] * 8, EMPTY_MOMENTS))


@functools.cache
def make_no_epilogue(parts: int) -> BackwardEpilogue:
    """Makes the epilogue that does nothing, for this many threads."""
    return NO_EPILOGUE._replace(sums=np.zeros((parts, 0, 3)))


class Dots(NamedTuple):
    """What a kernel needs for the weight gradient, and where it adds that up."""

    active: bool
    tiling: Tiling
    source: LazySource
    offsets: Positions
    starts: Ints
    sums: Array
    bias: Sums

    @staticmethod
    def allocate(gather: TileOffsets, source: LazySource, sums: tuple[int, int], bias: tuple[int, int]) -> Dots:
        """Allocates zeros of two sizes, [threads, stored weights] and [threads, channels or 0]."""
        zeros = np.zeros(sums, np.float32), np.zeros(bias)
        return Dots(True, gather.tiling, source, gather.offsets, gather.starts, *zeros)

    def sum(self) -> tuple[Array, Array]:
        """Returns the gradients of the kept weights, [nnz], and of the bias, [channels], or empty."""
        return sum_parts(self.sums), sum_parts(self.bias).astype(np.float32)


@functools.cache
def make_no_dots(parts: int, dtype: str) -> Dots:
    """Makes what a kernel takes that computes no weight gradient."""
    offsets, starts, sums = np.empty(0, dtype), np.empty((0, 1), np.int32), np.empty((parts, 0), np.float32)
    tiling = Tiling._make([0] * len(Tiling._fields))
    source = EMPTY, EMPTY, False, EMPTY, EMPTY, EMPTY, NO_RELU
    return Dots(False, tiling, source, offsets, starts, sums, np.empty((parts, 0)))


def make_addition_epilogue(others: BlockedTensor) -> BackwardEpilogue:
    """Makes the epilogue that adds other gradients and does nothing else."""
    data = others.data  # the kernel reads arrays that it does not need, too
    return BackwardEpilogue(True, True, NO_RELU, 0, data, data, EMPTY, EMPTY, data, EMPTY, data, EMPTY, EMPTY_MOMENTS)


def sum_parts(parts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Adds up what the threads computed, [parts, ...]."""
    total: npt.NDArray[Any] = parts[0] if len(parts) == 1 else parts.sum(0)
    return total
