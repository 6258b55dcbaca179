"""Memory of the kernels: maps that return their memory when they go, and scratch."""

from __future__ import annotations

import threading
from collections import defaultdict

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[np.float32]

# A fresh buffer costs a page fault every 4 KiB; one that was used before does not.
_free: defaultdict[int, list[Array]] = defaultdict(list)
_local = threading.local()


def release() -> None:
    """Gives memory kept for reuse back to the system."""
    _free.clear()


class BlockedTensor:
    """Feature maps in blocks [images / 16][channel][row][column][16], or rows of numbers as one such block.

    Args:
        images: Images (rows) in it.
        channels: Channels (numbers a row).
        height: Rows of pixels; of a block of rows, together with `width`, groups of 16 rows.
        width: Columns of pixels.
        rows: Whether these are rows of numbers.
        fresh: Whether it starts with zeros.
    """

    __slots__ = ("blocks", "channels", "data", "height", "images", "rows", "width")

    def __init__(
        self, images: int, channels: int, height: int, width: int, *, rows: bool = False, fresh: bool = False
    ) -> None:
        self.images, self.channels, self.height, self.width, self.rows = images, channels, height, width, rows
        self.blocks = 1 if rows else -(-images // 16)
        size = self.blocks * channels * height * width * 16
        waiting = _free[size]
        self.data: Array = waiting.pop() if waiting else torch.empty(size, dtype=torch.float32).numpy()
        if fresh:
            self.data.fill(0)

    def __del__(self) -> None:
        _free[self.data.size].append(self.data)

    def like(self, *, fresh: bool = False) -> BlockedTensor:
        """Other maps of the same sizes."""
        return BlockedTensor(self.images, self.channels, self.height, self.width, rows=self.rows, fresh=fresh)

    def outputs(self, channels: int, size: tuple[int, int]) -> BlockedTensor:
        """As many images (rows) with other channels and another size."""
        return BlockedTensor(self.images, channels, *size, rows=self.rows)

    @property
    def lanes(self) -> int:
        """Images in the last block."""
        return 16 if self.rows else self.images - 16 * (self.blocks - 1)

    @property
    def plane(self) -> int:
        """Floats of one channel of one block."""
        return self.height * self.width * 16

    @property
    def count(self) -> int:
        """Numbers a channel over all images."""
        return self.images if self.rows else self.images * self.height * self.width


def scratch(parts: int, size: int, which: str = "tile") -> Array:
    """At least `size` floats for each part, [parts, floats], whatever is in them; this thread's, one of each name."""
    have: Array | None = getattr(_local, which, None)
    if have is None or have.shape[0] < parts or have.shape[1] < size:
        have = torch.empty((parts, -(-size // 16) * 16), dtype=torch.float32).numpy()
        setattr(_local, which, have)
    return have


def constant(channels: int, value: float) -> Array:
    """A vector of one number; do not write into it."""
    key = (channels, value)
    if key not in _constants:
        _constants[key] = np.full(channels, value, np.float32)
    return _constants[key]


_constants: dict[tuple[int, float], Array] = {}
EMPTY = np.empty(0, np.float32)
EMPTY_MOMENTS = np.empty((0, 0, 3), np.float64)
EMPTY_MOMENTS.setflags(write=True)
