"""Behaviour beside the loop: what is written while training."""

from rarefy.training.callbacks.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from rarefy.training.callbacks.history import HistoryFile

__all__ = ["Checkpoint", "CheckpointError", "HistoryFile", "load_checkpoint"]
