"""Kernels called on whole maps, split over threads."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rarefy.engines._cpu.blocked._geometry import LANES
from rarefy.engines._cpu.blocked._memory import EMPTY, EMPTY_MOMENTS, Array, BlockedTensor, constant, scratch
from rarefy.engines._cpu.blocked._offsets import Reads
from rarefy.engines._cpu.kernels import _convolutions, _elementwise
from rarefy.engines._cpu.kernels._threads import parallel, threads

Sums = npt.NDArray[np.float64]


class LazyActivation(NamedTuple):
    """BlockedTensor as their reader sees them: ``a * maps + c`` a channel, then ReLU where asked."""

    maps: BlockedTensor
    a: Array
    c: Array
    relu: bool

    @staticmethod
    def plain(maps: BlockedTensor) -> LazyActivation:
        """The maps as they are."""
        return LazyActivation(maps, constant(maps.channels, 1), constant(maps.channels, 0), False)

    @property
    def is_plain(self) -> bool:
        """Whether they are read as they are."""
        return not self.relu and self.a is constant(self.maps.channels, 1)


class LazyGradient(NamedTuple):
    """A gradient as its reader sees it: ``a * g + b * t + c`` a channel."""

    g: BlockedTensor
    t: BlockedTensor | None
    a: Array
    b: Array
    c: Array

    @staticmethod
    def plain(g: BlockedTensor) -> LazyGradient:
        """The gradient as it is."""
        return LazyGradient(g, None, constant(g.channels, 1), constant(g.channels, 0), constant(g.channels, 0))

    @property
    def is_plain(self) -> bool:
        """Whether it is read as it is."""
        return self.t is None and self.a is constant(self.g.channels, 1)


class BackwardEpilogue(NamedTuple):
    """What follows an input gradient while it is in the cache: see `kernels._tiles.finish`."""

    active: bool
    more: bool
    relu: bool
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


NOTHING = BackwardEpilogue._make((False, False, False, 0, *[EMPTY] * 8, EMPTY_MOMENTS))


@functools.cache
def _nothing(parts: int) -> BackwardEpilogue:
    return NOTHING._replace(sums=np.zeros((parts, 0, 3)))


def adding(others: BlockedTensor) -> BackwardEpilogue:
    """Adds other gradients, no more."""
    data = others.data  # the mask reads something, too
    return BackwardEpilogue(True, True, False, 0, data, data, EMPTY, EMPTY, data, EMPTY, data, EMPTY, EMPTY_MOMENTS)


def _parts(reads: Reads, blocks: int) -> int:
    """How many threads there is work for: items where there are enough, else channels (see `_convolutions._work`)."""
    walk, parts = reads.walk, threads()
    return parts if blocks * walk.tiles >= parts else min(parts, reads.starts.shape[0] // (walk.out_sy * walk.out_sx))


def _tile(reads: Reads, parts: int) -> Array:
    return scratch(parts, reads.scratch)


def convolve(
    reads: Reads, values: Array, bias: Array, source: LazyActivation, out: BlockedTensor, *, moments: bool
) -> Sums:
    """Out = the convolution of the source. Returns its moments, [threads, channels, 3], or nothing."""
    maps = source.maps
    parts = _parts(reads, maps.blocks)
    taken = np.zeros((parts, out.channels if moments else 0, 3))
    parallel(_convolutions.convolve, parts, (
        reads.walk, maps.blocks, maps.lanes,
        (maps.data, maps.data, False, source.a, source.a, source.c, source.relu),
        (values, reads.offsets, reads.starts, bias),
        (out.data, _tile(reads, parts), scratch(parts, 16 * LANES, "chunk")), taken, _nothing(parts),
    ))  # fmt: skip
    return taken


def convolve_back(
    reads: Reads, values: Array, slope: LazyGradient, out: BlockedTensor, after: BackwardEpilogue
) -> Sums:
    """Out = the input gradient, followed by `after`. Returns batch norm's sums, [threads, channels, 3]."""
    maps, other = slope.g, slope.t or slope.g
    parts = _parts(reads, maps.blocks)
    sums = np.zeros((parts, out.channels, 3))
    parallel(_convolutions.convolve, parts, (
        reads.walk, maps.blocks, maps.lanes,
        (maps.data, other.data, slope.t is not None, slope.a, slope.b, slope.c, False),
        (values, reads.offsets, reads.starts, constant(out.channels, 0)),
        (out.data, _tile(reads, parts), scratch(parts, 16 * LANES, "chunk")),
        np.empty((parts, 0, 3)), BackwardEpilogue(*after[:-1], sums),
    ))  # fmt: skip
    return sums


