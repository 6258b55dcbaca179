"""Runs kernels in several threads: torch's own where they can be called, else a small pool of Python threads.

Kernels release the interpreter's lock, so the threads run in parallel. Work is split into as many fixed parts as torch
has threads: the same number of threads gives the same bits, whichever thread runs a part.
"""

from __future__ import annotations

import collections
import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

from rarefy.cores import count_cores
from rarefy.engines._cpu.kernels._openmp import find_openmp

_RunPart = Callable[[int], None]
_CALLING_THREAD = (0, 0, 0)


class _Task:
    """The parts of one kernel call. Each free thread takes the next part, so that a late thread delays nothing."""

    def __init__(self, run_part: _RunPart, parts: int) -> None:
        self.run_part = run_part
        self.waiting = collections.deque(range(parts))
        self.done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def run_waiting_parts(self) -> None:
        while True:
            try:
                part = self.waiting.popleft()
            except IndexError:
                return
            try:
                self.run_part(part)
            except BaseException as error:  # the calling thread raises it
                self.done.put(error)
            else:
                self.done.put(None)


class _Pool:
    def __init__(self) -> None:
        self.process = os.getpid()
        self.inbox: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self.workers = 0

    def grow(self, workers: int) -> None:
        while self.workers < workers:
            self.workers += 1
            threading.Thread(target=self.work, daemon=True, name="rarefy-cpu").start()

    def run(self, run_part: _RunPart, parts: int) -> None:
        task, helpers = _Task(run_part, parts), min(parts, count_cores()) - 1
        self.grow(helpers)
        for _ in range(helpers):
            self.inbox.put(task)
        task.run_waiting_parts()
        errors = [task.done.get() for _ in range(parts)]
        for error in errors:
            if error is not None:
                raise error

    def work(self) -> None:
        while True:
            self.inbox.get().run_waiting_parts()


_pool: _Pool | None = None


def count_threads() -> int:
    """Returns the number of parts that work is split into: torch's number of threads."""
    return torch.get_num_threads()


def run_parallel(kernel: Callable[..., None], parts: int, arguments: tuple[Any, ...]) -> None:
    """Runs kernel(openmp, part, parts, arguments) for every part in parallel; returns when all are done.

    See `rarefy.engines._cpu.kernels._parallel_for.omp_parallel_for` for such kernels.
    """
    if _observer is None:
        _run(kernel, parts, arguments)
    else:
        _observer(KernelCall(kernel, parts, arguments))


class KernelCall(NamedTuple):
    """A call of a kernel; see `run_parallel`."""

    kernel: Callable[..., None]
    parts: int
    arguments: tuple[Any, ...]

    @property
    def name(self) -> str:
        """Name of the kernel."""
        return self.kernel.__name__

    def run(self) -> None:
        """Runs the kernel."""
        _run(*self)


_observer: Callable[[KernelCall], None] | None = None


@contextlib.contextmanager
def observe_kernels(observer: Callable[[KernelCall], None]) -> Iterator[None]:
    """Gives every kernel call of this process to an observer, which has to run it."""
    global _observer
    before, _observer = _observer, observer
    try:
        yield
    finally:
        _observer = before


def _run(kernel: Callable[..., None], parts: int, arguments: tuple[Any, ...]) -> None:
    openmp = find_openmp() if parts > 1 else None
    if parts == 1:
        kernel(_CALLING_THREAD, 0, 1, arguments)
    elif openmp is not None and openmp.process == os.getpid():  # a forked process has none of its parent's threads
        kernel(openmp.addresses, 0, parts, arguments)
    else:
        _get_pool().run(lambda part: kernel(_CALLING_THREAD, part, parts, arguments), parts)


def _get_pool() -> _Pool:
    global _pool
    if _pool is None or _pool.process != os.getpid():
        _pool = _Pool()
    return _pool
