"""Memory of the kernels: maps that return their memory when they go, and scratch."""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[np.float32]

_RECENT = 2048  # buffers asked for: what was not used again in the meantime goes back to the system
_local = threading.local()


class BufferPool:
    """Buffers for reuse: a fresh one costs a page fault every 4 KiB, one that was used before does not.

    What the last `_RECENT` requests have not used goes back to the system: what is kept follows the sizes in use.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._free: dict[int, list[tuple[int, Array]]] = {}  # size to (when it came back, buffer), the latest last
        self._requests = 0

    def take(self, size: int) -> Array:
        """A buffer of so many floats, whatever is in it."""
        with self._lock:
            self._requests += 1
            if self._requests % _RECENT == 0:
                self._drop(self._requests - _RECENT)
            waiting = self._free.get(size)
            if waiting:
                return waiting.pop()[1]
        return torch.empty(size, dtype=torch.float32).numpy()

    def give(self, buffer: Array) -> None:
        """Keeps a buffer that nobody uses any more."""
        with self._lock:
            self._free.setdefault(buffer.size, []).append((self._requests, buffer))

    def _drop(self, before: int) -> None:
        kept = {size: [one for one in waiting if one[0] > before] for size, waiting in self._free.items()}
        self._free = {size: waiting for size, waiting in kept.items() if waiting}

    @property
    def nbytes(self) -> int:
        """Bytes that wait for reuse."""
        with self._lock:
            return sum(4 * size * len(waiting) for size, waiting in self._free.items())

    def clear(self) -> None:
        """Gives all of it back to the system."""
        with self._lock:
            self._free = {}


POOL = BufferPool()


def release() -> None:
    """Gives memory kept for reuse back to the system."""
    POOL.clear()


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
        self.data: Array = POOL.take(size)
        if fresh:
            self.data.fill(0)

    def __del__(self) -> None:
        POOL.give(self.data)

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
