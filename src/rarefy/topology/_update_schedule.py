"""When masks move and how many weights they drop."""

from __future__ import annotations

import dataclasses
import math

from rarefy.errors import InvalidInput
from rarefy.topology._schedules import Schedule


@dataclasses.dataclass(frozen=True)
class UpdateSchedule:
    """The steps at which masks move, and the fraction of each layer that they drop.

    Args:
        fraction: Fraction of a layer's kept weights dropped at first, in (0, 1).
        interval: Optimizer steps between updates.
        stop: Fraction of all steps after which nothing moves, in (0, 1].
        schedule: How the fraction falls from the first step to the stop.

    Raises:
        ValueError: If a value is out of range.

    Example:
        >>> from rarefy.topology import SCHEDULES
        >>> schedule = UpdateSchedule(0.3, 100, 0.75, SCHEDULES.build("cosine"))
        >>> [step for step in range(1, 1001) if schedule.is_due(step, 1000)]
        [100, 200, 300, 400, 500, 600, 700]
        >>> schedule.compute_fraction(375, 1000)
        0.15
    """

    fraction: float
    interval: int
    stop: float
    schedule: Schedule

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise InvalidInput(
                f"fraction is the fraction of a layer's weights that is dropped, in (0, 1); got {self.fraction}.",
                name="fraction",
                value=self.fraction,
            )
        check_interval(self.interval)
        check_fraction_of_steps("stop", self.stop)

    def compute_end(self, steps: int | None) -> float:
        """The step after which nothing moves; raises ValueError if that needs ``steps`` and it is None."""
        if steps is None and (self.schedule.needs_end or self.stop < 1):
            raise InvalidInput(
                "This topology has to know how many optimizer steps there will be: pass `steps=` to `attach` "
                '(or give the topology schedule="constant" and stop=1).'
            )
        return math.inf if steps is None else self.stop * steps

    def is_due(self, step: int, steps: int | None) -> bool:
        """Whether masks move after that step."""
        end = self.compute_end(steps)
        return step % self.interval == 0 and step < end

    def compute_fraction(self, step: int, steps: int | None) -> float:
        """Computes the fraction of a layer's kept weights to drop at that step."""
        return self.fraction * self.schedule(min(1.0, step / self.compute_end(steps)))


def compute_drop_count(fraction: float, kept: int) -> int:
    """Computes ``fraction * kept``, rounded down, but less than ``kept``.

    Example:
        >>> compute_drop_count(0.29, 100), compute_drop_count(0.999, 1)
        (29, 0)
    """
    return max(0, min(kept - 1, math.floor(round(fraction * kept, 6))))  # 0.29 * 100 is 28.999999999999996


@dataclasses.dataclass(frozen=True)
class Cubic:
    """A count schedule that falls from a layer's initial to its final count, fast at first, then ever more slowly.

    ``final + (initial - final) * (1 - step / last) ** 3``, rounded half up. ``last`` is the last update up to the stop;
    it reaches the final count exactly.

    Args:
        interval: Optimizer steps between updates.
        stop: Fraction of all steps by which the final count is reached, in (0, 1].

    Raises:
        ValueError: If a value is out of range.

    Example:
        >>> [Cubic(100, 0.5).count(1000, 200, step, 1000) for step in (0, 100, 250, 500, 900)]
        [1000, 610, 300, 200, 200]

    References:
        Zhu and Gupta, 2017, arXiv:1710.01878, section 3.
    """

    interval: int
    stop: float

    def __post_init__(self) -> None:
        check_interval(self.interval)
        check_fraction_of_steps("stop", self.stop)

    def compute_last_step(self, steps: int | None) -> int:
        """Computes the step of the update that reaches the final count."""
        if steps is None:
            raise InvalidInput(
                "This topology prunes on a schedule and has to know how many optimizer steps there will be: "
                "pass `steps=` to `attach`."
            )
        last = math.floor(round(self.stop * steps, 6)) // self.interval * self.interval
        if last == 0:
            raise InvalidInput(
                f"No update falls into the first {self.stop} of {steps} steps when one comes every {self.interval} "
                "steps, so the final density would never be reached: use a shorter interval or train longer."
            )
        return last

    def count(self, initial: int, final: int, step: int, steps: int | None) -> int:
        """Computes how many weights a layer keeps after that step."""
        remaining = max(0.0, 1 - step / self.compute_last_step(steps)) ** 3
        return final + math.floor((initial - final) * remaining + 0.5)


_LONGEST = 10**12


def check_interval(interval: int) -> None:
    """Raises ValueError unless it is a whole number of steps."""
    if not 1 <= interval <= _LONGEST:
        raise InvalidInput(
            f"interval is the number of optimizer steps between updates, from 1 to {_LONGEST}; got {interval}.",
            name="interval",
            value=interval,
        )


def compute_progress(step: int, steps: int | None) -> float:
    """Computes the fraction of all steps that are done; raises ValueError if it is not known how many there will be.

    Example:
        >>> compute_progress(29, 100)
        0.29
    """
    if steps is None:
        raise InvalidInput(
            "This topology trains in phases and has to know how many optimizer steps there will be: "
            "pass `steps=` to `attach`."
        )
    return round(step / steps, 9)


def check_phase(description: str, fraction: float, steps: int | None) -> None:
    """Raises ValueError if a phase of that fraction of all steps has no step."""
    if steps is not None and round(fraction * steps, 6) < 1:
        raise InvalidInput(
            f"The {description} is {fraction:g} of {steps} steps, less than one step: give it a larger part of them, "
            "or train longer.",
            name="steps",
            value=steps,
        )


def check_fraction_of_steps(name: str, value: float) -> None:
    """Raises ValueError unless it is a fraction of all steps, in (0, 1]."""
    if not 0 < value <= 1:
        raise InvalidInput(f"{name} is a fraction of all steps, in (0, 1]; got {value}.", name=name, value=value)
