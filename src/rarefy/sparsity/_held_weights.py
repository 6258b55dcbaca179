"""Which of the masked weights an optimizer holds, from one step to the next."""

from __future__ import annotations

import torch
from torch import nn

from rarefy.errors import InvalidInput
from rarefy.shards import is_sharded
from rarefy.sparsity._masked_model import MaskedModel
from rarefy.sparsity._optimizers import list_groups
from rarefy.sparsity._registries import get_parameters


class HeldWeights:
    """The masked weights of one optimizer: modules may be replaced, and parameter groups added.

    Args:
        masked: The masked model.
        chain: The optimizer with what it wraps, outermost first.
        taken: Layers whose masks another optimizer moves; here they are only masked.

    Attributes:
        weights: Name to weight, of all layers that the optimizer holds.
        dense: Those among them that have every weight, not only kept values.
        unsharded: Those among the dense ones that this process holds whole.
        names: Names of the layers whose masks it moves.

    Raises:
        InvalidInput: If the optimizer holds none of them.
    """

    weights: dict[str, nn.Parameter]
    dense: dict[str, nn.Parameter]
    unsharded: dict[str, nn.Parameter]
    names: list[str]

    def __init__(self, masked: MaskedModel, chain: list[torch.optim.Optimizer], taken: set[str]) -> None:
        self._masked = masked
        self._chain = chain
        self._taken = taken
        self._read()
        if not self.weights:
            raise InvalidInput(
                "This optimizer holds none of the masked weights. Make it from the parameters of the model that was "
                "given to sparsify (after moving or wrapping that model, not before)."
            )

    def refresh(self) -> bool:
        """Reads the weights again if the model or the optimizer holds others than before; returns whether they do.

        Raises:
            ModelChanged: If a masked weight is not where it was.
        """
        if not self._masked.structure.is_same():
            self._masked.check()
        if self._is_current():
            return False
        self._masked.check()
        self._read()
        return True

    def _is_current(self) -> bool:
        is_same = all(parameters.get(name) is weight for parameters, name, weight in self._slots)
        return is_same and self._parameter_ids == self._list_parameter_ids()

    def _read(self) -> None:
        weights, groups = self._masked.weights(), list_groups(self._chain)
        self._slots = [
            (get_parameters(m), attribute, weights[n]) for n, (m, attribute) in self._masked.locations.items()
        ]
        self._parameter_ids = self._list_parameter_ids()
        self.weights = {name: weight for name, weight in weights.items() if id(weight) in groups}
        sparse = self._masked.sparse_layers(self.weights)
        self.dense = {name: weight for name, weight in self.weights.items() if name not in sparse}
        self.unsharded = {name: weight for name, weight in self.dense.items() if not is_sharded(weight)}
        self.names = [name for name in self.weights if name not in self._taken]

    def _list_parameter_ids(self) -> list[int]:
        ids: list[int] = []
        for group in self._chain[0].param_groups:
            ids += map(id, group["params"])
        return ids
