"""The store in which processes find each other, and say what ends them."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch.distributed as dist

from rarefy.distributed._world import World

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

_LOOK = 0.5  # seconds between a process's looks at whether another one rang the bell
_ROLL_CALL = 3.0  # seconds in which all that live have answered it
_GRACE = 10.0  # seconds after which a process that heard it and is stuck is ended
_STUCK = 2
_ANSWER = 5.0  # seconds, beyond the roll call, in which a store that lives has answered


class Meeting:
    """The processes of one start, for as long as they train together.

    One that has to end rings a bell and says why. A thread of each process hears it and answers, whatever its main
    thread is at: who does not answer was killed, or hangs. And a process that is stuck, as in a GPU's collective whose
    other end is gone, is ended a while after it heard. A store that answers no more, because the process that keeps it
    was stopped, ends the others after their patience, whatever they are at.

    Args:
        world: Who this process is.
        patience: How long to wait for the others.
    """

    def __init__(self, world: World, patience: datetime.timedelta) -> None:
        self._world = world
        from torch.distributed.rendezvous import rendezvous  # not there in a torch that was built without distribution

        store, _, _ = next(rendezvous("env://", timeout=patience))
        self.store: Store = dist.PrefixStore(_agreed_name(store, world, patience), store)  # type: ignore[attr-defined]
        self._over = threading.Event()
        self._ear = threading.Thread(target=self._listen, name="rarefy-meeting", daemon=True)
        self._ear.start()
        self._answered_at, self._patience = time.monotonic(), patience.total_seconds()
        threading.Thread(target=self._watch, name="rarefy-watch", daemon=True).start()

    def close(self) -> None:
        """Ends listening."""
        self._over.set()
        self._ear.join(_LOOK)

    def ring(self, why: str) -> tuple[dict[int, str], list[int]]:
        """Says why this process ends, and gives the others time to say the same of themselves.

        Args:
            why: A sentence; empty where only the connection was lost.

        Returns:
            What ranks said, this one's included, and the ranks that did not even hear.

        Raises:
            RuntimeError: If the store is gone, with the first rank or with the launcher, or answers no more.
        """
        found: list[tuple[dict[int, str], list[int]]] = []

        def ask() -> None:
            with contextlib.suppress(RuntimeError):
                found.append(self._ask(why))

        asking = threading.Thread(target=ask, daemon=True)  # for a store that is stopped lets nobody go
        with _not_terminated():
            asking.start()
            asking.join(_ROLL_CALL + _ANSWER)
        if not found:
            raise RuntimeError("The store in which processes meet does not answer.")
        return found[0]

    def _ask(self, why: str) -> tuple[dict[int, str], list[int]]:
        ranks = range(self._world.ranks)
        self.store.set(f"why/{self._world.rank}", why)
        self.store.set("bell", "")
        _until(lambda: self.store.check([f"why/{rank}" for rank in ranks]), _ROLL_CALL)
        said = {rank: self.store.get(f"why/{rank}").decode() for rank in ranks if self.store.check([f"why/{rank}"])}
        return said, [rank for rank in ranks if rank not in said and not self.store.check([f"heard/{rank}"])]

    def is_first_to(self, act: str) -> bool:
        """Whether no other rank asked for this before."""
        return self.store.add(act, 1) == 1

    def _listen(self) -> None:
        with contextlib.suppress(RuntimeError):  # the store ends with the process that keeps it, at a good end, too
            while not self._over.wait(_LOOK):
                has_rung = self.store.check(["bell"])
                self._answered_at = time.monotonic()
                if has_rung:
                    self.store.set(f"heard/{self._world.rank}", "")
                    break
            if not self._over.wait(_GRACE):
                os._exit(_STUCK)

    def _watch(self) -> None:
        """Ends this process when the listening thread has waited for the store for longer than the patience."""
        while self._ear.is_alive() and not self._over.wait(_LOOK):
            if time.monotonic() - self._answered_at > self._patience + _GRACE:
                os.write(
                    2,
                    f"rarefy: The process that keeps the store of the ranks (rank 0, or the launcher) has not answered "
                    f"rank {self._world.rank} for {self._patience:g} s: stopped, or its machine hangs. The run goes on "
                    "from its last checkpoint when it is started again.\n".encode(),
                )
                os._exit(_STUCK)


@contextlib.contextmanager
def _not_terminated() -> Iterator[None]:
    """Lets this process say what it has to: a launcher sends SIGTERM to all others as soon as one has ended."""
    if threading.current_thread() is not threading.main_thread():  # which alone hears signals
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _agreed_name(store: Store, world: World, patience: datetime.timedelta) -> str:
    """A name that only this start of the processes has, the same on all of them.

    A launcher that starts failed processes anew keeps its store, and with it what the dead ones wrote there:
    https://github.com/pytorch/pytorch/issues/135712. So the first rank makes a name up and gives it to every greeting
    it finds; those of the dead are answered as well, but only the living arrive.
    """
    own = uuid.uuid4().hex
    if not world.is_first:
        store.set(f"greeting/{world.rank}", own)
        name = store.get(f"answer/{own}").decode()
        store.set(f"{name}/{world.rank}", "")
        return name
    away = list(range(1, world.ranks))

    def all_arrived() -> bool:
        for rank in away:
            if store.check([f"greeting/{rank}"]):
                store.set(f"answer/{store.get(f'greeting/{rank}').decode()}", own)
        away[:] = [rank for rank in away if not store.check([f"{own}/{rank}"])]
        return not away

    if not _until(all_arrived, patience.total_seconds()):
        raise TimeoutError(f"Of {world.ranks} processes these did not come within {patience}: ranks {away}.")
    return own


def _until(done: Callable[[], bool], seconds: float) -> bool:
    """Asks until it is done or the time is over; whether it was done."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
