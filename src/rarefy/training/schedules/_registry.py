"""What a learning-rate schedule is."""

from __future__ import annotations

from typing import Protocol

from rarefy.registry import Registry


class Schedule(Protocol):
    """Factor on the learning rate at a step."""

    def __call__(self, step: int, epochs: int, steps_per_epoch: int) -> float:
        """The factor for the step with that number, counted from 0."""


SCHEDULES: Registry[Schedule] = Registry("schedule", "schedules")
