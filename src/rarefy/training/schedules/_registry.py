"""Learning-rate schedule protocol and registry."""

from __future__ import annotations

from typing import Protocol

from rarefy.registry import Registry


class Schedule(Protocol):
    """Function from the step to a learning-rate factor."""

    def __call__(self, step: int, epochs: int, steps_per_epoch: int) -> float:
        """Returns the factor of a step, counted from 0."""


SCHEDULES: Registry[Schedule] = Registry("schedule", "schedules")
