"""Many names in two arrays that worker processes share; one long name does not widen the others."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable

import numpy


@dataclasses.dataclass(frozen=True, eq=False)
class PackedNames:
    """A sequence of names.

    Args:
        letters: uint8, the names' bytes one after the other.
        ends: int64 [N]: where each name ends.

    Example:
        >>> names = PackedNames.pack(["cat/1.png", "dog/22.png"])
        >>> len(names), names[1]
        (2, 'dog/22.png')
    """

    letters: numpy.ndarray
    ends: numpy.ndarray

    @classmethod
    def pack(cls, names: Iterable[str]) -> PackedNames:
        """Packs names; names that are not UTF-8 are decoded with `os.fsdecode`."""
        encoded = [os.fsencode(name) for name in names]
        ends = numpy.fromiter(map(len, encoded), numpy.int64, len(encoded)).cumsum()
        return cls(numpy.frombuffer(b"".join(encoded), numpy.uint8), ends)

    def __len__(self) -> int:
        """Number of names."""
        return len(self.ends)

    def __getitem__(self, number: int) -> str:
        """The name with that number."""
        start = self.ends[number - 1] if number else 0
        return os.fsdecode(self.letters[start : self.ends[number]].tobytes())

    def is_whole(self) -> bool:
        """Whether the arrays are consistent; those of a damaged file may not be."""
        if (
            self.letters.dtype != numpy.uint8
            or self.ends.dtype != numpy.int64
            or self.letters.ndim * self.ends.ndim != 1
        ):
            return False
        bounds = numpy.concatenate([[0], self.ends])
        return bool((numpy.diff(bounds) >= 0).all()) and int(bounds[-1]) == len(self.letters)
