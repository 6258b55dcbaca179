"""Kernels called on whole maps, split over threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rarefy.engines._cpu import _between, _kernels
from rarefy.engines._cpu._emit import CHUNKS
from rarefy.engines._cpu._geometry import LANES, slope_walk
from rarefy.engines._cpu._memory import EMPTY, EMPTY_MOMENTS, Array, Maps, constant, scratch
from rarefy.engines._cpu._offsets import Reads
from rarefy.engines._cpu._threads import parallel, share, threads

Sums = npt.NDArray[np.float64]


class Source(NamedTuple):
    """Maps as their reader sees them: ``a * maps + c`` a channel, then ReLU where asked."""

    maps: Maps
    a: Array
    c: Array
    relu: bool

    @staticmethod
    def plain(maps: Maps) -> Source:
        """The maps as they are."""
        return Source(maps, constant(maps.channels, 1), constant(maps.channels, 0), False)

    @property
    def is_plain(self) -> bool:
        """Whether they are read as they are."""
        return not self.relu and self.a is constant(self.maps.channels, 1)


class Slope(NamedTuple):
    """A gradient as its reader sees it: ``a * g + b * t + c`` a channel."""

    g: Maps
    t: Maps | None
    a: Array
    b: Array
    c: Array

    @staticmethod
    def plain(g: Maps) -> Slope:
        """The gradient as it is."""
        return Slope(g, None, constant(g.channels, 1), constant(g.channels, 0), constant(g.channels, 0))

    @property
    def is_plain(self) -> bool:
        """Whether it is read as it is."""
        return self.t is None and self.a is constant(self.g.channels, 1)


class After(NamedTuple):
    """What follows an input gradient while it is in the cache: see `rarefy.engines._cpu._kernels.finish`."""

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


NOTHING = After._make((False, False, False, 0, *[EMPTY] * 8, EMPTY_MOMENTS))


def adding(others: Maps) -> After:
    """Adds other gradients, no more."""
    data = others.data  # the mask reads something, too
    return After(True, True, False, 0, data, data, EMPTY, EMPTY, data, EMPTY, data, EMPTY, EMPTY_MOMENTS)


def _split(reads: Reads, blocks: int, step: int) -> tuple[int, Callable[[int], tuple[Any, Any]]]:
    """Parts, and each part's (work items, output channels): items where there are enough, else channels."""
    walk, parts = reads.walk, threads()
    items, channels = blocks * walk.tiles, reads.starts.shape[0]
    if items >= parts:
        return parts, lambda part: (share(items, part, parts), (0, channels))
    groups = channels // step
    parts = min(parts, groups)

    def of(part: int) -> tuple[Any, Any]:
        first, last = share(groups, part, parts)
        return (0, items), (first * step, last * step)

    return parts, of


def _buffers(reads: Reads) -> tuple[Array, Array]:
    walk = reads.walk
    planes = walk.segment * walk.together * walk.phases_y * walk.phases_x
    return scratch(planes * walk.scratch_h * walk.scratch_w * LANES), scratch(16 * LANES, "chunk")


def convolve(reads: Reads, values: Array, bias: Array, source: Source, out: Maps, *, moments: bool) -> Sums:
    """Out = the convolution of the source. Returns its moments, [threads, channels, 3], or nothing."""
    maps = source.maps
    parts, of = _split(reads, maps.blocks, 1)
    taken = np.zeros((parts, out.channels, 3)) if moments else np.empty((parts, 0, 3))

    def task(part: int) -> None:
        _kernels.convolve(
            reads.walk, *of(part), maps.blocks, maps.lanes,
            (maps.data, maps.data, False, source.a, source.a, source.c, source.relu),
            (values, reads.offsets, reads.starts, bias), (out.data, *_buffers(reads)), taken[part], NOTHING,
        )  # fmt: skip

    parallel(task, parts)
    return taken


def convolve_back(reads: Reads, values: Array, slope: Slope, out: Maps, after: After) -> Sums:
    """Out = the input gradient, followed by `after`. Returns batch norm's sums, [threads, channels, 3]."""
    maps, other = slope.g, slope.t or slope.g
    walk = reads.walk
    parts, of = _split(reads, maps.blocks, walk.out_sy * walk.out_sx)
    sums = np.zeros((parts, out.channels, 3))

    def task(part: int) -> None:
        _kernels.convolve(
            walk, *of(part), maps.blocks, maps.lanes,
            (maps.data, other.data, slope.t is not None, slope.a, slope.b, slope.c, False),
            (values, reads.offsets, reads.starts, constant(out.channels, 0)), (out.data, *_buffers(reads)),
            EMPTY_MOMENTS, after._replace(sums=sums[part]),
        )  # fmt: skip

    parallel(task, parts)
    return sums


