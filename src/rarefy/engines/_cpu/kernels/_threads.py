"""Several threads for one piece of work: torch's own, where they can be called, else a small pool of Python's.

Kernels release the interpreter's lock, so each thread keeps a core of its own busy. Work is split into as many fixed
parts as torch has threads: the same number of threads gives the same bits, whoever runs a part.
"""

from __future__ import annotations

import collections
import os
import queue
import threading
from collections.abc import Callable
from typing import Any

import torch

from rarefy.cores import count_cores
from rarefy.engines._cpu.kernels._openmp import team

_Part = Callable[[int], None]
_HERE = (0, 0, 0)


class _Call:
    """Parts of one piece of work for the pool. Whoever comes first takes the next: one who is late keeps nobody."""

    def __init__(self, task: _Part, parts: int) -> None:
        self.task = task
        self.waiting = collections.deque(range(parts))
        self.done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def help(self) -> None:
        while True:
            try:
                part = self.waiting.popleft()
            except IndexError:
                return
            try:
                self.task(part)
            except BaseException as error:  # raised where the work was asked for
                self.done.put(error)
            else:
                self.done.put(None)


class _Pool:
    def __init__(self) -> None:
        self.process = os.getpid()
        self.inbox: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        self.workers = 0

    def grow(self, workers: int) -> None:
        while self.workers < workers:
            self.workers += 1
            threading.Thread(target=self.work, daemon=True, name="rarefy-cpu").start()

    def run(self, task: _Part, parts: int) -> None:
        call, helpers = _Call(task, parts), min(parts, count_cores()) - 1
        self.grow(helpers)
        for _ in range(helpers):
            self.inbox.put(call)
        call.help()
        errors = [call.done.get() for _ in range(parts)]
        for error in errors:
            if error is not None:
                raise error

    def work(self) -> None:
        while True:
            self.inbox.get().help()


_pool: _Pool | None = None


def threads() -> int:
    """How many parts work is split into: torch's number of threads."""
    return torch.get_num_threads()


def parallel(kernel: Callable[..., None], parts: int, arguments: tuple[Any, ...]) -> None:
    """Runs kernel(openmp, part, parts, arguments) for every part at the same time; returns when all are done.

    See `rarefy.engines._cpu.kernels._team.launch` for such kernels.
    """
    openmp = team() if parts > 1 else None
    if parts == 1:
        kernel(_HERE, 0, 1, arguments)
    elif openmp is not None and openmp.process == os.getpid():  # a forked process has none of its parent's threads
        kernel(openmp.addresses, 0, parts, arguments)
    else:
        _own_pool().run(lambda part: kernel(_HERE, part, parts, arguments), parts)


def _own_pool() -> _Pool:
    global _pool
    if _pool is None or _pool.process != os.getpid():
        _pool = _Pool()
    return _pool
