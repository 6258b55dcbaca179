"""What cannot be had together, said when an optimizer is attached and not in the middle of training."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.errors import InvalidInput
from rarefy.masks import Masks
from rarefy.shards import is_sharded
from rarefy.sparsity._optimizers import depends_on_shape, list_groups
from rarefy.sparsity._value_storage import ValueStorageLayer
from rarefy.topology import TOPOLOGIES, HasCountSchedule, HasDormantWeights, Layer, Topology

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
    return bool(topology.needs) or topology.scope == "network" or isinstance(topology, HasCountSchedule)


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


def check_sparse_layers(
    topology: Topology, optimizer: torch.optim.Optimizer, layers: Mapping[str, ValueStorageLayer]
) -> None:
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
    check_shape_free(optimizer, layers)
    if layers and stays_dense(topology):
        raise InvalidInput(
            f"{topology!r} looks at dense gradients or changes how many weights a layer keeps. Where only kept "
            "values are stored, every process has but its own dense gradients, and values of fixed number. Use the "
            "engine 'masked' for this topology in several processes."
        )


def check_shape_free(optimizer: torch.optim.Optimizer, layers: Mapping[str, ValueStorageLayer]) -> None:
    """Says that an optimizer which looks at rows and columns trains vectors of kept values in another way."""
    held = list_groups([optimizer])
    groups = {id(held[key]): held[key] for layer in layers.values() if (key := id(layer.values)) in held}
    if any(depends_on_shape(optimizer, group) for group in groups.values()):
        name = type(optimizer).__name__
        raise InvalidInput(
            f"{name} looks at rows and columns of a weight, and this engine stores kept values only, as vectors: it "
            f"would train otherwise than with all weights. Use {name} with the engine 'masked', or for other layers."
        )


def skip_unused(
    topology: Topology, layers: Iterable[Layer], weights: Mapping[str, Tensor], told: set[str]
) -> list[Layer]:
    """Leaves out layers that the network has not used since the last step, and says so once for each.

    A frozen weight stays: the update says what it lacks. Where counts follow a schedule the layer stays too, and grows
    as if all gradients were 0.

    Args:
        topology: What looks at gradients.
        layers: The layers.
        weights: Name to weight.
        told: Names of the layers that it was said of; added to.
    """
    found = []
    for layer in layers:
        lacks = [need for need in topology.needs if (signal := getattr(layer, need)) is None or not bool(signal.any())]
        if not lacks or not weights[layer.name].requires_grad:
            found.append(layer)
            continue
        if layer.name not in told:
            told.add(layer.name)
            text = "%s has no gradient in an update of the masks (the network has not used it): its mask stays."
            _LOG.warning(text, layer.name)
        if isinstance(topology, HasCountSchedule):
            zeros: dict[str, Any] = {need: torch.zeros_like(layer.weight) for need in lacks}
            found.append(dataclasses.replace(layer, **zeros))
    return found


def check_current(optimizer: torch.optim.Optimizer, replaced: Iterable[nn.Parameter]) -> None:
    """Says that an optimizer is from before an engine was installed: it would train replaced parameters."""
    held = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    if any(id(weight) in held for weight in replaced):
        raise InvalidInput(
            "This optimizer holds weights that the model has no more: it was made before the engine was installed "
            "(or removed). Make it anew from model.parameters() and attach that one."
        )


def check_start(topology: Topology, masks: Masks, *, has_dormant: bool) -> Topology:
    """Says that a topology needs what pruned weights were, which cannot be had once they are zeroed."""
    name = TOPOLOGIES.name_of(topology)
    if isinstance(topology, HasDormantWeights) and not has_dormant:
        raise InvalidInput(
            f"The topology {name!r} trains pruned weights too, which are zero by now. "
            "Name it where the masks are drawn: sparsify(model, ..., topology=...)."
        )
    start = topology.initial_density(masks.density)
    if round(start * masks.total) != masks.kept:
        raise InvalidInput(
            f"The topology {name!r} starts at density {start:g}, the model "
            f"has {masks.density:g}. Name it where the masks are drawn: sparsify(model, ..., topology=...)."
        )
    return topology


def describe_topology(topology: Topology) -> dict[str, str]:
    """Names a topology and its options, to be compared with those of another day.

    Example:
        >>> describe_topology(TOPOLOGIES.build("set", interval=50))["interval"]
        '50'
    """
    names: list[str] = list(getattr(topology, "__dataclass_fields__", {}))
    return {"class": type(topology).__qualname__} | {name: repr(getattr(topology, name)) for name in names}


def check_moves(state: Mapping[str, Any], topology: Topology, seed: int) -> None:
    """Says that a state is of masks that move in another way; options that one side does not know are not compared."""
    there, here = state.get("topology"), describe_topology(topology)
    if there is not None and any(there[name] != here[name] for name in there.keys() & here.keys()):
        raise InvalidInput(
            f"The state is of the topology {there}, here is {here}. Give sparsify or attach the one of the state; "
            "to go on in another way, load the state, detach, and attach with the other topology."
        )
    if state.get("seed", seed) != seed:
        raise InvalidInput(
            f"The state is of the seed {state['seed']}, here is {seed}: masks would move by other random choices. "
            f"Call sparsify with seed={state['seed']}."
        )
