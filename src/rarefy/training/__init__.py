"""Room: one closed loop. Door: ``train``; behaviour comes in as callbacks, which see an `Event` and the `State`."""

from rarefy.errors import Interrupted
from rarefy.training._begun import begun
from rarefy.training._norm import synced_norms
from rarefy.training._parallel import shard
from rarefy.training._state import Callback, Event, NonFiniteLoss, Settings, State
from rarefy.training._train import autocast, step, train
from rarefy.training.callbacks import Checkpoint, CheckpointError, HistoryFile, load_checkpoint
from rarefy.training.optimizers import OPTIMIZERS
from rarefy.training.schedules import SCHEDULES
from rarefy.training.trackers import TRACKERS, TrackedRun, Tracker, TrackerError, Tracking, chosen

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "TRACKERS",
    "Callback",
    "Checkpoint",
    "CheckpointError",
    "Event",
    "HistoryFile",
    "Interrupted",
    "NonFiniteLoss",
    "Settings",
    "State",
    "TrackedRun",
    "Tracker",
    "TrackerError",
    "Tracking",
    "autocast",
    "begun",
    "chosen",
    "load_checkpoint",
    "shard",
    "step",
    "synced_norms",
    "train",
]
