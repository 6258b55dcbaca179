"""Topologies on masks of groups: groups are moved as if each were one weight."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from rarefy.masks import GroupPattern, count_members, expand_groups, sum_groups
from rarefy.topology._select import compute_magnitude
from rarefy.topology._update import HasCountSchedule, HasDormantWeights, Layer, Scope, Topology, UpdateStep

_SIGNALS = ("weight", "gradient", "momentum")


def explain_group_refusal(topology: Topology) -> str:
    """Says why a topology cannot move groups; an empty text if it can.

    Example:
        >>> from rarefy.topology import TOPOLOGIES
        >>> explain_group_refusal(TOPOLOGIES.build("rigl"))
        ''
        >>> explain_group_refusal(TOPOLOGIES.build("snfs"))
        'it moves weights between layers, whose groups differ in size'
    """
    if getattr(topology, "moves_groups", False):
        return ""
    if isinstance(topology, HasDormantWeights):
        return "it trains single weights that are not kept"
    if isinstance(topology, HasCountSchedule):
        return "it changes how many weights a layer keeps, one by one"
    if topology.scope == "network":
        return "it moves weights between layers, whose groups differ in size"
    return "it chooses weights one by one, by scores that do not add up over a group"


@dataclasses.dataclass(frozen=True)
class GroupTopology:
    """A topology on masks in groups: whole groups are dropped and whole groups grown.

    The topology sees each group as one weight. Its size is the sum of the magnitudes of its weights; its gradient and
    its momentum are the sums of the magnitudes of theirs. A group takes the place of one with as many weights, so
    counts stay exact. A group that is kept in part stays as it is.

    Args:
        topology: One that moves groups: `explain_group_refusal` returns an empty text.
        pattern: The groups.

    Example:
        >>> import torch
        >>> from rarefy.masks import parse_pattern
        >>> from rarefy.topology import TOPOLOGIES, update
        >>> weight, gradient = torch.tensor([[0.1, 0, 3], [0.2, 0, -4]]), torch.tensor([[0.0, 2, 0], [0, -1, 0]])
        >>> layer = Layer("fc.weight", weight, weight != 0, gradient, None, weight != 0, 4, 4)
        >>> rigl = GroupTopology(TOPOLOGIES.build("rigl", fraction=0.9), parse_pattern("out2"))
        >>> update(rigl, [layer], UpdateStep(100, 1000, 17))["fc.weight"].int().tolist()
        [[0, 1, 1], [0, 1, 1]]
    """

    topology: Topology
    pattern: GroupPattern

    @property
    def needs(self) -> frozenset[str]:
        """What a layer must carry at an update."""
        return self.topology.needs

    @property
    def scope(self) -> Scope:
        """Counts are held in every layer."""
        return "layer"

    def is_due(self, step: int, steps: int | None) -> bool:
        """Whether masks move after that step."""
        return self.topology.is_due(step, steps)

    def initial_density(self, density: float) -> float:
        """The density itself."""
        return density

    def __call__(self, layers: Sequence[Layer], update_step: UpdateStep) -> dict[str, Tensor]:
        """Computes the next mask of every layer."""
        return {layer.name: _move_layer(self.topology, layer, update_step, self.pattern) for layer in layers}


def _move_layer(topology: Topology, layer: Layer, update_step: UpdateStep, pattern: GroupPattern) -> Tensor:
    shape = tuple(layer.mask.shape)
    block = pattern.block(shape)
    members = count_members(shape, block).flatten().to(layer.mask.device)
    kept = sum_groups(layer.mask.long(), block)
    is_partial = (kept > 0) & (kept < members)
    chosen = kept == members
    grouped = _group_layer(layer, chosen, block)
    for size in np.unique(members.cpu().numpy()).tolist():
        indices = ((members == size) & ~is_partial).nonzero().flatten()
        part = _select(grouped, indices, f"{layer.name}/{size}")
        chosen[indices] = topology([part], update_step)[part.name]
    return expand_groups(chosen, shape, block) | (expand_groups(is_partial, shape, block) & layer.mask)


def _group_layer(layer: Layer, chosen: Tensor, block: tuple[int, ...]) -> Layer:
    """Makes a layer in which each group is a weight."""
    signals = {name: _score(getattr(layer, name), block) for name in _SIGNALS}
    explored = sum_groups(layer.explored.long(), block) > 0
    return dataclasses.replace(layer, mask=chosen, explored=explored, **signals)


def _score(values: Tensor | None, block: tuple[int, ...]) -> Any:
    return None if values is None else sum_groups(compute_magnitude(values), block)


def _select(layer: Layer, indices: Tensor, name: str) -> Layer:
    """Selects some weights of a layer."""
    tensors = {key: getattr(layer, key) for key in ("mask", "explored", *_SIGNALS)}
    part: dict[str, Any] = {key: None if value is None else value[indices] for key, value in tensors.items()}
    kept = int(part["mask"].count_nonzero())
    return dataclasses.replace(layer, name=name, initial=kept, final=kept, **part)
