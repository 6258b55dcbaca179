"""The protocol of a drop-fraction schedule and the registry of them."""

from __future__ import annotations

from typing import Protocol

from rarefy.registry import Registry


class Schedule(Protocol):
    """A drop-fraction schedule: a frozen dataclass registered in ``SCHEDULES``."""

    @property
    def needs_end(self) -> bool:
        """Whether it has to know when masks stop moving."""
        ...

    def __call__(self, progress: float) -> float:
        """Factor on the drop fraction, in [0, 1], at ``progress`` in [0, 1] of the time that masks move."""
        ...


SCHEDULES: Registry[Schedule] = Registry("drop-fraction schedule", "drop_schedules")
