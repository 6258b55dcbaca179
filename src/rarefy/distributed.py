"""Several processes that train one network: who they are, what they agree on, and what becomes of them if one dies.

`World` is who this process is among them; `ALONE` is the one process that needs nobody. What is decided in common
(to stop, which plan, which checkpoint) is decided by the first rank or by all of them, never by each for itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")

_ROLL_CALL = 2.0  # seconds within which a rank that lives has noticed that another does not
_PATIENCE = datetime.timedelta(minutes=30)  # the slowest thing others wait for: measuring an engine, a cold disk


class RankLost(ConnectionError):
    """A process of the group is gone; the message names its rank."""


class RanksDiffer(ValueError):
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
            raise ValueError(f"Among {self.ranks} processes there is no rank {self.rank}; ranks are 0 and up.")

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
            told = "; ".join(f"{_ranks(ranks)}: {found}" for found, ranks in holders.items())
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


@contextlib.contextmanager
def joining(device: torch.device) -> Iterator[World]:
    """Joins the processes that a launcher started, for as long as the context lasts; a group that is there is used.

    Tensors on the CPU travel by gloo, those on GPUs by NCCL; on a GPU each process takes the one of its local rank.
    Where the launcher restarts failed processes (``torchrun --max-restarts``) they join anew and the run goes on.

    Args:
        device: What the model trains on.

    Raises:
        RankLost: If another process ended meanwhile; it is named, and this one has not to wait for a timeout.

    Example:
        >>> with joining(torch.device("cpu")) as world:
        ...     world.ranks
        1
    """
    world = launched()
    if world.ranks == 1:
        yield world
        return
    own = not dist.is_initialized()
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if own:
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield world
    except (dist.DistError, RuntimeError) as error:
        if not _is_of_a_connection(error):
            raise
        missing = _missing(world)
        raise RankLost(_lost(missing)) from error
    finally:
        if own:
            dist.destroy_process_group()


def _is_of_a_connection(error: BaseException) -> bool:
    text = str(error)
    return isinstance(error, dist.DistError) or "gloo" in text or "onnection closed by peer" in text


def _missing(world: World) -> list[int]:
    """Ranks that do not answer a roll call; whoever lives has lost the same connection and answers, too."""
    with contextlib.suppress(RuntimeError):  # the store itself may be gone with the first rank
        store = dist.distributed_c10d._get_default_store()
        store.set(f"rarefy/here/{world.rank}", "1")
        time.sleep(_ROLL_CALL)
        return [rank for rank in range(world.ranks) if not store.check([f"rarefy/here/{rank}"])]
    return [0]


def _lost(missing: list[int]) -> str:
    who = f"{_ranks(missing)[0].upper()}{_ranks(missing)[1:]}" if missing else "The connection between ranks"
    verb = "are" if len(missing) > 1 else "is"
    return (
        f"{who} {verb} gone: killed, out of memory, or ended by an error of its own (see above). "
        "The run goes on from its last checkpoint when it is started again, on any number of processes."
    )


def _ranks(ranks: list[int]) -> str:
    return f"rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"
