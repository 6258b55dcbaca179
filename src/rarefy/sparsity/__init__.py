"""Room: the library's front door. Door: ``sparsify`` ties model, masks, topology and any torch optimizer together.

It acts through the optimizer's own hooks: no method is replaced, no parameter renamed, no weight wrapped.
"""

from rarefy.sparsity._checkpoint import CheckpointMismatch, SizeReport, load, save
from rarefy.sparsity._sparsify import sparsify
from rarefy.sparsity._sparsity import LayerSummary, Sparsity

__all__ = ["CheckpointMismatch", "LayerSummary", "SizeReport", "Sparsity", "load", "save", "sparsify"]
