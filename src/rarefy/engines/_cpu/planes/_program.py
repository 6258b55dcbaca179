"""Writes a network down as the arrays that the kernel reads."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import sys
from collections.abc import Iterable

import numpy as np
import torch

from rarefy.engines._cpu.kernels import LANES
from rarefy.engines._cpu.kernels._plane_columns import Kind
from rarefy.engines._cpu.kernels._plane_columns import Step as Column
from rarefy.engines._cpu.kernels._plane_dots import DOT_GROUP
from rarefy.engines._cpu.kernels._plane_loops import MAX_VECTORS
from rarefy.engines._cpu.kernels._plane_steps import FIRST_SUM
from rarefy.engines._cpu.kernels._planes import LINE, predict
from rarefy.engines._cpu.kernels._threads import run_parallel
from rarefy.engines._cpu.planes._groups import group_channels
from rarefy.engines._cpu.planes._layout import Geometry, allocate, lay_out, split_strides
from rarefy.engines._cpu.planes._lower import Network
from rarefy.engines._cpu.planes._operations import Array, Maps, Maximum, Mean, Operation, Split, Sum

_BLOCKS = 4  # blocks of channels of a step: enough that two threads end at about the same time


@dataclasses.dataclass(frozen=True)
class Program:
    """A network for groups of so many images.

    Args:
        steps: int64, [steps, columns].
        limits: Least and largest output of a step, [steps, 2].
        weights: Values, offsets, starts and biases of all steps, and the offsets again in 16 bits, for features.
        masks: All bits of what is a pixel, none of what is not.
        size: Floats of memory that a group needs.
    """

    steps: Array
    limits: Array
    weights: tuple[Array, Array, Array, Array, Array]
    masks: Array
    size: int
    _free: list[Array] = dataclasses.field(default_factory=list)

    def run(self, threads: int, images: tuple[Array, Array, int, int, int], *, together: bool) -> None:
        """Predicts.

        Args:
            threads: Number of threads.
            images: Inputs and outputs, flat; number of the first image, how many, and images of a group.
            together: Whether all threads compute one group, and not each its own.
        """
        arenas = self._take_arenas(1 if together else threads)
        counters = np.zeros(2 * LINE * max(1, len(self.steps)), np.int64)
        run_parallel(predict, threads, (
            together, self.steps, self.limits, self.weights, self.masks, arenas, images, counters, _find_yield(),
        ))  # fmt: skip
        self._free.append(arenas)

    def _take_arenas(self, threads: int) -> Array:
        """Returns memory for a group in each thread. It is zeroed, or was used before: only its pixels are written."""
        with contextlib.suppress(IndexError):  # calls in several threads: each takes another one
            arenas = self._free.pop()
            if len(arenas) >= threads:
                return arenas
        return torch.zeros(threads, self.size).numpy()


def make_program(network: Network, images: int) -> Program:
    """Writes a network down for groups of some images."""
    return _Writer(network, images).write()


class _Writer:
    """The arrays, as far as they are written."""

    def __init__(self, network: Network, images: int) -> None:
        self.network, self.images = network, images
        self.operations = split_strides(network.operations)
        tensors = dict.fromkeys([network.source, *(operation.out for operation in self.operations)])
        self.geometries = lay_out(self.operations, tensors, images)
        self.begins, self.size = allocate(self.operations, network.source, network.out, self.geometries)
        self.steps: list[list[int]] = []
        self.limits: list[tuple[float, float]] = []
        self.values, self.offsets, self.starts, self.biases, self.masks = (_Pieces() for _ in range(5))
        self.mask_of: dict[tuple[Geometry, int], int] = {}

    def write(self) -> Program:
        self._add_copy(Kind.LOAD, self.network.source)
        for operation in self.operations:
            self._add(operation)
        self._add_copy(Kind.STORE, self.network.out)
        offsets = self.offsets.join(np.int32)
        short = offsets if any(step[Column.KIND] == Kind.DOT for step in self.steps) else offsets[:1]
        weights = (
            self.values.join(np.float32), offsets, self.starts.join(np.int64), self.biases.join(np.float32),
            (short & 0xFFFF).astype(np.uint16),
        )  # fmt: skip
        steps, limits = np.array(self.steps, np.int64), np.array(self.limits, np.float32)
        return Program(steps, limits, weights, self.masks.join(np.int32), self.size)

    def _add(self, operation: Operation) -> None:
        if isinstance(operation, Sum):
            self._add_sum(operation)
        elif isinstance(operation, Maximum):
            self._add_maximum(operation)
        elif isinstance(operation, Split):
            first = self.offsets.add([number for phase in operation.phases for number in phase])
            self._append(
                Kind.SPLIT, operation.source, operation.out, channels=operation.out.channels, starts=first,
                other=operation.source.channels, stride=operation.stride,
            )  # fmt: skip
        else:
            kind = Kind.MEAN if isinstance(operation, Mean) else Kind.FLATTEN
            self._append(kind, operation.source, operation.out, channels=operation.source.channels)

    def _add_sum(self, operation: Sum) -> None:
        source, out, taps = self.geometries[operation.source], self.geometries[operation.out], operation.taps
        offsets = taps.c * source.plane + source.lead + taps.dy * source.pitch + taps.dx
        kind = Kind.DOT if out.plane == 1 else Kind.SUM
        sizes = [1, *DOT_GROUP] if kind == Kind.DOT else MAX_VECTORS
        other = -1 if operation.other is None else self.begins[operation.other]
        vectors, bias = self._count_vectors(out), self.biases.add(operation.bias)
        for groups in group_channels(taps.k, offsets, taps.values, operation.out.channels, sizes):
            shift = groups.first * out.plane
            first = self.offsets.add(groups.offsets)
            self._append(
                kind, operation.source, operation.out, channels=groups.count, vectors=vectors,
                chunks=1 if kind == Kind.DOT else -(-vectors // MAX_VECTORS[groups.size]),
                starts=self.starts.add(first + groups.starts), bias=bias + groups.first,
                other=other + shift if other >= 0 else -1, limits=(operation.low, operation.high),
            )  # fmt: skip
            step = self.steps[-1]
            step[Column.OUT] += shift
            step[Column.SIZE] = groups.size
            step[Column.VALUES] = self.values.add(groups.values.ravel()) - groups.size * first
            step[Column.KERNEL] = FIRST_SUM.get(groups.size, 0)

    def _add_maximum(self, operation: Maximum) -> None:
        source, channels = self.geometries[operation.source], operation.out.channels
        offsets = [c * channels * source.plane + source.lead + y * source.pitch + x for c, y, x in operation.shifts]
        first = self.offsets.add(offsets)
        starts = self.starts.add([first, first + len(offsets)])
        vectors = self._count_vectors(self.geometries[operation.out])
        self._append(Kind.MAXIMUM, operation.source, operation.out, channels=channels, vectors=vectors, starts=starts)

    def _add_copy(self, kind: Kind, maps: Maps) -> None:
        """Appends the step that copies images to the source, or the output to an array."""
        self._append(kind, maps, maps, channels=maps.channels)
        step, geometry = self.steps[-1], self.geometries[maps]
        if geometry.plane == 1:  # one long row
            step[Column.CHANNELS] = step[Column.ITEMS] = 1
            step[Column.SOURCE_WIDTH] = step[Column.OUT_WIDTH] = maps.channels

    def _append(
        self, kind: Kind, source: Maps, out: Maps, *, channels: int, vectors: int = 0, chunks: int = 1, starts: int = 0,
        bias: int = 0, other: int = -1, stride: int = 1, limits: tuple[float, float] = (-np.inf, np.inf),
    ) -> None:  # fmt: skip
        blocks = min(_BLOCKS, channels)
        mask = self._find_mask(self.geometries[out]) if vectors else 0
        columns = (self.begins[source], *self.geometries[source], self.begins[out], *self.geometries[out])
        self.steps.append(
            [
                kind,
                chunks * blocks,
                chunks,
                vectors,
                channels,
                starts,
                bias,
                mask,
                other,
                *columns,
                stride,
                self.images,
                1,
                0,
                0,
            ]
        )
        self.limits.append(limits)

    def _count_vectors(self, geometry: Geometry) -> int:
        floats = ((self.images - 1) * geometry.rows + geometry.height) * geometry.pitch
        return -(-floats // LANES)

    def _find_mask(self, geometry: Geometry) -> int:
        """Returns where the mask of a geometry begins, and writes it if it is new."""
        key = geometry, self._count_vectors(geometry)
        if key not in self.mask_of:
            at = np.arange(key[1] * LANES)
            row, column = at // geometry.pitch, at % geometry.pitch
            is_pixel = (column < geometry.width) & (row % geometry.rows < geometry.height)
            self.mask_of[key] = self.masks.add(np.where(is_pixel & (row // geometry.rows < self.images), -1, 0))
        return self.mask_of[key]


class _Pieces:
    """An array that is written in pieces."""

    def __init__(self) -> None:
        self.pieces: list[Array] = []
        self.size = 0

    def add(self, piece: Iterable[float] | Array) -> int:
        """Appends a piece; returns where it begins."""
        begin, array = self.size, np.asarray(piece)
        self.pieces.append(array)
        self.size += array.size
        return begin

    def join(self, dtype: type) -> Array:
        """Returns the whole array, never empty."""
        whole: Array = np.concatenate([*self.pieces, [0]]).astype(dtype)
        return whole


@functools.cache
def _find_yield() -> int:
    """Finds the system's function that lets other threads run; 0 where there is none that can be called."""
    try:
        if sys.platform == "win32":
            function = ctypes.windll.kernel32.SwitchToThread
        else:
            function = ctypes.CDLL(None).sched_yield
    except (OSError, AttributeError):
        return 0
    return ctypes.cast(function, ctypes.c_void_p).value or 0
