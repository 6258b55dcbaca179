"""Counts the steps that each weight has made since it grew, and corrects the steps of young ones."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from rarefy.shards import is_sharded, shard_like, to_local
from rarefy.sparsity._corrections import YoungStep, compute_horizon, find_correction, redo_step
from rarefy.sparsity._optimizers import list_groups

_LOG = logging.getLogger("rarefy")


class WeightAges:
    """Ages of weights that grew under one optimizer; a weight kept from the start has none.

    Nothing is stored or computed as long as no weight has grown.

    Args:
        optimizer: The optimizer whose steps are corrected, if it corrects its moments by a count of steps.

    Attributes:
        by_layer: Layer name to int32 tensor: 0 for an old weight, ``n`` if its next step is its ``n``-th.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._correction = find_correction(optimizer)
        self.by_layer: dict[str, Tensor] = {}
        self._oldest: dict[str, int] = {}
        self._young: dict[str, tuple[Tensor, ...]] = {}  # indices where ages are not 0
        self._before: dict[str, Tensor] = {}
        self._has_warned = False

    def start(self, name: str, weight: Tensor, grown: Tensor, kept: Tensor) -> None:
        """Gives age 1 to the weights of a layer that have grown and make their first step next.

        Args:
            name: The layer.
            weight: Its weight.
            grown: Bool tensor of its shape.
            kept: Bool tensor of its shape; weights that are no longer trained have no age.
        """
        if self._correction is None or weight.is_complex():
            return self._warn_once(weight)
        if name not in self.by_layer:
            self.by_layer[name] = torch.zeros_like(weight, dtype=torch.int32, requires_grad=False)
        age = self.by_layer[name]
        age.masked_fill_(shard_like(kept, age).logical_not(), 0).masked_fill_(shard_like(grown, age), 1)
        self._oldest[name] = max(1, self._oldest.get(name, 1))
        self._young.pop(name, None)

    def get_state(self, name: str, values: Tensor) -> dict[str, Tensor]:
        """Returns the ages of a layer that stores only kept values, as a state that moves along with the values."""
        if self._correction is None:
            self._warn_once(values)
            return {}
        return {"age": self.by_layer.get(name, torch.zeros_like(values, dtype=torch.int32, requires_grad=False))}

    def set_state(self, name: str, state: Mapping[str, Tensor]) -> None:
        """Stores a state from `get_state` after its values have moved."""
        if "age" in state:
            self.by_layer[name] = state["age"]
            self._oldest[name] = max(1, self._oldest.get(name, 1))
            self._young.pop(name, None)

    @torch.no_grad()
    def record(self, weights: Mapping[str, Tensor]) -> None:
        """Records the values of young weights before the optimizer's step."""
        self._before = {n: to_local(weights[n])[self._locate(n)] for n in self.by_layer.keys() & weights.keys()}

    @torch.no_grad()
    def correct_(self, weights: Mapping[str, Tensor]) -> None:
        """Corrects the step just made for young weights, and counts it."""
        groups = list_groups([self._optimizer])
        for name, before in self._before.items():
            weight = weights[name]
            state = self._optimizer.state.get(weight)
            if weight.grad is None or not state or id(weight) not in groups:
                continue  # the optimizer did not step it
            self._correct_layer_(name, weight, before, state, groups[id(weight)])
            self._grow_older(name, groups[id(weight)])
        self._before = {}

    def _correct_layer_(
        self, name: str, weight: Tensor, before: Tensor, state: Mapping[str, Any], group: Mapping[str, Any]
    ) -> None:
        indices = self._locate(name)
        precise = torch.promote_types(weight.dtype, torch.float32)
        moments = {n: v for n, v in state.items() if isinstance(v, Tensor) and v.shape == weight.shape}
        assert weight.grad is not None and self._correction is not None
        young = YoungStep(
            age=to_local(self.by_layer[name])[indices],
            before=before.to(precise),
            gradient=to_local(weight.grad)[indices].to(precise),
            state={n: to_local(value)[indices].to(precise) for n, value in moments.items()},
            group=group,
            step=state["step"],
        )
        to_local(weight)[indices] = redo_step(young, self._correction).to(weight.dtype)

    def _grow_older(self, name: str, group: Mapping[str, Any]) -> None:
        """Counts a step, and clears the age of weights that are old enough."""
        age, horizon = to_local(self.by_layer[name]), compute_horizon(group)
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
        ):  # every process keeps its part of a sharded tensor
            del self.by_layer[name], self._oldest[name]

    def _locate(self, name: str) -> tuple[Tensor, ...]:
        if name not in self._young:
            self._young[name] = to_local(self.by_layer[name]).nonzero(as_tuple=True)
        return self._young[name]

    def _warn_once(self, weight: Tensor) -> None:
        """Warns once if this optimizer's steps need a correction that rarefy does not know."""
        state = self._optimizer.state.get(weight, {})
        if not self._has_warned and "step" in state and any("exp_avg" in name for name in state):
            self._has_warned = True
            text = "%s counts steps for a whole tensor: weights that grow may move too far at first. Known are: %s"
            _LOG.warning(text, type(self._optimizer).__name__, "Adam, AdamW, Adamax, NAdam and RAdam of torch.optim")

    def state_dict(self) -> dict[str, Tensor]:
        """Returns ages by layer."""
        return self.by_layer

    def load_state_dict(self, state: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
        """Loads what `state_dict` returned."""
        self.by_layer = {name: shard_like(age, weights[name]).clone() for name, age in state.items()}
        self._young, self._before = {}, {}
        self._oldest = {name: 1 for name in self.by_layer}
        for name in list(self.by_layer):
            self._forget_old(name)
