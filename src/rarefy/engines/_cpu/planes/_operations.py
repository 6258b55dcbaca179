"""The operations that have kernels over planes."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Maps:
    """A tensor of a network, without its axis of images.

    Args:
        channels: Its channels, or features.
        height: Rows; 0 for features.
        width: Columns; 0 for features.
    """

    channels: int
    height: int = 0
    width: int = 0

    @property
    def is_features(self) -> bool:
        """Whether it has one number per channel."""
        return self.height == 0

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape in torch."""
        return (self.channels,) if self.is_features else (self.channels, self.height, self.width)


@dataclasses.dataclass(frozen=True)
class Taps:
    """The kept weights of a layer, ordered by output channel: ``out[k, y, x] += value * source[c, y + dy, x + dx]``.

    Args:
        k: Output channels, [nnz].
        c: Channels of the source, [nnz].
        dy: Shifts in rows, [nnz], in pixels of the source.
        dx: Shifts in columns, [nnz].
        values: The weights, [nnz].
    """

    k: Array
    c: Array
    dy: Array
    dx: Array
    values: Array


@dataclasses.dataclass(frozen=True, eq=False)
class Sum:
    """A weighted sum with a bias: a convolution, a linear layer, an average pooling, a batch norm, an addition.

    Args:
        source: What it reads.
        out: What it computes.
        taps: Its weights.
        bias: One number per output channel.
        stride: Pixels of the source per pixel of the output.
        other: A tensor like the output that is added.
        low: The least output.
        high: The largest output.
    """

    source: Maps
    out: Maps
    taps: Taps
    bias: Array
    stride: int = 1
    other: Maps | None = None
    low: float = -math.inf
    high: float = math.inf

    @property
    def is_open(self) -> bool:
        """Whether more can be done to the output while it is computed."""
        return self.other is None and self.is_linear

    @property
    def is_linear(self) -> bool:
        """Whether the output is not clamped."""
        return self.low == -math.inf and self.high == math.inf

    def scale(self, scale: Array, shift: Array) -> Sum:
        """Returns the sum followed by ``scale * out + shift`` per channel."""
        taps = dataclasses.replace(self.taps, values=(self.taps.values * scale[self.taps.k]))
        return dataclasses.replace(self, taps=taps, bias=self.bias * scale + shift)

    def clamp(self, low: float, high: float) -> Sum:
        """Returns the sum followed by a clamp."""
        return dataclasses.replace(self, low=low, high=high)


@dataclasses.dataclass(frozen=True, eq=False)
class Maximum:
    """A max pooling.

    Args:
        source: What it reads.
        out: What it computes.
        shifts: The pixels of a window: (phase, row, column), the phase 0 but for what reads a `Split`.
        stride: Pixels of the source per pixel of the output.
    """

    source: Maps
    out: Maps
    shifts: tuple[tuple[int, int, int], ...]
    stride: int = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Mean:
    """The mean of all pixels of a channel."""

    source: Maps
    out: Maps


@dataclasses.dataclass(frozen=True, eq=False)
class Flatten:
    """Every pixel of every channel as a feature."""

    source: Maps
    out: Maps


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Every `stride`-th row and column, from each phase (row, column) on: channels [phase, channel]."""

    source: Maps
    out: Maps
    phases: tuple[tuple[int, int], ...]
    stride: int


Operation = Sum | Maximum | Mean | Flatten | Split


def make_identity(channels: int) -> Taps:
    """Makes the taps that copy every channel."""
    zeros, order = np.zeros(channels, np.int64), np.arange(channels)
    return Taps(order, order, zeros, zeros, np.ones(channels))


def make_taps(
    weight: Array, *, padding: tuple[int, int], dilation: tuple[int, int], groups: int, center_only: bool
) -> Taps:
    """Makes the taps of a convolution's weight [outputs, inputs / groups, height, width]: those that are not 0.

    Args:
        weight: The weight.
        padding: Rows and columns of zeros around the source.
        dilation: Distance of the kernel's rows and columns.
        groups: Groups of channels.
        center_only: Whether the source has one pixel, so that every other shift meets padding.
    """
    k, c, y, x = np.nonzero(weight)
    values = weight[k, c, y, x].astype(np.float64)
    dy, dx = y * dilation[0] - padding[0], x * dilation[1] - padding[1]
    c = c + k // (weight.shape[0] // groups) * weight.shape[1]
    taps = (k, c, dy, dx, values)
    if center_only:
        center = (dy == 0) & (dx == 0)
        taps = tuple(array[center] for array in taps)
    return Taps(*taps)
