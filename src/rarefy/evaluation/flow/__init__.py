"""Room: what flows through a sparse network. Doors: one function a question; none of them changes the model.

Where weights are kept is told by ``masks`` (name to bool tensor, as of `Sparsity.masks`); without them a weight is kept
if it is not zero.
"""

from rarefy.evaluation.flow.dead_units import dead_units
from rarefy.evaluation.flow.effective_density import effective_density
from rarefy.evaluation.flow.gradient_norm import gradient_norm
from rarefy.evaluation.flow.hessian import top_eigenvalue
from rarefy.evaluation.flow.landscape import landscape

__all__ = ["dead_units", "effective_density", "gradient_norm", "landscape", "top_eigenvalue"]
