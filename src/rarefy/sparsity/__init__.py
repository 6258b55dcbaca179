"""Room: the library's front door. Door: ``sparsify`` ties model, masks, topology and any torch optimizer together.

It acts through the optimizer's own hooks: no method is replaced, no parameter renamed, no weight wrapped.
"""

from rarefy.sparsity._changes import ModelChanged
from rarefy.sparsity._checkpoint import CheckpointMismatch, SizeReport, load, save
from rarefy.sparsity._checks import stays_dense
from rarefy.sparsity._compact import Compact, FixedMask, keep_pattern_in_state
from rarefy.sparsity._sparsify import sparsify
from rarefy.sparsity._sparsity import Sparsity
from rarefy.sparsity._summary import LayerSummary

__all__ = [
    "CheckpointMismatch",
    "Compact",
    "FixedMask",
    "LayerSummary",
    "ModelChanged",
    "SizeReport",
    "Sparsity",
    "keep_pattern_in_state",
    "load",
    "save",
    "sparsify",
    "stays_dense",
]
