"""What cannot be had together, said when an optimizer is attached and not in the middle of training."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch

from rarefy.errors import InvalidInput
from rarefy.shards import is_sharded
from rarefy.sparsity._compact import Compact
from rarefy.topology import TOPOLOGIES, Scheduled, Topology

_LOG = logging.getLogger("rarefy")


def stays_dense(topology: Topology) -> bool:
    """Whether a topology cannot be had with layers of kept values only, because several processes train together.

    Example:
        >>> from rarefy.topology import TOPOLOGIES
        >>> stays_dense(TOPOLOGIES.build("rigl"))  # in one process everything can be had
        False
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return False
    return bool(topology.needs) or topology.scope == "network" or isinstance(topology, Scheduled)


def check_plan(topology: Topology, steps: int | None) -> None:
    """Says what a topology lacks, and that it will never move in so many steps."""
    topology.is_due(1, steps)
    interval = getattr(topology, "interval", None)
    if interval and steps and not any(topology.is_due(step, steps) for step in range(interval, steps + 1, interval)):
        text = "The masks will never move: %r makes no update in %d steps. Give it a shorter interval."
        _LOG.warning(text, topology, steps)


def check_fixed(topology: Topology, layers: Sequence[str]) -> None:
    """Says that masks cannot move where layers compute with the masks there are."""
    if layers and topology != TOPOLOGIES.build("static"):
        raise InvalidInput(
            f"{topology!r} moves masks, on which the kernels of {layers[0]!r} rely: use the engine 'masked' for that."
        )


def check_compact(topology: Topology, optimizer: torch.optim.Optimizer, layers: Mapping[str, Compact]) -> None:
    """Says what cannot be had where layers store kept values only."""
    if any(is_sharded(layer.values) for layer in layers.values()):
        raise InvalidInput(
            "Layers that store kept values only cannot be sharded: they are vectors whose length follows the masks. "
            "Use the engine 'masked' with fully_shard, or DistributedDataParallel."
        )
    if layers and isinstance(optimizer, torch.optim.LBFGS) and getattr(topology, "interval", None):
        raise InvalidInput(
            "LBFGS remembers all weights in one vector, which cannot follow masks that move where only kept values "
            "are stored. Use the engine 'masked', or a topology that does not move."
        )
    if layers and stays_dense(topology):
        raise InvalidInput(
            f"{topology!r} looks at dense gradients or changes how many weights a layer keeps. Where only kept "
            "values are stored, every process has but its own dense gradients, and values of fixed number. Use the "
            "engine 'masked' for this topology in several processes."
        )
