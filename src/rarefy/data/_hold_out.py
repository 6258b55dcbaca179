"""Holds out images of each class by the hashes of what they are: the same ones whatever the seed and the order."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence

import numpy
import torch
from torch import Tensor

from rarefy.data._errors import CorruptData


def hash_name(name: str) -> int:
    """Hashes a name to 64 bits.

    Example:
        >>> hash_name("cat/1.png") == hash_name("cat/1.png") != hash_name("cat/2.png")
        True
    """
    return _hash(os.fsencode(name))


def hash_rows(rows: numpy.ndarray) -> numpy.ndarray:
    """Hashes the content of each row of an array, uint64 [N]: equal rows have equal hashes."""
    rows = numpy.ascontiguousarray(rows)
    return pack_hashes((_hash(row.tobytes()) for row in rows), len(rows))


def pack_hashes(hashes: Iterable[int], count: int) -> numpy.ndarray:
    """Packs hashes into uint64 [N]."""
    return numpy.fromiter(hashes, numpy.uint64, count)


def hold_out(
    labels: numpy.ndarray,
    hashes: numpy.ndarray,
    fractions: Sequence[float],
    name_class: Callable[[int], str] = str,
) -> list[Tensor]:
    """Divides images into those that stay and, for each fraction, those held out.

    Of each class the images with the smallest hashes go to the first part, ``round(fraction * images)`` and at least
    one, the next ones to the second. Images with equal hashes stay together, so that a copy is never in two parts.

    Args:
        labels: Class of each image, int64 [N], from 0.
        hashes: Hash of each image, uint64 [N].
        fractions: Fraction of each class that each part gets.
        name_class: Formats a class for a message.

    Returns:
        Positions of the images that stay, then those of each part, int64, in ascending order.

    Raises:
        CorruptData: If a class has too few images.

    Example:
        >>> hold_out(numpy.array([0, 0, 0, 1, 1]), numpy.array([7, 5, 6, 2, 1], numpy.uint64), [0.3])
        [tensor([0, 2, 3]), tensor([1, 4])]
    """
    order, sizes = numpy.lexsort((hashes, labels)), numpy.bincount(labels)
    ordered, starts = labels[order], sizes.cumsum() - sizes
    turn = numpy.arange(len(labels))
    is_copy = (numpy.diff(hashes[order]) == 0) & (numpy.diff(ordered) == 0)
    turn[1:][is_copy] = 0
    turn = numpy.maximum.accumulate(turn) - starts[ordered]  # of each in its class, by hash; copies have one turn
    part = numpy.zeros(len(labels), int)
    end = numpy.zeros(len(sizes), int)
    for fraction in fractions:
        end = end + numpy.maximum(1, (fraction * sizes).round()).astype(int)
        part[order] += turn >= end[ordered]
    _require_enough(labels, part, sizes, fractions, name_class)
    numbers = (len(fractions), *range(len(fractions)))
    return [torch.from_numpy(numpy.flatnonzero(part == number)) for number in numbers]


def _require_enough(
    labels: numpy.ndarray,
    part: numpy.ndarray,
    sizes: numpy.ndarray,
    fractions: Sequence[float],
    name_class: Callable[[int], str],
) -> None:
    """Raises CorruptData if a class has no image left in a part."""
    for number in range(len(fractions) + 1):
        short = (sizes > 0) & (numpy.bincount(labels[part == number], minlength=len(sizes)) == 0)
        if short.any():
            label = int(short.argmax())
            said = " and ".join(f"{fraction:g}" for fraction in fractions)
            raise CorruptData(
                f"Class {name_class(label)} has {sizes[label]} training pictures; holding out {said} leaves none for "
                "one of the splits. Each class needs at least one (that is no copy of another) to train on and one for "
                "each split that is held out: add some, leave the class out, or bring a validation and a test split."
            )


def _hash(content: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest())