def correlate(reads: Reads, source: LazyActivation, slope: LazyGradient, *, bias: bool) -> tuple[Array, Array]:
    """(the gradient of kept weights, [nnz]; the bias' gradient, [channels], or nothing)."""
    maps, other = source.maps, slope.t or slope.g
    parts = _parts(reads, maps.blocks)
    sums = np.zeros((parts, reads.offsets.size), np.float32)
    slopes = reads.slopes
    size = slopes.scratch_h * slopes.scratch_w * LANES * slope.g.channels
    totals = np.zeros((parts, slope.g.channels if bias else 0), np.float64)
    parallel(_convolutions.correlate, parts, (
        reads.walk, slopes, maps.blocks, maps.lanes,
        (maps.data, source.a, source.c, source.relu),
        (slope.g.data, other.data, slope.t is not None, slope.a, slope.b, slope.c),
        reads.offsets, reads.starts, sums, totals, (_tile(reads, parts), scratch(parts, size, "slope")),
    ))  # fmt: skip
    return _total(sums), _total(totals).astype(np.float32)


def _total(parts: npt.NDArray[Any]) -> npt.NDArray[Any]:
    total: npt.NDArray[Any] = parts[0] if len(parts) == 1 else parts.sum(0)
    return total


def _planes(maps: BlockedTensor) -> tuple[int, int]:
    """(parts, planes [block, channel])."""
    count = maps.blocks * maps.channels
    return min(threads(), count), count


def add(
    out: BlockedTensor, s: BlockedTensor, t: BlockedTensor | None, a: Array, b: Array, c: Array, *, relu: bool = False
) -> None:
    """Out = a * s + b * t + c, then ReLU where asked."""
    parts, planes = _planes(out)
    other = (t or s).data
    arguments = (planes, out.channels, out.plane, out.data, s.data, other, t is not None, a, b, c, relu)
    parallel(_elementwise.apply, parts, arguments)


def moments_of(maps: BlockedTensor) -> Sums:
    """Batch norm's moments of maps, [threads, channels, 3]."""
    parts, planes = _planes(maps)
    moments = np.zeros((parts, maps.channels, 3))
    arguments = (planes, maps.channels, maps.blocks, maps.lanes, maps.plane, maps.data, moments)
    parallel(_elementwise.moments_of, parts, arguments)
    return moments


def finish_all(out: BlockedTensor, gradient: BlockedTensor, after: BackwardEpilogue) -> Sums:
    """`after` on its own, of a gradient that is there. Returns batch norm's sums."""
    parts, planes = _planes(out)
    sums = np.zeros((parts, out.channels, 3))
    arguments = (planes, out.channels, out.plane, out.data, gradient.data, BackwardEpilogue(*after[:-1], sums))
    parallel(_elementwise.finish_all, parts, arguments)
    return sums


def pool(source: LazyActivation, out: BlockedTensor, window: tuple[int, ...], *, largest: bool) -> None:
    """Pools windows of the source: the largest, or the mean."""
    maps = source.maps
    parts, planes = _planes(maps)
    sizes = (maps.height, maps.width, out.height, out.width)
    parallel(_elementwise.pool, parts, (
        planes, maps.channels, window, sizes, maps.data, source.a, source.c, source.relu, out.data, largest,
        scratch(parts, maps.plane, "plane"),
    ))  # fmt: skip


def unpool(
    source: LazyActivation,
    out: BlockedTensor,
    g: BlockedTensor,
    gradient: BlockedTensor,
    window: tuple[int, ...],
    *,
    largest: bool,
) -> None:
    """Gradient = the input gradient of `pool`."""
    maps = source.maps
    parts, planes = _planes(maps)
    sizes = (maps.height, maps.width, out.height, out.width)
    sized = ((maps.plane, "plane"), (out.width * LANES, "line"), (maps.plane, "slope"))
    parallel(_elementwise.unpool, parts, (
        planes, maps.channels, window, sizes, maps.data, source.a, source.c, source.relu,
        out.data, g.data, gradient.data, largest, tuple(scratch(parts, *one) for one in sized),
    ))  # fmt: skip


def pack(maps: BlockedTensor, tensor: Array, *, back: bool = False) -> None:
    """A contiguous tensor [N, C, H, W] or [N, F], flat, to blocks; or back."""
    pixels = maps.height * maps.width
    if maps.rows:
        units, together, columns, unit, column = pixels, 1, maps.channels, LANES, pixels * LANES
    else:
        units, together, columns = maps.blocks * maps.channels, maps.channels, pixels
        unit, column = pixels * LANES, LANES
    arguments = (units, maps.rows, together, maps.images, columns, tensor, maps.data, unit, column, back)
    parallel(_elementwise.pack, min(threads(), units), arguments)
