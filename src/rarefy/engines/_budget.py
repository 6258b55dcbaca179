"""Bounds the time that `auto` may measure: a share of the first epoch, or some seconds."""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Callable, Iterator

from rarefy.engines._cpu import get_compile_seconds

SHARE = 0.03
"""Of the time of the first epoch, where its number of steps is known."""
SHORTEST, LONGEST = 5.0, 20.0
"""Seconds: a short epoch allows the first in any case, and none more than the second."""
LAYERS = 0.4
"""Share of the budget after which no further layer is measured: the steps decide."""
_epoch_steps: contextvars.ContextVar[int | None] = contextvars.ContextVar("epoch_steps", default=None)


def _read_clock() -> float:
    """Returns seconds without those in which kernels were compiled, which happens once per machine."""
    return time.perf_counter() - get_compile_seconds()


class Budget:
    """The seconds that measuring may take. What has started is finished; what would end too late is not started.

    Args:
        steps: Number of steps of the first epoch; None where it is not known.
        clock: Returns seconds; by default without those of compiling kernels.

    Example:
        >>> budget = Budget(steps=1000, clock=lambda: 0.0)
        >>> budget.expect_step(0.5)  # an epoch of 500 seconds: 15 of them
        >>> budget.allows(14.0), budget.allows(16.0)
        (True, False)
    """

    def __init__(self, steps: int | None = None, clock: Callable[[], float] | None = None) -> None:
        self._steps, self._clock = steps, clock or _read_clock
        self._start = self._clock()
        self._limit = LONGEST if steps is None else SHORTEST

    def expect_step(self, seconds: float) -> None:
        """Sets the limit by the time of a step of training with dense layers."""
        if self._steps is not None:
            self._limit = min(LONGEST, max(SHORTEST, SHARE * self._steps * seconds))

    def allows(self, seconds: float = 0.0, share: float = 1.0) -> bool:
        """Whether something that takes so many seconds would end within a share of the limit."""
        return self._clock() - self._start + seconds <= share * self._limit


@contextlib.contextmanager
def limit_measuring(epoch_steps: int | None) -> Iterator[None]:
    """Makes engines that measure inside of it know the number of steps of the first epoch."""
    token = _epoch_steps.set(epoch_steps)
    try:
        yield
    finally:
        _epoch_steps.reset(token)


def start_budget() -> Budget:
    """Starts the budget of a measurement."""
    return Budget(_epoch_steps.get())
