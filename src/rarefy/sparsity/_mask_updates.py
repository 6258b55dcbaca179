"""Moves the masks of one optimizer's layers, and what belongs to each weight along with them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from rarefy.shards import mask_device, shard_like, to_full
from rarefy.sparsity._ages import WeightAges
from rarefy.sparsity._checks import keep_to_groups, skip_unused
from rarefy.sparsity._diagnostics import Diagnostics
from rarefy.sparsity._dormant_weights import DormantWeights
from rarefy.sparsity._held_weights import HeldWeights
from rarefy.sparsity._masked_model import MaskedModel
from rarefy.sparsity._optimizers import StateCleaner, find_states
from rarefy.sparsity._signals import Signals
from rarefy.sparsity._value_storage import ValueStorageLayer, expand_values, move_values_
from rarefy.topology import HasDormantWeights, Layer, UpdateStep, update


class MaskUpdates:
    """The mask updates of one optimizer.

    Args:
        masked: The masked model.
        held: The weights of the optimizer.
        chain: The optimizer with what it wraps, outermost first.
        signals: The gradients that the topology looks at.
        explored: Layer name to bool tensor, which weights were ever kept; of layers whose masks moved before.

    Attributes:
        count: Number of updates made.
        ages: Ages of the weights that grew.
    """

    def __init__(
        self,
        masked: MaskedModel,
        held: HeldWeights,
        chain: list[torch.optim.Optimizer],
        signals: Signals,
        explored: Mapping[str, Tensor],
    ) -> None:
        self.count = 0
        self.explored = {name: explored[name].clone() for name in held.names if name in explored}
        self.ages = WeightAges(chain[-1])
        self._masked = masked
        self._held = held
        self._chain = chain
        self._signals = signals
        self._cleaner = StateCleaner(chain)
        self._unused: set[str] = set()  # layers that were unused in an update

    def update(self, step: int, steps: int | None, diagnostics: Diagnostics | None) -> None:
        """Moves the masks; one layer at a time where layers are independent, so that only one sharded one is whole.

        Args:
            step: Steps made.
            steps: Steps planned.
            diagnostics: Notes how many weights stayed, if there is one.
        """
        masked, names, update_step = self._masked, self._held.names, UpdateStep(step, steps, self._masked.seed)
        before = {name: masked.masks[name] for name in names}
        topology = keep_to_groups(masked.topology, masked.masks)
        for group in [[name] for name in names] if masked.topology.scope == "layer" else [names]:
            layers = skip_unused(masked.topology, map(self._make_layer, group), self._held.weights, self._unused)
            for name, mask in update(topology, layers, update_step).items() if layers else ():
                self._move_mask(name, mask)
        self.count += 1
        if diagnostics:
            diagnostics.record_update(
                before, {name: masked.masks[name].to(mask.device) for name, mask in before.items()}
            )
        if masked.dormant is not None:
            self.choose_trained(masked.dormant)
            self.clear_untrained(masked.dormant)

    def choose_trained(self, dormant: DormantWeights) -> None:
        """Chooses which weights are trained from now on, the dormant ones included."""
        topology, weights = self._masked.topology, self._held.weights
        if isinstance(topology, HasDormantWeights):
            for name in self._held.names:
                before = dormant.trained.get(name)
                after = shard_like(topology.backward_masks([self._make_layer(name)])[name], weights[name])
                dormant.trained[name] = after
                if before is not None:
                    self.ages.start(name, weights[name], after.logical_and(before.logical_not()), after)

    def clear_untrained(self, dormant: DormantWeights) -> None:
        """Clears the optimizer's state of weights that are not trained."""
        for name in dormant.trained.keys() & self._held.weights.keys():
            self._cleaner.clear_(self._held.weights[name], dormant.trained[name].logical_not())

    def _move_mask(self, name: str, after: Tensor) -> None:
        """Replaces a mask, and clears the optimizer's state of every weight that is new or no longer trained."""
        masked, weight = self._masked, self._held.weights[name]
        sparse = masked.sparse_layers([name])
        after = after.to(mask_device(weight))
        self.explored[name] |= after
        before = masked.masks[name].to(after.device)
        masked.masks.replace(name, after)
        if sparse:
            self._move_values(name, sparse[name], after)
        elif masked.dormant is None:
            self._cleaner.clear_(weight, before.logical_and(after).logical_not())
            self.ages.start(name, weight, after.logical_and(before.logical_not()), after)

    def _move_values(self, name: str, layer: ValueStorageLayer, after: Tensor) -> None:
        """Moves stored values, and the optimizer's state of each, to where the mask keeps them now."""
        values, age = layer.values, self.ages.get_state(name, layer.values)
        clean = self._cleaner.look_up(values)
        states = [(state, clean) for state in find_states(self._chain, values)]
        move_values_(layer, after, [*states, (age, {"age": 1})])
        self.ages.set_state(name, age)

    def _make_layer(self, name: str) -> Layer:
        """Makes the layer as the topology sees it; its weight has the dormant values where there are any."""
        masked, sparse, own = self._masked, self._masked.sparse_layers([name]), self._held.weights[name].detach()
        weight = expand_values(sparse[name]) if sparse else to_full(own)
        own_mask = masked.masks[name].to(mask_device(own))
        mask = own_mask.to(weight.device)
        return Layer(
            name=name,
            weight=weight.masked_fill(mask.logical_not(), 0) if masked.dormant is None else weight,
            mask=mask,
            gradient=self._signals.gather_gradient(name),
            momentum=self._signals.gather_momentum(name),
            explored=self.explored.setdefault(name, own_mask.clone()).to(weight.device),
            initial=masked.initial[name],
            final=masked.final[name],
            is_output=name == masked.output,
        )
