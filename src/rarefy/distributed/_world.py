"""Rank and collective operations of the processes that train together.

Shared decisions (to stop, which plan, which checkpoint) are made by rank 0 or by all ranks together, never by each rank
alone.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from rarefy.errors import InvalidInput, RarefyError

T = TypeVar("T")


class RanksDiffer(RarefyError, ValueError):
    """Ranks hold different values where they must hold the same; the message names the ranks."""


@dataclasses.dataclass(frozen=True)
class World:
    """Rank of this process and number of ranks; with one process every method is a direct call.

    Args:
        rank: This process's number, from 0. Only rank 0 writes files and messages.
        ranks: How many processes train together.

    Raises:
        ValueError: If `rank` is negative, or not less than `ranks`.

    Example:
        >>> World().is_rank0, World(rank=1, ranks=2).is_rank0
        (True, False)
    """

    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.ranks:
            raise InvalidInput(f"Among {self.ranks} processes there is no rank {self.rank}; ranks are 0 and up.")

    @property
    def is_rank0(self) -> bool:
        """Whether this is the process that writes files and messages."""
        return self.rank == 0

    def on_rank0(self, function: Callable[[], T]) -> T:
        """Calls a function on rank 0 and returns its result on every rank; an error is raised on every rank.

        Args:
            function: Returns CPU tensors and plain values, which are sent to the other ranks.

        Example:
            >>> World().on_rank0(lambda: 17)
            17
        """
        if self.ranks == 1:
            return function()
        objects: list[Any] = [None]
        if self.is_rank0:
            try:
                objects = [(function(), None)]
            except Exception as error:
                objects = [(None, error)]
        dist.broadcast_object_list(objects, src=0, device=torch.device("cpu"))
        result, raised = objects[0]
        if raised is not None:
            raise raised
        return result  # type: ignore[no-any-return]  # function's result

    def any_rank(self, flag: bool) -> bool:
        """Returns whether the flag is set on any rank. Collective: every rank has to call it.

        Example:
            >>> World().any_rank(True)
            True
        """
        if self.ranks == 1:
            return flag
        flags = torch.tensor([flag], dtype=torch.int32, device="cpu")
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        return bool(flags.item())

    def all_reduce(self, values: Tensor) -> Tensor:
        """Sums a tensor over all ranks, in place, without a GPU synchronisation; returns it.

        Example:
            >>> World().all_reduce(torch.ones(2)).tolist()
            [1.0, 1.0]
        """
        if self.ranks > 1:
            dist.all_reduce(values)
        return values

    def all_gather(self, own: Tensor) -> Tensor:
        """Concatenates the ranks' tensors in the order of ranks; only the first dimension may differ between ranks.

        Args:
            own: This rank's tensor, ``[n, ...]``, on the CPU; if n is 0 the other sizes may be 0, too.

        Returns:
            ``[sum of all n, ...]``, the same on every rank.

        Example:
            >>> World().all_gather(torch.arange(3)).tolist()
            [0, 1, 2]
        """
        if self.ranks == 1:
            return own
        shapes = torch.zeros(self.ranks, own.ndim, dtype=torch.int64, device="cpu")
        shapes[self.rank] = torch.tensor(own.shape, device="cpu")
        dist.all_reduce(shapes)
        padded = own.new_zeros(shapes.amax(0).tolist())
        if len(own):
            padded[: len(own)] = own
        gathered = [torch.empty_like(padded) for _ in range(self.ranks)]
        dist.all_gather(gathered, padded)
        return torch.cat([tensor[:rows] for tensor, rows in zip(gathered, shapes[:, 0].tolist(), strict=True)])

    def local_range(self, count: int) -> range:
        """Returns this rank's contiguous range of `count` items; sizes differ by at most one, larger ranges first.

        Example:
            >>> [list(World(rank, 3).local_range(5)) for rank in range(3)]
            [[0, 1], [2, 3], [4]]
        """
        size, larger = divmod(count, self.ranks)
        start = self.rank * size + min(self.rank, larger)
        return range(start, start + size + (self.rank < larger))

    def broadcast_(self, tensors: list[Tensor]) -> None:
        """Overwrites every rank's tensors with those of rank 0."""
        for tensor in tensors if self.ranks > 1 else []:
            dist.broadcast(tensor, src=0)

    def require_same(self, subject: str, checksum: str) -> None:
        """Verifies with one all-reduce that a checksum is the same on all ranks.

        Args:
            subject: Plural noun with which the error message begins.
            checksum: Hexadecimal, of the same length on every rank, 16 digits or more.

        Raises:
            RanksDiffer: On every rank, naming those that differ.

        Example:
            >>> World().require_same("The masks", "b9810cf288727668")
        """
        if self.ranks == 1:
            return
        rows = torch.zeros(self.ranks, len(checksum) // 2, dtype=torch.uint8, device="cpu")
        rows[self.rank] = torch.tensor(list(bytes.fromhex(checksum)), dtype=torch.uint8, device="cpu")
        dist.all_reduce(rows)  # each rank fills one row and the others add zeros: an all-gather
        ranks_by_checksum: dict[str, list[int]] = {}
        for rank, row in enumerate(rows):
            ranks_by_checksum.setdefault(bytes(row.tolist()).hex(), []).append(rank)
        if len(ranks_by_checksum) > 1:
            listing = "; ".join(f"{format_ranks(ranks)}: {digest}" for digest, ranks in ranks_by_checksum.items())
            raise RanksDiffer(
                f"{subject} differ between ranks. {listing}. Every rank has to run the same code and versions."
            )


SINGLE_PROCESS = World()


def detect_world() -> World:
    """Reads rank and number of ranks from the process group, or from ``RANK`` and ``WORLD_SIZE`` (set by torchrun).

    Example:
        >>> detect_world()
        World(rank=0, ranks=1)
    """
    if dist.is_available() and dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size())
    return World(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def format_ranks(ranks: list[int]) -> str:
    """Formats ranks for a sentence: ``rank 1``, ``ranks 0, 2``."""
    return f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"
