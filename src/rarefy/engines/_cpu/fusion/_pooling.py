"""Pooling and flattening in a fused region, forwards and backwards."""

from __future__ import annotations

import dataclasses

from torch import nn

from rarefy.engines._cpu.blocked import _calls
from rarefy.engines._cpu.blocked._calls import Slope, Source
from rarefy.engines._cpu.blocked._layout import fold
from rarefy.engines._cpu.blocked._memory import Maps
from rarefy.engines._cpu.fusion._run import Run


@dataclasses.dataclass
class Pool:
    """Max or average pooling.

    Args:
        source: Value it reads.
        result: Value it makes.
        window: (rows, columns, strides, padding): 6 numbers, or None for the whole map.
        largest: Max or mean.
    """

    source: int
    result: int
    window: tuple[int, int, int, int, int, int] | None
    largest: bool

    def parameters(self) -> list[nn.Parameter]:
        """None."""
        return []

    def _window(self, maps: Maps) -> tuple[int, int, int, int, int, int]:
        return self.window or (maps.height, maps.width, 1, 1, 0, 0)

    def sources(self) -> tuple[int, ...]:
        """Values it reads."""
        return (self.source,)

    def forward(self, run: Run) -> None:
        """Pools."""
        source = run.values[self.source]
        maps = source.maps
        ky, kx, sy, sx, py, px = window = self._window(maps)
        high, wide = (maps.height + 2 * py - ky) // sy + 1, (maps.width + 2 * px - kx) // sx + 1
        out = Maps(maps.images, maps.channels, high, wide)
        _calls.pool(source, out, window, largest=self.largest)
        run.values[self.result] = Source.plain(out)

    def backward(self, run: Run) -> None:
        """Gives the gradient to the largest, or to all."""
        g = run.gradient(self.result)
        if g is None or self.source not in run.wanted:
            return
        source, out = run.values[self.source], run.values[self.result].maps
        gradient = source.maps.like()
        _calls.unpool(source, out, g, gradient, self._window(source.maps), largest=self.largest)
        run.give(self.source, Slope.plain(gradient))


@dataclasses.dataclass
class Flatten:
    """Maps to rows, [images, channels x height x width]."""

    source: int
    result: int

    def parameters(self) -> list[nn.Parameter]:
        """None."""
        return []

    def sources(self) -> tuple[int, ...]:
        """Values it reads."""
        return (self.source,)

    def forward(self, run: Run) -> None:
        """Copies; small where it is used."""
        maps = run.values[self.source].maps
        run.values[self.result] = Source.plain(fold(maps))

    def backward(self, run: Run) -> None:
        """Copies back."""
        g = run.gradient(self.result)
        if g is not None and self.source in run.wanted:
            run.give(self.source, Slope.plain(fold(g, back=run.values[self.source].maps)))
