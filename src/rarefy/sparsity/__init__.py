"""Ties model, masks, topology and any torch optimizer together, through the optimizer's own hooks."""

from rarefy.sparsity._changes import ModelChanged
from rarefy.sparsity._checkpoint import CheckpointMismatch, load, save
from rarefy.sparsity._checks import check_connects, check_initialiser, stays_dense
from rarefy.sparsity._initialisers import INITIALISERS, Initialiser
from rarefy.sparsity._mask_draw import count_least
from rarefy.sparsity._network_scaling import check_counts_stay
from rarefy.sparsity._sparsify import sparsify
from rarefy.sparsity._sparsity import Sparsity
from rarefy.sparsity._summary import LayerSummary, SizeReport
from rarefy.sparsity._value_storage import FixedMask, ValueStorageLayer, keep_pattern_in_state

__all__ = [
    "INITIALISERS",
    "CheckpointMismatch",
    "FixedMask",
    "Initialiser",
    "LayerSummary",
    "ModelChanged",
    "SizeReport",
    "Sparsity",
    "ValueStorageLayer",
    "check_connects",
    "check_counts_stay",
    "check_initialiser",
    "count_least",
    "keep_pattern_in_state",
    "load",
    "save",
    "sparsify",
    "stays_dense",
]
