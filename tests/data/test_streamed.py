"""Batches on their way to a GPU: the copy has a queue of its own, and nobody reads it too early or too late."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from rarefy.data import _streamed


@dataclasses.dataclass
class Queue:
    """Of a GPU, as torch's streams are used; notes in which order things were asked for."""

    name: str
    said: list[str]

    def wait_stream(self, other: Queue) -> None:
        self.said.append(f"{self.name} waits for {other.name}")


@dataclasses.dataclass
class Batch:
    current: list[Queue]
    said: list[str]

    def to(self, device: torch.device, *, non_blocking: bool) -> Batch:
        self.said.append(f"copied in {self.current[-1].name}, {'without' if non_blocking else 'with'} waiting")
        return self

    def record_stream(self, queue: Queue) -> None:
        self.said.append(f"kept for {queue.name}")


def test_the_copy_runs_beside_the_step_before(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    using, copying = Queue("the step's queue", said), Queue("its own queue", said)
    current = [using]

    @contextlib.contextmanager
    def within(queue: Queue) -> Iterator[None]:
        current.append(queue)
        yield
        current.pop()

    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current[-1])
    monkeypatch.setattr(torch.cuda, "stream", within)
    batch: Any = Batch(current, said)
    assert _streamed._copy_to_device(batch, torch.device("cuda"), copying) is batch  # type: ignore[arg-type]
    assert said == [
        "copied in its own queue, without waiting",
        "the step's queue waits for its own queue",
        "kept for the step's queue",
    ]


@pytest.mark.gpu
def test_what_arrives_on_a_gpu_is_what_was_sent() -> None:
    device, copying = torch.device("cuda"), torch.cuda.Stream()
    for number in range(50):
        sent = torch.full((1 << 20,), number, dtype=torch.int32).pin_memory()
        assert bool((_streamed._copy_to_device(sent, device, copying) == number).all())
