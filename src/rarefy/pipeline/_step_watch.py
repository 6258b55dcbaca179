"""Compares the time of a run's steps with the time that its plan promised."""

from __future__ import annotations

import statistics
import time

from rarefy import engines, training
from rarefy.pipeline._folder import LOG

_FIRST, _LAST = 10, 100  # range of steps that count; earlier ones allocate memory


class StepWatch:
    """Callback that compares the first hundred steps with the engine's plan, once, without affecting the run.

    Args:
        plan: What `rarefy.use_engine` returned for the run.
    """

    def __init__(self, plan: engines.Plan) -> None:
        self._plan = plan
        self._seconds: list[float] = []
        self._ended, self._waited = 0.0, 0.0

    def __call__(self, event: training.Event, state: training.State) -> None:
        """Records the time of a step without the wait for its data, and compares after the hundredth."""
        is_comparable = (
            state.world.ranks == 1 and state.settings.values.accumulate == 1
        )  # the plan measured one process, one pass
        if event is not training.Event.STEP or len(self._seconds) == _LAST or not is_comparable:
            return
        now, waited = time.perf_counter(), state.totals.data_seconds
        if self._ended and state.batch > 1:  # between two epochs lies validation
            self._seconds.append(now - self._ended - (waited - self._waited))
        self._ended, self._waited = now, waited
        if len(self._seconds) == _LAST:
            self._compare(1e3 * statistics.median(self._seconds[_FIRST:]))

    def _compare(self, milliseconds: float) -> None:
        if not engines.check_step_time(self._plan, milliseconds):
            LOG.info(
                "steps take %.3g ms, %.3g had been measured: later runs measure again, three times in all at most",
                *(milliseconds, self._plan.step_milliseconds["sparse"]),
                extra={"shown": True},
            )
