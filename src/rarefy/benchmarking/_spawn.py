"""Processes of this machine that do one thing together, started by torch's own launcher and joined."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from rarefy.distributed import RankLost, join_process_group
from rarefy.errors import RarefyError
from rarefy.pipeline import RunError

T = TypeVar("T")


def spawn_ranks(ranks: int, device: torch.device, act: Callable[..., T], *given: Any, threads: int = 1) -> T:
    """Starts processes on this machine and has each of them do the same thing; what the first one gives comes back.

    Args:
        ranks: How many. On GPUs each has its own.
        device: What they compute on.
        act: A function of a module, called with the `World` and what was given.
        given: Its other arguments; anything that can be pickled.
        threads: Threads of torch in each process.

    Raises:
        RunError: If this machine or this torch cannot have so many processes, or an error ended one of them.

    Example:
        >>> spawn_ranks(0, torch.device("cpu"), len)
        Traceback (most recent call last):
        ...
        rarefy.pipeline._folder.RunError: There is no work for 0 processes; use 1 or more.
    """
    check_ranks(ranks, device)
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    with tempfile.TemporaryDirectory(prefix="rarefy-") as folder:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=ranks,
            run_id="rarefy",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(folder),
        )
        try:
            told = elastic_launch(config, _rank)(device, threads, act, given)
        except SignalException:
            raise KeyboardInterrupt from None
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            how = f"exit code {failure.exitcode}"
            if failure.exitcode == 1:  # an exception that is nobody's mistake; the process has printed where it was
                raise RuntimeError(f"The process of rank {rank} of {ranks} failed: {failure.message}") from None
            raise RunError(
                f"The process of rank {rank} of {ranks} ended early ({how}): killed, or out of memory?"
            ) from None
    result, faults = told[0][0], [fault for _, fault in told.values() if fault]
    if faults:  # a rank that lost another one only says so; the other one says why
        raise RunError(min(faults)[1])
    return result  # type: ignore[no-any-return]  # it is what act gave


def check_ranks(ranks: int, device: torch.device) -> None:
    """Raises RunError where so many processes cannot be had on this machine.

    Example:
        >>> check_ranks(1, torch.device("cpu"))
    """
    if ranks < 1:
        raise RunError(f"There is no work for {ranks} processes; use 1 or more.")
    if not dist.is_available():
        raise RunError("This torch was built without torch.distributed, which several processes need. Install another.")
    if device.type == "cuda" and ranks > torch.cuda.device_count():
        raise RunError(
            f"{ranks} processes need {ranks} GPUs, one each; this machine has {torch.cuda.device_count()}. Use as many "
            "processes at most, several machines under torchrun, or the CPU."
        )


def _rank(device: torch.device, threads: int, act: Callable[..., T], given: Any) -> tuple[T | None, Any]:
    """What one process does: ``(result, None)``, or ``(None, (whether it only lost another, message))``."""
    torch.set_num_threads(threads)
    try:
        with join_process_group(device) as world:
            return act(world, *given), None
    except RankLost as error:
        return None, (True, str(error))
    except (RarefyError, OSError) as error:
        return None, (False, str(error))
