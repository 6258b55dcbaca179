"""The scores that masks are drawn from: SplitMix64 of (seed, layer name, flat index). Version 1, never to change.

NumPy on the CPU whatever the device of the weights, because its unsigned 64-bit integers wrap the same everywhere.
"""

from __future__ import annotations

import functools
import hashlib
import operator
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

VERSION = 1

Scores = NDArray[np.uint64]

_GAMMA = 0x9E3779B97F4A7C15
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_BITS = (1 << 64) - 1
_CHUNK = 1 << 13  # scores at a time: three buffers of 64 KiB stay in the second-level cache


def derive_mask_key(seed: int, name: str) -> int:
    """Derives the 64-bit key of one layer's scores.

    It is the BLAKE2b digest of 8 bytes, read little-endian, of the UTF-8 text ``rarefy/mask/1/<seed>/<name>``.

    Args:
        seed: Any integer, written in decimal.
        name: The layer's name, such as ``"layer1.0.conv1.weight"``.

    Returns:
        An integer in [0, 2**64).

    Raises:
        TypeError: If the seed is not an integer.

    Example:
        >>> hex(derive_mask_key(17, "fc.weight"))
        '0x247385ee1b5045e0'
    """
    text = f"rarefy/mask/{VERSION}/{int(operator.index(seed))}/{name}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generate_scores(key: int, n: int) -> Iterator[tuple[int, Scores]]:
    """Generates the scores of the flat indices 0 .. n-1 in order, in one small buffer that is reused.

    Score ``i`` is output number ``i`` of SplitMix64 started at ``key``. The map is one to one: scores are never equal.

    Args:
        key: The key of the layer; taken modulo 2**64.
        n: How many scores.

    Yields:
        The flat index of the first score, and at most 8192 scores, valid until the next iteration.

    Example:
        >>> [values.tolist() for _, values in generate_scores(0, 2)] == [[0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4]]
        True

    References:
        Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014; SplitMix64 as Vigna
        published it (splitmix64.c).
    """
    buffer, scratch = np.empty(_CHUNK, np.uint64), np.empty(_CHUNK, np.uint64)
    for start in range(0, n, _CHUNK):
        size = min(_CHUNK, n - start)
        z, t = buffer[:size], scratch[:size]
        np.add(_compute_ramp()[:size], np.uint64((key + start * _GAMMA) & _BITS), out=z)
        _mix(z, t)
        yield start, z


def _mix(z: Scores, t: Scores) -> None:
    """SplitMix64's output function in place, with ``t`` as scratch."""
    for shift, factor in ((30, _FIRST), (27, _SECOND)):
        np.right_shift(z, np.uint64(shift), out=t)
        np.bitwise_xor(z, t, out=z)
        np.multiply(z, factor, out=z)
    np.right_shift(z, np.uint64(31), out=t)
    np.bitwise_xor(z, t, out=z)


@functools.cache
def _compute_ramp() -> Scores:
    """Computes (i + 1) * gamma for one chunk."""
    return np.arange(1, _CHUNK + 1, dtype=np.uint64) * np.uint64(_GAMMA)
