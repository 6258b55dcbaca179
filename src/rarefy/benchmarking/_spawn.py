"""Starts several processes on this machine with torch's launcher, for one function call."""

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


def spawn_ranks(ranks: int, device: torch.device, function: Callable[..., T], *args: Any, threads: int = 1) -> T:
    """Starts processes on this machine that all call one function, and returns the result of rank 0.

    Args:
        ranks: Number of processes. With CUDA each uses a GPU of its own.
        device: Device they compute on.
        function: A function defined in a module, called with the `World` and `args`.
        args: Its other arguments, which must be picklable.
        threads: Threads of torch in each process.

    Returns:
        What the function returned on rank 0.

    Raises:
        RunError: If the machine or torch does not support so many processes, or one of them failed.

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
            outcomes = elastic_launch(config, _run_rank)(device, threads, function, args)
        except SignalException:
            raise KeyboardInterrupt from None
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            how = f"exit code {failure.exitcode}"
            if failure.exitcode == 1:  # an unexpected exception; the process has printed its traceback
                raise RuntimeError(f"The process of rank {rank} of {ranks} failed: {failure.message}") from None
            raise RunError(
                f"The process of rank {rank} of {ranks} ended early ({how}): killed, or out of memory?"
            ) from None
    result, failures = outcomes[0][0], [failure for _, failure in outcomes.values() if failure]
    if failures:  # the ranks that only lost another one sort last
        raise RunError(min(failures)[1])
    return result  # type: ignore[no-any-return]  # what the function returned


def check_ranks(ranks: int, device: torch.device) -> None:
    """Raises RunError if this machine cannot run so many processes.

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


def _run_rank(device: torch.device, threads: int, function: Callable[..., T], args: Any) -> tuple[T | None, Any]:
    """Calls the function in one process; returns ``(result, None)`` or ``(None, (lost only a peer, message))``."""
    torch.set_num_threads(threads)
    try:
        with join_process_group(device) as world:
            return function(world, *args), None
    except RankLost as error:
        return None, (True, str(error))
    except (RarefyError, OSError) as error:
        return None, (False, str(error))
