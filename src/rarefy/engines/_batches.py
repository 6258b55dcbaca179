"""Decides how a batch is computed: in which way, and in which pieces."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol


class Piece(NamedTuple):
    """A part of a batch.

    Args:
        way: How it is computed.
        images: Its images.
    """

    way: str
    images: int


class Cost(Protocol):
    """The time of a way at any batch size."""

    @property
    def unit(self) -> int:
        """How many images the way computes together."""

    def estimate(self, images: int) -> float:
        """Estimates the milliseconds of a batch."""


class LineCost(NamedTuple):
    """The time of a way that computes a whole batch at once.

    Args:
        unit: Images that it computes together: the time grows by steps of so many.
        milliseconds: Batch size to time, at one or more sizes.
    """

    unit: int
    milliseconds: Mapping[int, float]

    def estimate(self, images: int) -> float:
        """Estimates the time of a batch on a straight line through the nearest two sizes.

        Example:
            >>> LineCost(1, {1: 2.0, 5: 4.0}).estimate(3)
            3.0
        """
        images = -(-images // self.unit) * self.unit
        sizes = sorted(self.milliseconds)
        if len(sizes) == 1:
            return self.milliseconds[sizes[0]] * images / sizes[0]
        above = next((i for i, size in enumerate(sizes) if size >= images), len(sizes) - 1)
        low, high = sizes[max(1, above) - 1], sizes[max(1, above)]
        slope = max(0.0, (self.milliseconds[high] - self.milliseconds[low]) / (high - low))
        return self.milliseconds[low] + slope * (images - low)


class GroupCost(NamedTuple):
    """The time of a way that computes groups of images, one in each thread, and what is left in all threads together.

    Args:
        unit: Images of a group.
        together: Milliseconds of one group in all threads.
        parallel: Milliseconds of one group in each thread.
        threads: Number of threads.
    """

    unit: int
    together: float
    parallel: float
    threads: int

    def estimate(self, images: int) -> float:
        """Estimates the time of a batch.

        Example:
            >>> GroupCost(4, together=3.0, parallel=5.0, threads=2).estimate(17)
            13.0
        """
        rounds, rest = divmod(-(-images // self.unit), self.threads)
        return rounds * self.parallel + rest * self.together


def make_plan(costs: Mapping[str, Cost]) -> Callable[[int], tuple[Piece, ...]]:
    """Makes the function that divides a batch into the pieces that are estimated to take the least time.

    A batch is computed in one way, or whole groups in one way and the rest in another one. A batch that fills less than
    half a group of images is not computed as one: that cannot be faster, whatever a busy machine has measured.

    Args:
        costs: Way to cost.

    Example:
        >>> plan = make_plan({"blocked": LineCost(16, {16: 8.0}), "planes": LineCost(1, {1: 1.0})})
        >>> plan(17)
        (Piece(way='blocked', images=16), Piece(way='planes', images=1))
    """

    def estimate(pieces: tuple[Piece, ...]) -> float:
        return sum(costs[piece.way].estimate(piece.images) for piece in pieces)

    @functools.lru_cache(maxsize=1024)
    def plan(images: int) -> tuple[Piece, ...]:
        possible = [way for way, cost in costs.items() if not isinstance(cost, GroupCost) or cost.unit < 2 * images]
        options: list[tuple[Piece, ...]] = [(Piece(way, images),) for way in possible]
        for way, cost in costs.items():
            whole = images // cost.unit * cost.unit
            if 0 < whole < images:
                options.append((Piece(way, whole), *plan(images - whole)))
        return min(options, key=estimate)

    return plan
