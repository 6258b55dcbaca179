"""Trackers: where a training can be watched beside its own files."""

from rarefy.training.trackers._registry import TRACKERS, Session, TrackedRun, Tracker, TrackerError, chosen
from rarefy.training.trackers._tracking import Tracking

__all__ = ["TRACKERS", "Session", "TrackedRun", "Tracker", "TrackerError", "Tracking", "chosen"]

TRACKERS.discover(__name__)
