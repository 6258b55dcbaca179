"""Reports across ranks, through the rendezvous store, that a process ends and why."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import torch.distributed as dist

from rarefy.distributed._world import World

_POLL_SECONDS = 0.5  # between two checks of a process for a failure report
_REPORT_SECONDS = 3.0  # for the other ranks to acknowledge a report and add their own
_GRACE_SECONDS = 10.0  # after which a process that acknowledged a report and does not end is ended
_EXIT_STUCK = 2
_STORE_SECONDS = 5.0  # for the store to respond, beyond _REPORT_SECONDS in a report; then it counts as dead


class FailureReporter:
    """Rendezvous of one start of the processes, and the channel through which they report failures.

    A process that has to end writes the reason into the store. A thread of each other process sees it and
    acknowledges it, whatever its main thread is doing: a rank that does not acknowledge was killed, or hangs. A
    process that is stuck, for example in an NCCL collective with a dead peer, is ended after a grace period. If the
    store itself stops responding, because the process that hosts it was stopped, the others end after `patience`.

    Args:
        world: This process's rank and the number of ranks.
        patience: How long to wait for the other ranks.
    """

    def __init__(self, world: World, patience: datetime.timedelta) -> None:
        self._world = world
        from torch.distributed.rendezvous import rendezvous  # missing if torch was built without distributed

        store, _, _ = next(rendezvous("env://", timeout=patience))
        self.store: Any = dist.PrefixStore(_agree_on_prefix(store, world, patience), store)  # type: ignore[attr-defined]
        self._is_closed = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="rarefy-listener", daemon=True)
        self._listener.start()
        self._responded_at, self._patience = time.monotonic(), patience.total_seconds()
        threading.Thread(target=self._watch_store, name="rarefy-watch", daemon=True).start()

    def close(self) -> None:
        """Stops listening for reports.

        Waits for a call to the store to return: C++ aborts a process whose interpreter ends during one.
        """
        self._is_closed.set()
        self._listener.join(_STORE_SECONDS)

    def report(self, message: str) -> tuple[dict[int, str], list[int]]:
        """Reports why this process ends, and waits for the others to report or acknowledge.

        Args:
            message: The reason; empty if only the connection was lost.

        Returns:
            The message of each rank that reported, this one included, and the ranks that did not even acknowledge.

        Raises:
            RuntimeError: If the store ended with rank 0 or the launcher, or does not respond.
        """
        results: list[tuple[dict[int, str], list[int]]] = []

        def exchange() -> None:
            with contextlib.suppress(RuntimeError):
                results.append(self._exchange_messages(message))

        thread = threading.Thread(target=exchange, daemon=True)  # a call to a store that was stopped never returns
        with _ignore_sigterm():
            thread.start()
            thread.join(_REPORT_SECONDS + _STORE_SECONDS)
        if not results:
            raise RuntimeError("The store of the process group does not respond.")
        return results[0]

    def _exchange_messages(self, message: str) -> tuple[dict[int, str], list[int]]:
        ranks, store = range(self._world.ranks), self.store
        store.set(f"message/{self._world.rank}", message)
        store.set("failed", "")
        _wait_until(lambda: store.check([f"message/{rank}" for rank in ranks]), _REPORT_SECONDS)
        messages = {rank: store.get(f"message/{rank}").decode() for rank in ranks if store.check([f"message/{rank}"])}
        return messages, [rank for rank in ranks if rank not in messages and not store.check([f"seen/{rank}"])]

    def is_first_to(self, action: str) -> bool:
        """Whether no other rank requested this action before."""
        return bool(self.store.add(action, 1) == 1)

    def _listen(self) -> None:
        with contextlib.suppress(RuntimeError):  # the store ends with the process that hosts it, also after success
            while not self._is_closed.wait(_POLL_SECONDS):
                has_failed = self.store.check(["failed"])
                self._responded_at = time.monotonic()
                if has_failed:
                    self.store.set(f"seen/{self._world.rank}", "")
                    break
            if not self._is_closed.wait(_GRACE_SECONDS):
                os._exit(_EXIT_STUCK)

    def _watch_store(self) -> None:
        """Ends this process when the store has not responded to the listener for longer than `patience`."""
        while self._listener.is_alive() and not self._is_closed.wait(_POLL_SECONDS):
            if time.monotonic() - self._responded_at > self._patience + _GRACE_SECONDS:
                os.write(
                    2,
                    f"rarefy: The process that hosts the store of the ranks (rank 0, or the launcher) has not answered "
                    f"rank {self._world.rank} for {self._patience:g} s: stopped, or its machine hangs. The run "
                    "continues from its last checkpoint when it is started again.\n".encode(),
                )
                os._exit(_EXIT_STUCK)


@contextlib.contextmanager
def _ignore_sigterm() -> Iterator[None]:
    """Ignores SIGTERM, so that the report gets out: a launcher sends it to all ranks as soon as one has ended."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signal handlers
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _agree_on_prefix(store: Any, world: World, patience: datetime.timedelta) -> str:
    """Agrees on a key prefix that is unique to this start of the processes.

    A launcher that restarts failed processes keeps its store, and with it the keys of the dead processes:
    https://github.com/pytorch/pytorch/issues/135712. Rank 0 therefore makes up a prefix and sends it to every token
    that it finds in the store. Tokens of dead processes are answered too, but only live processes confirm.
    """
    token = uuid.uuid4().hex
    if not world.is_rank0:
        store.set(f"token/{world.rank}", token)
        prefix: str = store.get(f"prefix/{token}").decode()
        store.set(f"{prefix}/{world.rank}", "")
        return prefix
    missing = list(range(1, world.ranks))

    def have_all_confirmed() -> bool:
        for rank in missing:
            if store.check([f"token/{rank}"]):
                store.set(f"prefix/{store.get(f'token/{rank}').decode()}", token)
        missing[:] = [rank for rank in missing if not store.check([f"{token}/{rank}"])]
        return not missing

    if not _wait_until(have_all_confirmed, patience.total_seconds()):
        raise TimeoutError(f"Of {world.ranks} processes these did not join within {patience}: ranks {missing}.")
    return token


def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Polls a condition; returns whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
