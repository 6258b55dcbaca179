"""Experiment trackers that mirror a run: TensorBoard, MLflow, Weights & Biases."""

from rarefy.training.trackers._callback import TrackerCallback
from rarefy.training.trackers._registry import TRACKERS, Session, TrackedRun, Tracker, TrackerError, parse_trackers

__all__ = ["TRACKERS", "Session", "TrackedRun", "Tracker", "TrackerCallback", "TrackerError", "parse_trackers"]

TRACKERS.discover(__name__)
