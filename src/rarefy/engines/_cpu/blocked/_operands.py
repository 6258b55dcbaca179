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
    source: Array
    a: Array
    c: Array
    relu: Rectifier
    offsets: Positions
    starts: Ints
    sums: Array
    bias: Sums

    @staticmethod
    def allocate(gather: TileOffsets, source: LazyActivation, sums: tuple[int, int], bias: tuple[int, int]) -> Dots:
        """Allocates zeros of two sizes, [threads, stored weights] and [threads, channels or 0]."""
        return Dots(
            True, gather.tiling, source.maps.data, source.a, source.c, source.relu, gather.offsets, gather.starts,
            np.zeros(sums, np.float32), np.zeros(bias),
        )  # fmt: skip

    def sum(self) -> tuple[Array, Array]:
        """Returns the gradients of the kept weights, [nnz], and of the bias, [channels], or empty."""
        return sum_parts(self.sums), sum_parts(self.bias).astype(np.float32)


@functools.cache
def make_no_dots(parts: int, dtype: str) -> Dots:
    """Makes what a kernel takes that computes no weight gradient."""
    offsets, starts, sums = np.empty(0, dtype), np.empty((0, 1), np.int32), np.empty((parts, 0), np.float32)
    tiling = Tiling._make([0] * len(Tiling._fields))
    return Dots(False, tiling, EMPTY, EMPTY, EMPTY, NO_RELU, offsets, starts, sums, np.empty((parts, 0)))


def make_addition_epilogue(others: BlockedTensor) -> BackwardEpilogue:
    """Makes the epilogue that adds other gradients and does nothing else."""
    data = others.data  # the kernel reads arrays that it does not need, too
    return BackwardEpilogue(True, True, NO_RELU, 0, data, data, EMPTY, EMPTY, data, EMPTY, data, EMPTY, EMPTY_MOMENTS)


def sum_parts(parts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Adds up what the threads computed, [parts, ...]."""
    total: npt.NDArray[Any] = parts[0] if len(parts) == 1 else parts.sum(0)
    return total
