"""A small pool of Python threads: kernels release the interpreter's lock, so each keeps a core of its own busy.

Torch's own threads would spin beside those of another OpenMP, so numba's are never started. Work is split into as many
fixed parts as torch has threads: the same number of threads gives the same bits.
"""

from __future__ import annotations

import collections
import os
import queue
import threading
from collections.abc import Callable

import torch

_Task = Callable[[int], None]


class _Call:
    """Parts of one piece of work. Whoever comes first takes the next: a thread that is late keeps nobody waiting."""

    def __init__(self, task: _Task, parts: int) -> None:
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
            except BaseException as error:  # handed to the thread that waits
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

    def work(self) -> None:
        while True:
            self.inbox.get().help()


_pool: _Pool | None = None


def threads() -> int:
    """How many parts work is split into: torch's number of threads."""
    return torch.get_num_threads()


def parallel(task: _Task, parts: int) -> None:
    """Runs task(0), ..., task(parts - 1) at the same time, some of them here; returns when all are done."""
    global _pool
    if parts == 1:
        task(0)
        return
    if _pool is None or _pool.process != os.getpid():  # a forked process has none of its parent's threads
        _pool = _Pool()
    _pool.grow(parts - 1)
    call = _Call(task, parts)
    for _ in range(parts - 1):
        _pool.inbox.put(call)
    call.help()
    errors = [call.done.get() for _ in range(parts)]
    for error in errors:
        if error is not None:
            raise error


def share(count: int, part: int, parts: int) -> tuple[int, int]:
    """The part's [first, last) of `count` things."""
    return count * part // parts, count * (part + 1) // parts
