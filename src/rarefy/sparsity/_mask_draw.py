"""Draws the masks of a network: counts from the allocation, then which weights."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from rarefy.allocation import ALLOCATIONS, Probe, Shapes, allocate
from rarefy.errors import MethodError
from rarefy.masks import Masks, Pattern, count_connecting, draw_masks
from rarefy.models import find_weights, read_weight
from rarefy.rng import Streams
from rarefy.sparsity._initialisers import INITIALISERS, Initialiser
from rarefy.sparsity._sparsity import Sparsity
from rarefy.topology import HasFinalDensity, Topology

_LOG = logging.getLogger("rarefy")


@dataclasses.dataclass(frozen=True, eq=False)
class MaskDraw:
    """How masks are drawn.

    Args:
        rule: The allocation.
        shapes: Layer name to shape of its weight.
        density: The density that was asked for.
        seed: Seed of the masks.
        pattern: Which weights are drawn together.
        probe: The network and samples, for allocations that look at data.
        groups: Layer name to groups of its convolution, to leave no unit without an input or an output; else None.
        initialiser: Makes the initial weights, and perhaps the masks.
    """

    rule: Any
    shapes: Shapes
    density: float
    seed: int
    pattern: Pattern
    probe: Probe | None
    groups: Mapping[str, int] | None
    initialiser: Initialiser

    def make_sparsity(self, model: nn.Module, topology: Topology) -> Sparsity:
        """Draws masks at the density the topology starts with, and allocates counts for the density it ends with."""
        start = topology.initial_density(self.density)
        end = topology.final_density(self.density) if isinstance(topology, HasFinalDensity) else self.density
        final = self._allocate(end)
        initial = final if start == end else self._allocate(start)
        masks = draw_masks(initial, self.shapes, self.seed, pattern=self.pattern.name, connect=self.groups)
        self._log_pattern(masks)
        masks = self._initialise(model, masks)
        return Sparsity(model, masks, topology=topology, seed=self.seed, final=final)

    def allocate_base(self, density: float) -> dict[str, float]:
        """Allocates the densities of the layers in the base network of a scaling; none where it is dense."""
        counts = {} if density == 1 else self._allocate(density)
        return {name: count / math.prod(self.shapes[name]) for name, count in counts.items()}

    def _allocate(self, density: float) -> dict[str, int]:
        # Whatever the rule fixes is meant for the density that was asked for, not for a dense phase.
        rule = ALLOCATIONS.build("dense") if density == 1 != self.density else self.rule
        least = count_least(self.shapes, self.groups, self.initialiser)
        return allocate(rule, self.shapes, density, probe=self.probe, least=least)

    @torch.no_grad()
    def _initialise(self, model: nn.Module, masks: Masks) -> Masks:
        """Writes the initial weights, and returns the masks that go with them."""
        if self.initialiser == INITIALISERS.build("model"):
            return masks
        weights, chosen = find_weights(model, masks), {}
        for name, reference in weights.items():
            weight = read_weight(name, reference)
            generator = Streams(self.seed)("initialiser", name)
            values, chosen[name] = self.initialiser(weight.detach(), masks[name], generator)
            weight.copy_(values)
        if not self.initialiser.chooses_masks:
            return masks
        if Masks(chosen).counts() != masks.counts():
            raise MethodError(f"{self.initialiser!r} keeps {Masks(chosen).counts()} weights, not {masks.counts()}.")
        return Masks(chosen)

    def _log_pattern(self, masks: Masks) -> None:
        """Logs which layers do not have the pattern."""
        counts = masks.counts()
        others = [name for name, shape in masks.shapes.items() if not self.pattern.fits(shape, counts[name])]
        if others:
            text = "%d of %d layers have the pattern %s; without it, as sides or counts do not allow it: %s"
            _LOG.info(text, len(masks) - len(others), len(masks), self.pattern.name, ", ".join(others))


def count_least(shapes: Shapes, groups: Mapping[str, int] | None, initialiser: Initialiser) -> dict[str, int] | None:
    """Counts the fewest weights that each layer has to keep; None where one is enough.

    Args:
        shapes: Layer name to shape of its weight.
        groups: Layer name to groups of its convolution, if no unit may be without an input or an output.
        initialiser: Makes the initial weights; one that chooses masks may need more of them.

    Example:
        >>> count_least({"fc": (10, 64)}, None, INITIALISERS.build("eoi"))
        {'fc': 10}
        >>> count_least({"fc": (10, 64)}, {}, INITIALISERS.build("model"))
        {'fc': 64}
    """
    if initialiser.chooses_masks:
        return {name: initialiser.count_least(shape) for name, shape in shapes.items()}
    if groups is None:
        return None
    return {name: count_connecting(shape, groups.get(name, 1)) for name, shape in shapes.items()}
