"""Joins the process group and reports failures across ranks."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import os
import platform
from collections.abc import Iterator

import torch
import torch.distributed as dist

from rarefy.distributed._failure_reporter import FailureReporter
from rarefy.distributed._world import World, detect_world, format_ranks
from rarefy.errors import RarefyError

_TIMEOUT = datetime.timedelta(minutes=30)  # the slowest steps that others wait for: measuring an engine, a cold disk
_USER_ERRORS = (ValueError, OSError, ImportError)


class RankLost(RarefyError, ConnectionError):
    """Another process of the group has ended; the message names its rank.

    Attributes:
        is_reported: Whether another rank reports the failure to the user, so that this one stays silent.

    Example:
        >>> RankLost("Rank 1 is gone.").is_reported
        False
    """

    is_reported: bool = False


@contextlib.contextmanager
def join_process_group(
    device: torch.device | None = None, *, patience: datetime.timedelta = _TIMEOUT
) -> Iterator[World]:
    """Joins the processes that a launcher started, for the duration of the context; an existing group is reused.

    CPU tensors are sent by gloo, GPU tensors by NCCL; on a GPU machine each process uses the GPU of its local rank.
    If the launcher restarts failed processes (``torchrun --max-restarts``), they join again and the run continues.

    An error in one process ends all of them within seconds. An error that all ranks raise alike is raised on rank 0
    only. An error of some ranks is raised there, with a note of the rank and its machine; the others get a `RankLost`.

    Args:
        device: The device that the model trains on; None if it is not known yet: join again inside, once it is.
        patience: How long to wait for a rank that neither works nor ends.

    Raises:
        RankLost: If another process ended; the message names its rank.

    Example:
        >>> with join_process_group(torch.device("cpu")) as world:
        ...     world.ranks
        1
    """
    world = detect_world()
    if world.ranks > 1 and device is not None and device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    if world.ranks == 1 or dist.is_initialized():
        yield world
        return
    reporter = FailureReporter(world, patience)
    try:
        on_gpu = torch.cuda.is_available() if device is None else device.type == "cuda"
        backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
        dist.init_process_group(
            backend, store=reporter.store, rank=world.rank, world_size=world.ranks, timeout=patience
        )
        yield world
    except (*_USER_ERRORS, RuntimeError) as error:
        result = _exchange_errors(error, reporter, world)
        if result is error:
            raise
        raise result from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()
        reporter.close()


def _exchange_errors(error: Exception, reporter: FailureReporter, world: World) -> Exception:
    """Reports this rank's error to the others and returns the error to raise here."""
    is_lost = _is_connection_error(error)
    if not is_lost and not isinstance(error, _USER_ERRORS):
        return error
    try:
        messages, missing = reporter.report("" if is_lost else str(error) or repr(error))
        if not is_lost:
            return _deduplicate_error(error, messages, reporter, world)
        sources = [rank for rank, message in messages.items() if message]
        if sources:
            return RankLost(f"{_capitalise_ranks(sources)} said why.", is_reported=True)
        return RankLost(_describe_loss(missing), is_reported=not reporter.is_first_to("tell"))
    except RuntimeError:  # the store ended with rank 0 or with the launcher: rank 1 reports it
        return RankLost(_describe_loss([0]), is_reported=world.rank > 1) if is_lost else error


def _deduplicate_error(
    error: Exception, messages: dict[int, str], reporter: FailureReporter, world: World
) -> Exception:
    """Returns the error on one of the ranks that raised it, and a RankLost on the others."""
    message = messages[world.rank]
    if len(messages) == world.ranks and set(messages.values()) == {message}:
        return error if world.is_rank0 else RankLost("Rank 0 said why.", is_reported=True)
    if not reporter.is_first_to(f"tell/{hashlib.sha256(message.encode()).hexdigest()}"):
        return RankLost("Another rank said why.", is_reported=True)
    error.add_note(f"(This error is from rank {world.rank} of {world.ranks}, on {platform.node()}.)")
    return error


def _is_connection_error(error: BaseException) -> bool:
    text = str(error)
    return isinstance(error, dist.DistError) or "gloo" in text.lower() or "onnection closed by peer" in text


def _describe_loss(missing: list[int]) -> str:
    subject = _capitalise_ranks(missing) if missing else "The connection between ranks"
    verb = "are" if len(missing) > 1 else "is"
    return (
        f"{subject} {verb} gone: killed, out of memory, not responding, or ended by an error of its own (see above). "
        "The run continues from its last checkpoint when it is started again, on any number of processes."
    )


def _capitalise_ranks(ranks: list[int]) -> str:
    return f"{format_ranks(ranks)[0].upper()}{format_ranks(ranks)[1:]}"
