"""Refuses combinations that do not work when an optimizer is attached, not in the middle of training."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from rarefy.errors import InvalidInput
from rarefy.masks import GroupPattern, Masks, Pattern, check_connect, parse_pattern
from rarefy.scaling import SCALINGS, ScalingRule
from rarefy.shards import is_sharded
from rarefy.sparsity._initialisers import INITIALISERS, Initialiser
from rarefy.sparsity._optimizers import depends_on_shape, list_groups
from rarefy.sparsity._value_storage import ValueStorageLayer
from rarefy.topology import (
    TOPOLOGIES,
    GroupTopology,
    HasCountSchedule,
    HasDormantWeights,
    Layer,
    Topology,
    explain_group_refusal,
)

_LOG = logging.getLogger("rarefy")


def stays_dense(topology: Topology) -> bool:
    """Whether a topology needs dense layers because several processes train together.

    Example:
        >>> from rarefy.topology import TOPOLOGIES
        >>> stays_dense(TOPOLOGIES.build("rigl"))  # in one process no topology does
        False
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return False
    return bool(topology.needs) or topology.scope == "network" or isinstance(topology, HasCountSchedule)


def check_connects(pattern: Pattern, topology: Topology, *, from_weights: bool = False) -> None:
    """Raises InvalidInput if ``connect`` has no mask to draw, or not one of single weights.

    Example:
        >>> from rarefy.masks import parse_pattern
        >>> check_connects(parse_pattern("unstructured"), TOPOLOGIES.build("static"))  # raises nothing
    """
    check_connect(pattern)
    if from_weights or topology.initial_density(0.5) == 1:
        source = "from_weights=True takes the zeros that are there" if from_weights else f"{topology!r} starts dense"
        raise InvalidInput(
            f"connect is about masks that are drawn, and {source}, so that none are: leave connect out.",
            name="connect",
            value=True,
        )


def check_initialiser(
    initialiser: Initialiser,
    scaling: ScalingRule,
    pattern: Pattern,
    *,
    connect: bool = False,
    from_weights: bool = False,
) -> None:
    """Raises InvalidInput if an initialiser does not go together with other options.

    Example:
        >>> from rarefy.masks import parse_pattern
        >>> from rarefy.scaling import SCALINGS
        >>> eoi, none = INITIALISERS.build("eoi"), SCALINGS.build("none")
        >>> check_initialiser(eoi, none, parse_pattern("unstructured"))  # raises nothing
    """
    reason = ""
    if from_weights and initialiser != INITIALISERS.build("model"):
        reason = "from_weights=True takes the weights that are there"
    elif initialiser.chooses_masks and (connect or pattern.name != "unstructured"):
        reason = "connect" if connect else f"the pattern {pattern.name!r}"
        reason += " draws masks, and this initialiser makes its own"
    elif initialiser.chooses_masks and scaling != SCALINGS.build("none"):
        reason = f"{scaling!r} multiplies initial weights by factors, after which they are not orthogonal"
    if reason:
        raise InvalidInput(
            f"{initialiser!r} cannot be used here: {reason}. Leave one of them out.",
            name="initialiser",
            value=initialiser,
        )


def check_plan(topology: Topology, steps: int | None) -> None:
    """Raises InvalidInput if the topology needs `steps`; warns if the masks will never move in so many steps."""
    topology.is_due(1, steps)
    interval = getattr(topology, "interval", None)
    if interval and steps and not any(topology.is_due(step, steps) for step in range(interval, steps + 1, interval)):
        text = "The masks will never move: %r makes no update in %d steps. Give it a shorter interval."
        _LOG.warning(text, topology, steps)


def check_pattern(name: str, topology: Topology) -> Pattern:
    """Parses a pattern; raises InvalidInput if the topology moves masks and would not keep to it."""
    pattern = parse_pattern(name)
    if isinstance(pattern, GroupPattern) and (reason := explain_group_refusal(topology)):
        raise InvalidInput(
            f"{topology!r} cannot move masks of the pattern {pattern.name!r} in whole groups: {reason}. Topologies "
            f"that can: {', '.join(_list_group_topologies())}."
        )
    if pattern.name == "2:4" and topology != TOPOLOGIES.build("static"):
        raise InvalidInput(
            f"The pattern '2:4' lasts while masks stay, and {topology!r} moves them. Use topology='static' (--fix)."
        )
    return pattern


def _list_group_topologies() -> list[str]:
    return [name for name in TOPOLOGIES.names() if not explain_group_refusal(TOPOLOGIES.build(name))]


def keep_to_groups(topology: Topology, masks: Masks) -> Topology:
    """Makes a topology move whole groups, where the masks are in groups."""
    pattern = parse_pattern(masks.pattern)
    return GroupTopology(topology, pattern) if isinstance(pattern, GroupPattern) else topology