def correlate(reads: Reads, source: Source, slope: Slope, *, bias: bool) -> tuple[Array, Array]:
    """(the gradient of kept weights, [nnz]; the bias' gradient, [channels], or nothing)."""
    maps, other = source.maps, slope.t or slope.g
    parts, of = _split(reads, maps.blocks, 1)
    sums = np.zeros((parts, reads.offsets.size), np.float32)
    slopes = slope_walk(reads.walk, CHUNKS)
    size = slopes.scratch_h * slopes.scratch_w * LANES * slope.g.channels
    totals = np.zeros((parts, slope.g.channels if bias else 0), np.float64)

    def task(part: int) -> None:
        _kernels.correlate(
            reads.walk, slopes, *of(part), maps.blocks, maps.lanes,
            (maps.data, source.a, source.c, source.relu),
            (slope.g.data, other.data, slope.t is not None, slope.a, slope.b, slope.c),
            reads.offsets, reads.starts, sums[part], totals[part], (_buffers(reads)[0], scratch(size, "slope")),
        )  # fmt: skip

    parallel(task, parts)
    return sums.sum(0), totals.sum(0).astype(np.float32)


def _planes(maps: Maps, call: Callable[[tuple[int, int], int], None]) -> int:
    """Calls (items, part) for each part of the planes [block, channel]."""
    count = maps.blocks * maps.channels
    parts = min(threads(), count)
    parallel(lambda part: call(share(count, part, parts), part), parts)
    return parts


def add(out: Maps, s: Maps, t: Maps | None, a: Array, b: Array, c: Array, *, relu: bool = False) -> None:
    """Out = a * s + b * t + c, then ReLU where asked."""
    other = t or s

    def call(items: tuple[int, int], _: int) -> None:
        _between.apply(items, out.channels, out.plane, out.data, s.data, other.data, t is not None, a, b, c, relu)

    _planes(out, call)


def moments_of(maps: Maps) -> Sums:
    """Batch norm's moments of maps, [threads, channels, 3]."""
    moments = np.zeros((threads(), maps.channels, 3))

    def call(items: tuple[int, int], part: int) -> None:
        _between.moments_of(items, maps.channels, maps.blocks, maps.lanes, maps.plane, maps.data, moments[part])

    _planes(maps, call)
    return moments


def finish_all(out: Maps, gradient: Maps, after: After) -> Sums:
    """`after` on its own, of a gradient that is there. Returns batch norm's sums."""
    sums = np.zeros((threads(), out.channels, 3))

    def call(items: tuple[int, int], part: int) -> None:
        own = after._replace(sums=sums[part])
        _between.finish_all(items, out.channels, out.plane, out.data, gradient.data, own)

    _planes(out, call)
    return sums


def pool(source: Source, out: Maps, window: tuple[int, ...], *, largest: bool) -> None:
    """Pools windows of the source: the largest, or the mean."""
    maps = source.maps
    sizes = (maps.height, maps.width, out.height, out.width)

    def call(items: tuple[int, int], _: int) -> None:
        _between.pool(
            items, maps.channels, window, sizes, maps.data, source.a, source.c, source.relu, out.data, largest,
            scratch(maps.plane, "plane"),
        )  # fmt: skip

    _planes(maps, call)


def unpool(source: Source, out: Maps, g: Maps, gradient: Maps, window: tuple[int, ...], *, largest: bool) -> None:
    """Gradient = the input gradient of `pool`."""
    maps = source.maps
    sizes = (maps.height, maps.width, out.height, out.width)

    def call(items: tuple[int, int], _: int) -> None:
        _between.unpool(
            items, maps.channels, window, sizes, maps.data, source.a, source.c, source.relu,
            out.data, g.data, gradient.data, largest,
            scratch(maps.plane, "plane"), scratch(out.width * LANES, "line"), scratch(maps.plane, "slope"),
        )  # fmt: skip

    _planes(maps, call)


def pack(maps: Maps, tensor: Array, *, back: bool = False) -> None:
    """A contiguous tensor [N, C, H, W] or [N, F], flat, to blocks; or back."""
    pixels = maps.height * maps.width
    if maps.rows:
        units, together, columns, unit, column = pixels, 1, maps.channels, LANES, pixels * LANES
    else:
        units, together, columns = maps.blocks * maps.channels, maps.channels, pixels
        unit, column = pixels * LANES, LANES
    parts = min(threads(), units)

    def task(part: int) -> None:
        _between.pack(share(units, part, parts), together, maps.images, columns, tensor, maps.data, unit, column, back)

    parallel(task, parts)
