"""Which of the masked weights an optimizer holds, from one step to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from rarefy.errors import InvalidInput
from rarefy.sparsity._checks import check_alone
from rarefy.sparsity._optimizers import list_groups

if TYPE_CHECKING:
    from rarefy.sparsity._sparsity import Sparsity


class Holding:
    """The masked weights of one optimizer: layers come and go, and groups are added to it.

    Args:
        sparsity: Whose weights are masked.
        chain: The optimizer with what it wraps, outermost first.
        taken: Layers whose topology another optimizer moves; here they are only masked.

    Attributes:
        masked: Names of the layers that the optimizer holds.
        names: Those among them whose masks it moves.

    Raises:
        InvalidInput: If it holds none of them, or keeps them to other masks already.
    """

    def __init__(self, sparsity: Sparsity, chain: list[torch.optim.Optimizer], taken: set[str]) -> None:
        self._sparsity = sparsity
        self._chain = chain
        self._taken = taken
        self._take()
        if not self.masked:
            raise InvalidInput(
                "This optimizer holds none of the masked weights. Make it from the parameters of the model that was "
                "given to sparsify (after moving or wrapping that model, not before)."
            )

    def follow(self) -> bool:
        """Looks whether model and optimizer still hold what they held; whether anything has changed.

        Raises:
            ModelChanged: If a masked weight is not where it was.
        """
        if not self._sparsity.structure.is_same():
            self._sparsity.check_model()
        if self._list_held() == self._held:
            return False
        self._sparsity.check_model()
        self._take()
        return True

    def weights(self) -> dict[str, nn.Parameter]:
        """Name to weight, of all layers that the optimizer holds."""
        return self._weights

    def full_weights(self) -> dict[str, nn.Parameter]:
        """Name to weight, of the layers among them that have all weights."""
        return self._full

    def _take(self) -> None:
        groups, weights = list_groups(self._chain), self._sparsity.weights()
        self._held = self._list_held()
        self._weights = {name: weight for name, weight in weights.items() if id(weight) in groups}
        compact = self._sparsity.compact(self._weights)
        self._full = {name: weight for name, weight in self._weights.items() if name not in compact}
        self.masked = list(self._weights)
        self.names = [name for name in self.masked if name not in self._taken]
        check_alone(self._chain, self._sparsity, list(self._weights.values()))

    def _list_held(self) -> tuple[int, ...]:
        held = (id(weight) for group in self._chain[0].param_groups for weight in group["params"])
        return (*map(id, self._sparsity.weights().values()), *held)
