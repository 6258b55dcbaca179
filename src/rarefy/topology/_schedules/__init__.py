"""Schedules of the drop fraction. One file per schedule."""

from rarefy.topology._schedules._registry import SCHEDULES, Schedule

__all__ = ["SCHEDULES", "Schedule"]

SCHEDULES.discover(__name__)
