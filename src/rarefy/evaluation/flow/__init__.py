"""Gradient flow and topology of sparse networks; no function changes the model.

``masks`` (bool tensors by name, as in `Sparsity.masks`) say which weights are kept; without them those that are not 0.
"""

from rarefy.evaluation.flow.dead_units import count_dead_units
from rarefy.evaluation.flow.effective_density import compute_effective_density
from rarefy.evaluation.flow.gradient_norm import compute_gradient_norm
from rarefy.evaluation.flow.hessian import compute_top_eigenvalue
from rarefy.evaluation.flow.landscape import compute_landscape

__all__ = [
    "compute_effective_density",
    "compute_gradient_norm",
    "compute_landscape",
    "compute_top_eigenvalue",
    "count_dead_units",
]
