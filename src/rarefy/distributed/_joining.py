"""Joining the processes that a launcher started, and what each is told when one of them ends."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import platform
from collections.abc import Iterator

import torch
import torch.distributed as dist

from rarefy.distributed._meeting import Meeting
from rarefy.distributed._world import World, launched, named
from rarefy.errors import RarefyError

_PATIENCE = datetime.timedelta(minutes=30)  # the slowest thing others wait for: measuring an engine, a cold disk
_MISTAKES = (ValueError, OSError, ImportError)


class RankLost(RarefyError, ConnectionError):
    """Another process of the group is gone; the message names its rank.

    Attributes:
        told: Whether another rank tells the user, so that this one need not.

    Example:
        >>> RankLost("Rank 1 is gone.").told
        False
    """

    told: bool = False


@contextlib.contextmanager
def joining(device: torch.device | None = None, *, patience: datetime.timedelta = _PATIENCE) -> Iterator[World]:
    """Joins the processes that a launcher started, for as long as the context lasts; a group that is there is used.

    Tensors on the CPU travel by gloo, those on GPUs by NCCL; on a GPU each process takes the one of its local rank.
    Where the launcher restarts failed processes (``torchrun --max-restarts``) they join anew and the run goes on.

    An error that ends one process ends all of them within seconds. One that all ranks make alike is raised on the
    first, one that some make is raised there with a note of the rank and its machine; the others get a `RankLost`.

    Args:
        device: What the model trains on; None if that is not known yet: join once more, within, when it is.
        patience: How long to wait for a rank that neither works nor ends.

    Raises:
        RankLost: If another process ended meanwhile; it is named.

    Example:
        >>> with joining(torch.device("cpu")) as world:
        ...     world.ranks
        1
    """
    world = launched()
    if world.ranks > 1 and device is not None and device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if world.ranks == 1 or dist.is_initialized():
        yield world
        return
    meeting = Meeting(world, patience)
    try:
        on_gpu = torch.cuda.is_available() if device is None else device.type == "cuda"
        backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
        dist.init_process_group(backend, store=meeting.store, rank=world.rank, world_size=world.ranks, timeout=patience)
        yield world
    except (*_MISTAKES, RuntimeError) as error:
        ending = _ending(error, meeting, world)
        if ending is error:
            raise
        raise ending from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        meeting.close()


def _ending(error: Exception, meeting: Meeting, world: World) -> Exception:
    """What to raise here for an error that ends this process, after the others were heard."""
    is_lost = _is_of_a_connection(error)
    if not is_lost and not isinstance(error, _MISTAKES):
        return error
    try:
        said, missing = meeting.ring("" if is_lost else str(error) or repr(error))
        if not is_lost:
            return _mistake(error, said, meeting, world)
        tellers = [rank for rank, why in said.items() if why]
        if tellers:
            return RankLost(f"{_sentence(tellers)} said why.", told=True)
        return RankLost(_lost(missing), told=not meeting.is_first_to("tell"))
    except RuntimeError:  # the store is gone with the first rank, or with the launcher: the next one tells
        return RankLost(_lost([0]), told=world.rank > 1) if is_lost else error


def _mistake(error: Exception, said: dict[int, str], meeting: Meeting, world: World) -> Exception:
    why = said[world.rank]
    if len(said) == world.ranks and set(said.values()) == {why}:
        return error if world.is_first else RankLost("Rank 0 said why.", told=True)
    if not meeting.is_first_to(f"tell/{hashlib.sha256(why.encode()).hexdigest()}"):
        return RankLost("Another rank said why.", told=True)
    error.add_note(f"(This is what rank {world.rank} of {world.ranks} met, on {platform.node()}.)")
    return error


def _is_of_a_connection(error: BaseException) -> bool:
    text = str(error)
    return isinstance(error, dist.DistError) or "gloo" in text.lower() or "onnection closed by peer" in text


def _lost(missing: list[int]) -> str:
    who = _sentence(missing) if missing else "The connection between ranks"
    verb = "are" if len(missing) > 1 else "is"
    return (
        f"{who} {verb} gone: killed, out of memory, without an answer, or ended by an error of its own (see above). "
        "The run goes on from its last checkpoint when it is started again, on any number of processes."
    )


def _sentence(ranks: list[int]) -> str:
    return f"{named(ranks)[0].upper()}{named(ranks)[1:]}"