def check_fixed(topology: Topology, layers: Sequence[str]) -> None:
    """Raises InvalidInput if the topology moves masks that kernels rely on."""
    if layers and topology != TOPOLOGIES.build("static"):
        raise InvalidInput(
            f"{topology!r} moves masks, on which the kernels of {layers[0]!r} rely: use the engine 'masked' for that."
        )


def check_sparse_layers(
    topology: Topology, optimizer: torch.optim.Optimizer, layers: Mapping[str, ValueStorageLayer]
) -> None:
    """Raises InvalidInput if optimizer or topology cannot work with layers that store only kept values."""
    if any(is_sharded(layer.values) for layer in layers.values()):
        raise InvalidInput(
            "Layers that store kept values only cannot be sharded: they are vectors whose length follows the masks. "
            "Use the engine 'masked' with fully_shard, or DistributedDataParallel."
        )
    if layers and isinstance(optimizer, torch.optim.LBFGS) and topology != TOPOLOGIES.build("static"):
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
    """Raises InvalidInput if the optimizer looks at rows and columns, which vectors of kept values do not have."""
    held = list_groups([optimizer])
    groups = {id(held[key]): held[key] for layer in layers.values() if (key := id(layer.values)) in held}
    if any(depends_on_shape(optimizer, group) for group in groups.values()):
        name = type(optimizer).__name__
        raise InvalidInput(
            f"{name} looks at rows and columns of a weight, and this engine stores kept values only, as vectors: it "
            f"would train otherwise than with all weights. Use {name} with the engine 'masked', or for other layers."
        )


def skip_unused(
    topology: Topology, layers: Iterable[Layer], weights: Mapping[str, Tensor], warned: set[str]
) -> list[Layer]:
    """Leaves out layers that the network has not used since the last step, and warns once for each.

    A frozen weight stays: the update raises an error for it. Where counts follow a schedule the layer stays too, and
    grows as if all gradients were 0.

    Args:
        topology: The topology that looks at gradients.
        layers: The layers.
        weights: Name to weight.
        warned: Names of the layers already warned of; added to.
    """
    used = []
    for layer in layers:
        lacks = [need for need in topology.needs if (signal := getattr(layer, need)) is None or not bool(signal.any())]
        if not lacks or not weights[layer.name].requires_grad:
            used.append(layer)
            continue
        if layer.name not in warned:
            warned.add(layer.name)
            text = "%s has no gradient in an update of the masks (the network has not used it): its mask stays."
            _LOG.warning(text, layer.name)
        if isinstance(topology, HasCountSchedule):
            zeros: dict[str, Any] = {need: torch.zeros_like(layer.weight) for need in lacks}
            used.append(dataclasses.replace(layer, **zeros))
    return used


def check_current(optimizer: torch.optim.Optimizer, replaced: Iterable[nn.Parameter]) -> None:
    """Raises InvalidInput if the optimizer was made before an engine replaced its parameters."""
    held = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    if any(id(weight) in held for weight in replaced):
        raise InvalidInput(
            "This optimizer holds weights that the model has no more: it was made before the engine was installed "
            "(or removed). Make it again from model.parameters() and attach that one."
        )


def check_start(topology: Topology, masks: Masks, *, has_dormant: bool) -> Topology:
    """Raises InvalidInput if a topology needs other masks or pruned values than are there after `sparsify`."""
    name = TOPOLOGIES.name_of(topology)
    if isinstance(topology, HasDormantWeights) and not has_dormant:
        raise InvalidInput(
            f"The topology {name!r} trains pruned weights too, which are zero by now. "
            "Name it where the masks are drawn: sparsify(model, ..., topology=...)."
        )
    if isinstance(parse_pattern(masks.pattern), GroupPattern):
        check_pattern(masks.pattern, topology)
    start = topology.initial_density(masks.density)
    if round(start * masks.total) != masks.kept:
        raise InvalidInput(
            f"The topology {name!r} starts at density {start:g}, the model "
            f"has {masks.density:g}. Name it where the masks are drawn: sparsify(model, ..., topology=...)."
        )
    return topology


def describe_topology(topology: Topology) -> dict[str, str]:
    """Describes a topology and its options as text, to compare a saved state with.

    Example:
        >>> describe_topology(TOPOLOGIES.build("set", interval=50))["interval"]
        '50'
    """
    names: list[str] = list(getattr(topology, "__dataclass_fields__", {}))
    return {"class": type(topology).__qualname__} | {name: repr(getattr(topology, name)) for name in names}


def check_moves(state: Mapping[str, Any], topology: Topology, seed: int) -> None:
    """Raises InvalidInput if a state has another topology or seed; options that only one side has are ignored."""
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
