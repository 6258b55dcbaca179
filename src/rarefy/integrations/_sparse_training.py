"""What the callbacks share: a sparsity that follows a trainer's optimizers and checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from rarefy.errors import InvalidInput
from rarefy.sparsity import Sparsity, sparsify
from rarefy.topology import TOPOLOGIES

_LOGGED = ("mask_overlap", "exploration_rate")


class SparseTraining:
    """A model that a trainer trains sparsely.

    Args:
        sparsity: Masks that are drawn already; None: `options` say how they are drawn.
        options: Arguments of `rarefy.sparsify` but for the model.
    """

    def __init__(self, sparsity: Sparsity | None, options: Mapping[str, Any]) -> None:
        if sparsity is not None and options:
            raise InvalidInput(
                f"A sparsity has its masks already; leave out {', '.join(options)}, or give them without it.",
                name="sparsity",
            )
        self.sparsity = sparsity
        self._options = dict(options)

    def get_sparsity(self) -> Sparsity:
        """Returns the sparsity; raises InvalidInput before the trainer has drawn its masks."""
        if self.sparsity is None:
            raise InvalidInput("There are no masks before the trainer has begun: call its train() or fit() first.")
        return self.sparsity

    def draw(self, model: nn.Module) -> Sparsity:
        """Draws the masks of a model, at the first call."""
        if self.sparsity is None:
            self.sparsity = sparsify(model, **self._options)
        return self.sparsity

    def attach(self, optimizers: Sequence[torch.optim.Optimizer], steps: int | None) -> None:
        """Attaches a trainer's optimizers in place of those of an earlier training."""
        self.get_sparsity().detach()
        for optimizer in optimizers:
            self.get_sparsity().attach(optimizer, steps=steps, diagnostics=self._moves)

    def resume(
        self,
        model: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        steps: int | None,
        state: Mapping[str, Any],
    ) -> None:
        """Draws and attaches masks for a model whose weights are those of a checkpoint, and restores its masks.

        Raises:
            InvalidInput: If the masks prune weights that the checkpoint has: it is another one's.
        """
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        self.draw(model)
        self.attach(optimizers, steps)
        model.load_state_dict(weights)  # the masks just drawn may prune others than those of the checkpoint
        self.get_sparsity().load_state_dict(state)
        others = [name for name, value in model.state_dict().items() if not torch.equal(value, weights[name])]
        if others:
            raise InvalidInput(
                f"The masks are not those of the checkpoint: they prune weights of {others[0]} that it has. Its own "
                "masks are in its folder.",
                name="state",
                value=others[0],
            )

    def measure(self) -> dict[str, float]:
        """Measures the density and, of masks that move, the overlap of the last update and the exploration rate."""
        sparsity = self.get_sparsity()
        diagnosed = sparsity.diagnose() if self._moves else {}
        return {"density": sparsity.density} | {name: diagnosed[name] for name in _LOGGED if name in diagnosed}

    @property
    def _moves(self) -> bool:
        return TOPOLOGIES.name_of(self.get_sparsity().topology) != "static"
