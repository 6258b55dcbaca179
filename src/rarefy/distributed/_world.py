"""Who this process is among those that train together, and what they agree on.

`World` is who this process is among them; `ALONE` is the one process that needs nobody. What is decided in common
(to stop, which plan, which checkpoint) is decided by the first rank or by all of them, never by each for itself.
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
    """Ranks hold different things where they must hold the same; the message names them."""


@dataclasses.dataclass(frozen=True)
class World:
    """Which of how many processes this one is. Everything it offers is a plain call where there is only one.

    Args:
        rank: This process's number, from 0. Rank 0 alone writes files and speaks.
        ranks: How many processes train together.

    Raises:
        ValueError: If there is no such rank.

    Example:
        >>> World().is_first, World(rank=1, ranks=2).is_first
        (True, False)
    """

    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.ranks:
            raise InvalidInput(f"Among {self.ranks} processes there is no rank {self.rank}; ranks are 0 and up.")

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.rank == 0

    def first(self, act: Callable[[], T]) -> T:
        """Has the first rank act and gives every rank what came of it; an error of its own is raised on all of them.

        Args:
            act: What to do; its result goes to the others, so it is made of tensors on the CPU and plain values.

        Example:
            >>> World().first(lambda: 17)
            17
        """
        if self.ranks == 1:
            return act()
        told: list[Any] = [None]
        if self.is_first:
            try:
                told = [(act(), None)]
            except Exception as error:
                told = [(None, error)]
        dist.broadcast_object_list(told, src=0, device=torch.device("cpu"))
        result, fault = told[0]
        if fault is not None:
            raise fault
        return result  # type: ignore[no-any-return]  # it is what act gave

    def any(self, flag: bool) -> bool:
        """Whether the flag is up on some rank; asked by all, answered alike on all.

        Example:
            >>> World().any(True)
            True
        """
        if self.ranks == 1:
            return flag
        raised = torch.tensor([flag], dtype=torch.int32, device="cpu")
        dist.all_reduce(raised, dist.ReduceOp.MAX)
        return bool(raised.item())

    def total(self, values: Tensor) -> Tensor:
        """The sum over all ranks, element by element; the host does not wait for a GPU.

        Example:
            >>> World().total(torch.ones(2)).tolist()
            [1.0, 1.0]
        """
        if self.ranks > 1:
            dist.all_reduce(values)
        return values

    def joined(self, part: Tensor) -> Tensor:
        """The ranks' tensors one after another in the order of ranks; only their first dimensions may differ.

        Args:
            part: This rank's, ``[n, ...]``, on the CPU; where n is 0 the other sizes may be 0, too.

        Returns:
            ``[sum of all n, ...]``, the same on every rank.

        Example:
            >>> World().joined(torch.arange(3)).tolist()
            [0, 1, 2]
        """
        if self.ranks == 1:
            return part
        shapes = torch.zeros(self.ranks, part.ndim, dtype=torch.int64, device="cpu")
        shapes[self.rank] = torch.tensor(part.shape, device="cpu")
        dist.all_reduce(shapes)
        own = part.new_zeros(shapes.amax(0).tolist())
        if len(part):
            own[: len(part)] = part
        parts = [torch.empty_like(own) for _ in range(self.ranks)]
        dist.all_gather(parts, own)
        return torch.cat([found[:count] for found, count in zip(parts, shapes[:, 0].tolist(), strict=True)])

    def share(self, count: int) -> range:
        """This rank's contiguous share of `count` things; shares differ by one at most, larger ones come first.

        Example:
            >>> [list(World(rank, 3).share(5)) for rank in range(3)]
            [[0, 1], [2, 3], [4]]
        """
        each, more = divmod(count, self.ranks)
        start = self.rank * each + min(self.rank, more)
        return range(start, start + each + (self.rank < more))

    def spread_(self, tensors: list[Tensor]) -> None:
        """Overwrites every rank's tensors with those of the first."""
        for tensor in tensors if self.ranks > 1 else []:
            dist.broadcast(tensor, src=0)

    def require_same(self, what: str, checksum: str) -> None:
        """Proves by one all-reduce that a checksum is the same everywhere.

        Args:
            what: What it is of, in the plural; the message begins with it.
            checksum: Hexadecimal, of the same length on every rank, 16 digits or more.

        Raises:
            RanksDiffer: On every rank, naming those that differ.

        Example:
            >>> World().require_same("The masks", "b9810cf288727668")
        """
        if self.ranks == 1:
            return
        seen = torch.zeros(self.ranks, len(checksum) // 2, dtype=torch.uint8, device="cpu")
        seen[self.rank] = torch.tensor(list(bytes.fromhex(checksum)), dtype=torch.uint8, device="cpu")
        dist.all_reduce(seen)  # every row has one writer, so that the sum is a table of all checksums
        holders: dict[str, list[int]] = {}
        for rank, row in enumerate(seen):
            holders.setdefault(bytes(row.tolist()).hex(), []).append(rank)
        if len(holders) > 1:
            told = "; ".join(f"{named(ranks)}: {found}" for found, ranks in holders.items())
            raise RanksDiffer(f"{what} differ between ranks. {told}. Every rank has to run the same code and versions.")


ALONE = World()


def launched() -> World:
    """The world as the environment describes it (``RANK``, ``WORLD_SIZE``, as torchrun sets them), joined or not.

    Example:
        >>> launched()
        World(rank=0, ranks=1)
    """
    if dist.is_available() and dist.is_initialized():
        return World(dist.get_rank(), dist.get_world_size())
    return World(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def named(ranks: list[int]) -> str:
    """Ranks as a sentence names them."""
    return f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"
