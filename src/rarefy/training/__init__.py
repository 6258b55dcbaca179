"""Training: `train` runs one closed loop; callbacks receive each `Event` and the `State`."""

from rarefy.errors import Interrupted
from rarefy.training._context import training_context
from rarefy.training._parallel import shard
from rarefy.training._state import Callback, Event, NonFiniteLoss, Settings, State
from rarefy.training._sync_batch_norm import sync_batch_norms
from rarefy.training._train import autocast, train, train_step
from rarefy.training.callbacks import Checkpoint, CheckpointError, HistoryFile, load_checkpoint
from rarefy.training.optimizers import OPTIMIZERS
from rarefy.training.schedules import SCHEDULES
from rarefy.training.trackers import TRACKERS, TrackedRun, Tracker, TrackerCallback, TrackerError, parse_trackers

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
    "TrackerCallback",
    "TrackerError",
    "autocast",
    "load_checkpoint",
    "parse_trackers",
    "shard",
    "sync_batch_norms",
    "train",
    "train_step",
    "training_context",
]
