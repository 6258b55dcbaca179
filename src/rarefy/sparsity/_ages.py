"""How many steps each weight has made since it grew, and the steps of the young ones made right."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rarefy.shards import is_sharded, shard_like, to_local
from rarefy.sparsity._corrections import YoungStep, find_horizon, make_move, step_again
from rarefy.sparsity._optimizers import list_groups

_LOG = logging.getLogger("rarefy")


class Ages:
    """Ages of weights that grew under one optimizer; a weight that was there from the start has none.

    Nothing is kept and nothing is computed as long as no weight has grown.

    Args:
        optimizer: The optimizer whose steps are made right, if it corrects its moments by a count of steps.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._move = make_move(optimizer)
        self.by_layer: dict[str, Tensor] = {}  # 0 is old, n that the next step is the n-th
        self._oldest: dict[str, int] = {}
        self._young: dict[str, tuple[Tensor, ...]] = {}  # where ages are not 0, as indices
        self._before: dict[str, Tensor] = {}
        self._told = False

    def begin(self, name: str, weight: Tensor, grown: Tensor, kept: Tensor) -> None:
        """Notes which weights of a layer have grown and will make their first step next.

        Args:
            name: The layer.
            weight: Its weight.
            grown: Bool tensor of its shape.
            kept: Bool tensor of its shape; what is not trained any more has no age.
        """
        if self._move is None or weight.is_complex():
            return self._tell(weight)
        if name not in self.by_layer:
            self.by_layer[name] = torch.zeros_like(weight, dtype=torch.int32, requires_grad=False)
        age = self.by_layer[name]
        age.masked_fill_(shard_like(kept, age).logical_not(), 0).masked_fill_(shard_like(grown, age), 1)
        self._oldest[name] = max(1, self._oldest.get(name, 1))
        self._young.pop(name, None)

    def of_layer(self, name: str, values: Tensor) -> dict[str, Tensor]:
        """The ages of a layer that stores kept values only, as a state that moves with them; new ones start at 1."""
        if self._move is None:
            self._tell(values)
            return {}
        return {"age": self.by_layer.get(name, torch.zeros_like(values, dtype=torch.int32, requires_grad=False))}

    def take(self, name: str, state: Mapping[str, Tensor]) -> None:
        """Puts back what `of_layer` gave, after it has moved."""
        if "age" in state:
            self.by_layer[name] = state["age"]
            self._oldest[name] = max(1, self._oldest.get(name, 1))
            self._young.pop(name, None)

    @torch.no_grad()
    def note(self, weights: Mapping[str, Tensor]) -> None:
        """Notes what young weights are before the optimizer's step."""
        self._before = {n: to_local(weights[n])[self._locate(n)] for n in self.by_layer.keys() & weights.keys()}

    @torch.no_grad()
    def correct_(self, weights: Mapping[str, Tensor]) -> None:
        """Makes the step that was made right for weights that are young, and counts it."""
        groups = list_groups([self._optimizer])
        for name, before in self._before.items():
            weight = weights[name]
            state = self._optimizer.state.get(weight)
            if weight.grad is None or not state or id(weight) not in groups:
                continue  # the optimizer has left it out
            self._correct_layer_(name, weight, before, state, groups[id(weight)])
            self._grow_older(name, groups[id(weight)])
        self._before = {}

    def _correct_layer_(
        self, name: str, weight: Tensor, before: Tensor, state: Mapping[str, Any], group: Mapping[str, Any]
    ) -> None:
        place = self._locate(name)
        precise = torch.promote_types(weight.dtype, torch.float32)
        kept = {n: v for n, v in state.items() if isinstance(v, Tensor) and v.shape == weight.shape}
        assert weight.grad is not None and self._move is not None
        young = YoungStep(
            age=to_local(self.by_layer[name])[place],
            before=before.to(precise),
            gradient=to_local(weight.grad)[place].to(precise),
            state={n: to_local(value)[place].to(precise) for n, value in kept.items()},
            group=group,
            step=state["step"],
        )
        to_local(weight)[place] = step_again(young, self._move).to(weight.dtype)

    def _grow_older(self, name: str, group: Mapping[str, Any]) -> None:
        """Counts a step; who is old enough has no age any more."""
        age, horizon = to_local(self.by_layer[name]), find_horizon(group)
        age[self._locate(name)] += 1
        self._oldest[name] += 1
        if self._oldest[name] > horizon:
            age.masked_fill_(age > horizon, 0)
            self._forget_old(name)

    def _forget_old(self, name: str) -> None:
        self._young.pop(name, None)
        self._oldest[name] = int(to_local(self.by_layer[name]).max()) if to_local(self.by_layer[name]).numel() else 0
        if not self._oldest[name] and not is_sharded(
            self.by_layer[name]
        ):  # of a sharded one every process keeps its part
            del self.by_layer[name], self._oldest[name]

    def _locate(self, name: str) -> tuple[Tensor, ...]:
        if name not in self._young:
            self._young[name] = to_local(self.by_layer[name]).nonzero(as_tuple=True)
        return self._young[name]

    def _tell(self, weight: Tensor) -> None:
        """Says once that this optimizer's steps are left as they are, if they need a correction."""
        state = self._optimizer.state.get(weight, {})
        if not self._told and "step" in state and any("exp_avg" in name for name in state):
            self._told = True
            text = "%s counts steps for a whole tensor: weights that grow may move too far at first. Known are: %s"
            _LOG.warning(text, type(self._optimizer).__name__, "Adam, AdamW, Adamax, NAdam and RAdam of torch.optim")

    def state_dict(self) -> dict[str, Tensor]:
        """Ages by layer."""
        return self.by_layer

    def load_state_dict(self, state: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
        """Puts back what `state_dict` gave."""
        self.by_layer = {name: shard_like(age, weights[name]).clone() for name, age in state.items()}
        self._young, self._before = {}, {}
        self._oldest = {name: 1 for name in self.by_layer}
        for name in list(self.by_layer):
            self._forget_old(name)
