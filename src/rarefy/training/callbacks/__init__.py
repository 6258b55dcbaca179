"""Callbacks that write files during training."""

from rarefy.training.callbacks.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from rarefy.training.callbacks.history import HistoryFile

__all__ = ["Checkpoint", "CheckpointError", "HistoryFile", "load_checkpoint"]
