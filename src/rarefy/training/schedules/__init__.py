"""Learning-rate schedules: pure functions of the step, so that resuming needs no state."""

from rarefy.training.schedules._registry import SCHEDULES, Schedule

__all__ = ["SCHEDULES", "Schedule"]

SCHEDULES.discover(__name__)
