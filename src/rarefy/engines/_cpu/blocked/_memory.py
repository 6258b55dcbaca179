"""Buffer pool, blocked tensors and per-thread scratch memory of the kernels."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[np.float32]

_RECENT = 2048  # requests: a buffer that none of them used goes back to the system
_local = threading.local()


def allocate(size: int) -> Array:
    """Allocates floats that start at a cache line. NumPy asks for huge pages where an array is large."""
    buffer = np.empty(size + 16, np.float32)
    first = -buffer.ctypes.data % 64 // 4
    return buffer[first : first + size]


class BufferPool:
    """Keeps buffers for reuse: a new one costs a page fault per 4 KiB, a used one does not.

    Buffers that the last `_RECENT` requests have not used go back to the system, so the pool follows the sizes in use.

    `give` takes no lock: `BlockedTensor.__del__` calls it, and the garbage collector may run that anywhere, even inside
    `take` of the same thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._returned: deque[tuple[int, Array]] = deque()  # (request at return, buffer), not yet sorted by size
        self._free: dict[int, list[tuple[int, Array]]] = {}  # size to those of this size, in the order of return
        self._requests = 0

    def take(self, size: int) -> Array:
        """Returns a buffer of `size` floats with any content."""
        with self._lock:
            self._sort_returned()
            self._requests += 1
            if self._requests % _RECENT == 0:
                self._drop(self._requests - _RECENT)
            waiting = self._free.get(size)
            if waiting:
                return waiting.pop()[1]
        return allocate(size)

    def give(self, buffer: Array) -> None:
        """Takes back a buffer that is not used any more."""
        self._returned.append((self._requests, buffer))

    def _sort_returned(self) -> None:
        while self._returned:
            request, buffer = self._returned.popleft()
            self._free.setdefault(buffer.size, []).append((request, buffer))

    def _drop(self, before: int) -> None:
        recent = {size: [entry for entry in free if entry[0] > before] for size, free in self._free.items()}
        self._free = {size: free for size, free in recent.items() if free}

    @property
    def nbytes(self) -> int:
        """Bytes of the unused buffers."""
        with self._lock:
            self._sort_returned()
            return sum(4 * size * len(waiting) for size, waiting in self._free.items())

    def clear(self) -> None:
        """Gives all unused buffers back to the system."""
        with self._lock:
            self._returned.clear()
            self._free = {}


POOL = BufferPool()


class BlockedTensor:
    """Feature maps in blocks [images / 16][channel][row][column][16], or rows of numbers as one such block.

    Args:
        images: Number of images (rows).
        channels: Number of channels (numbers per row).
        height: Rows of pixels; for rows of numbers, `height` times `width` groups of 16 rows.
        width: Columns of pixels.
        rows: Whether it contains rows of numbers.
    """

    __slots__ = ("blocks", "channels", "data", "height", "images", "rows", "width")

    def __init__(self, images: int, channels: int, height: int, width: int, *, rows: bool = False) -> None:
        self.images, self.channels, self.height, self.width, self.rows = images, channels, height, width, rows
        self.blocks = 1 if rows else -(-images // 16)
        size = self.blocks * channels * height * width * 16
        self.data: Array = POOL.take(size)

    def __del__(self) -> None:
        POOL.give(self.data)

    def new_like(self) -> BlockedTensor:
        """Makes another tensor of the same sizes."""
        return BlockedTensor(self.images, self.channels, self.height, self.width, rows=self.rows)

    def new_output(self, channels: int, size: tuple[int, int]) -> BlockedTensor:
        """Makes a tensor of as many images (rows) with other channels and another size."""
        return BlockedTensor(self.images, channels, *size, rows=self.rows)

    @property
    def lanes(self) -> int:
        """Number of images in the last block."""
        return 16 if self.rows else self.images - 16 * (self.blocks - 1)

    @property
    def plane(self) -> int:
        """Number of floats of one channel of one block."""
        return self.height * self.width * 16

    @property
    def count(self) -> int:
        """Number of values per channel over all images."""
        return self.images if self.rows else self.images * self.height * self.width


def get_scratch(parts: int, size: int, name: str = "tile") -> Array:
    """Returns this thread's buffer of a name, [parts, floats], at least `size` floats per part, with any content."""
    buffer: Array | None = getattr(_local, name, None)
    if buffer is None or buffer.shape[0] < parts or buffer.shape[1] < size:
        buffer = torch.empty((parts, -(-size // 16) * 16), dtype=torch.float32).numpy()
        setattr(_local, name, buffer)
    return buffer


def is_scratch(array: npt.NDArray[Any]) -> bool:
    """Whether an array is a part of this thread's scratch memory."""
    return any(np.may_share_memory(array, buffer) for buffer in vars(_local).values())


def get_constant(channels: int, value: float) -> Array:
    """Returns the vector of `channels` times a value, which must not be written."""
    key = (channels, value)
    if key not in _constants:
        _constants[key] = np.full(channels, value, np.float32)
    return _constants[key]


_constants: dict[tuple[int, float], Array] = {}
EMPTY = np.empty(0, np.float32)
EMPTY_MOMENTS = np.empty((0, 0, 3), np.float64)
EMPTY_MOMENTS.setflags(write=True)
