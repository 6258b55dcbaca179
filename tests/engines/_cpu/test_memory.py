"""The pool of buffers."""

from __future__ import annotations

import gc
import threading

import pytest

from rarefy.engines._cpu.blocked import _memory
from rarefy.engines._cpu.blocked._memory import BlockedTensor, BufferPool


def test_the_pool_follows_the_sizes_in_use() -> None:
    pool = BufferPool()
    for size in range(1, 100):
        pool.give(pool.take(16 * size))
    assert pool.nbytes > 4 * 16 * 99
    for _ in range(5000):
        pool.give(pool.take(16))
    assert pool.nbytes == 4 * 16


class CollectingLock:
    """A lock whose owner runs the garbage collector while it holds it, as any allocation there might."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()
        gc.collect()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_a_tensor_may_be_collected_while_its_thread_takes_a_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = BufferPool()
    monkeypatch.setattr(_memory, "POOL", pool)
    monkeypatch.setattr(pool, "_lock", CollectingLock())

    def collect_in_take() -> None:
        cycle: list[object] = [BlockedTensor(16, 3, 2, 2)]
        cycle.append(cycle)
        del cycle
        pool.take(16)

    thread = threading.Thread(target=collect_in_take, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive(), "waits for a lock that its own thread holds"
    assert pool.nbytes == 4 * 16 * 3 * 2 * 2
