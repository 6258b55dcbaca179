"""Makes a model sparse."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import Tensor, nn

from rarefy.allocation import ALLOCATIONS, DensityRule, Probe, SaliencyRule
from rarefy.errors import InvalidInput
from rarefy.masks import Masks, Pattern
from rarefy.models import read_groups
from rarefy.scaling import SCALINGS, ScalingRule
from rarefy.shards import is_sharded, shard_like, to_full, to_local
from rarefy.sparsity._checks import check_connects, check_initialiser, check_pattern
from rarefy.sparsity._initialisers import INITIALISERS, Initialiser
from rarefy.sparsity._mask_draw import MaskDraw
from rarefy.sparsity._network_scaling import NetworkScaling, check_counts_stay, scale_initial_weights_
from rarefy.sparsity._select import WeightFilter, select_weights
from rarefy.sparsity._sparsity import Sparsity
from rarefy.sparsity._value_storage import ValueStorageLayer
from rarefy.topology import TOPOLOGIES, Topology, count_active_units

_LOG = logging.getLogger("rarefy")
Allocation = str | Mapping[str, float] | DensityRule | SaliencyRule


def sparsify(
    model: nn.Module,
    *,
    density: float | None = None,
    allocation: Allocation = "erk",
    topology: str | Topology = "static",
    seed: int = 17,
    sample: tuple[Tensor, Tensor] | None = None,
    loss: Callable[[Tensor, Tensor], Tensor] = nn.functional.cross_entropy,
    scaling: str | ScalingRule = "none",
    base_model: nn.Module | None = None,
    scaled: bool = False,
    pattern: str = "unstructured",
    connect: bool = False,
    initialiser: str | Initialiser = "model",
    include: Iterable[WeightFilter] = ("*",),
    exclude: Iterable[WeightFilter] = (),
    embeddings: bool = False,
    from_weights: bool = False,
) -> Sparsity:
    """Prunes a model at random before training, and returns a `Sparsity` that keeps it sparse.

    The masks are a function of (seed, layer name, count): the same on every machine, rank and version, nested across
    densities, and exact: ``sum(kept) == round(density * total)``.

    Args:
        model: Any module. Its convolution and linear weights are masked, found by module type; biases and norms never.
            It may be wrapped or sharded (``fully_shard``) before or after this call.
        density: Fraction of those weights kept, in (0, 1].
        allocation: How many weights each layer keeps: a registered name (``"erk"``, ``"uniform"``, ...), a mapping of
            name patterns to densities (the other layers share the rest), or a rule.
        topology: How the masks move while training: a registered name or a value. ``"static"`` never moves them.
        seed: Seed of the masks.
        sample: ``(inputs, targets)``, for allocations that look at data (snip, grasp, synflow).
        loss: ``loss(outputs, targets)`` -> scalar, for the same allocations.
        scaling: How initial weights and learning rates follow each layer's density and width: ``"none"``,
            ``"fan_in"``, ``"mup"``, ``"supar"``, or a value. It multiplies the initial weights here; make the optimizer
            from `Sparsity.param_groups` for the rates.
        base_model: For ``mup`` and ``supar``: the network for which the rates were found, if it has another width: the
            same names of parameters, other shapes (it may be on the meta device).
        scaled: Short for ``scaling="fan_in"``.
        pattern: Which weights are kept or removed together: ``"out8"`` for groups of 8 consecutive output channels
            (or another number), ``"in4"`` of 4 input channels, ``"kernel"`` of all positions of a kernel; or ``"2:4"``
            for masks with GPU kernels (the engine ``nm``), in layers that keep exactly half of their weights and whose
            sides are multiples of four. The pattern does not change the counts. See `rarefy.masks.draw_masks`.
        connect: Leave no unit without an input or an output: every output channel keeps a weight in each layer, and
            every input channel, too. Layers with too few weights for that get some from the others, so that the sum is
            exact; apart from that only units that would have none change the masks. It is about the masks that are
            drawn: a topology may move them away.
        initialiser: Initial weights of the masked layers: ``"model"`` leaves them as they are, ``"fan_in"`` draws from
            N(0, 2 / fan_in), ``"eoi"`` makes exactly orthogonal ones, and the masks along with them, or a value.
        include: Which weights to mask: globs over their names, with or without ``.weight``, or module types. A glob
            that matches none of them may name other parameters of two or more dimensions.
        exclude: Which of these to leave dense, in the same form. They may be parametrised.
        embeddings: Also mask embedding tables.
        from_weights: Use the zeros in the weights as the masks; leave `density` out then.

    Returns:
        The `Sparsity`; call its ``attach(optimizer)`` before training.

    Raises:
        InvalidInput: If the model has nothing to prune, the density is impossible, a glob matches nothing, or the
            allocation needs a `sample`; or if no layer can have the pattern, or the topology moves the masks.

    Example:
        >>> model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        >>> sparsity = sparsify(model, density=0.1, allocation="uniform", seed=17)
        >>> sparsity.kept == round(0.1 * (64 * 32 + 32 * 10))
        True

    References:
        Liu et al., 2022, arXiv:2202.02643, section 3.
    """
    _check_dense(model)
    weights = select_weights(model, embeddings=embeddings, include=include, exclude=exclude)
    moves = TOPOLOGIES.build(topology) if isinstance(topology, str) else topology
    scales = _build_scaling(scaling, scaled, moves)
    structure, initialises = _parse_draw(pattern, initialiser, moves, scales, connect, from_weights)
    base_densities: dict[str, float] = {}
    if from_weights or density is None:
        sparsity = _read_sparsity(model, weights, density, from_weights, moves, seed)
    else:
        probe = None if sample is None else _build_probe(model, weights, sample, loss)
        groups = _read_groups(model, weights, connect, initialises)
        rule, shapes = _build_allocation(allocation), _list_shapes(weights)
        draw = MaskDraw(rule, shapes, density, seed, structure, probe, groups, initialises)
        sparsity = draw.make_sparsity(model, moves)
        base_densities = draw.allocate_base(scales.base_density)
        _warn_about_zeros(sparsity, initialises)
    sparsity.scaling = NetworkScaling(scales, base_densities=base_densities, base_model=base_model)
    scale_initial_weights_(sparsity.scaling, sparsity.masked_model)
    _warn_about_dead_units(sparsity)
    return sparsity


def _parse_draw(
    pattern: str,
    initialiser: str | Initialiser,
    topology: Topology,
    scaling: ScalingRule,
    connect: bool,
    from_weights: bool,
) -> tuple[Pattern, Initialiser]:
    """Parses what decides the masks and initial weights; raises InvalidInput if these do not go together."""
    structure = check_pattern(pattern, topology)
    rule = INITIALISERS.build(initialiser) if isinstance(initialiser, str) else initialiser
    if connect:
        check_connects(structure, topology, from_weights=from_weights)
    check_initialiser(rule, scaling, structure, connect=connect, from_weights=from_weights)
    return structure, rule


def _check_dense(model: nn.Module) -> None:
    if any(isinstance(module, ValueStorageLayer) for module in model.modules()):
        raise InvalidInput("This model is sparse already, by an engine. Call rarefy.use_dense(model, sparsity) first.")


def _build_scaling(scaling: str | ScalingRule, scaled: bool, topology: Topology) -> ScalingRule:
    rule = SCALINGS.build(scaling) if isinstance(scaling, str) else scaling
    fan_in, none = SCALINGS.build("fan_in"), SCALINGS.build("none")
    if scaled and rule not in (fan_in, none):
        raise InvalidInput(f"scaled=True is short for scaling='fan_in', and scaling={scaling!r} is given: give one.")
    check_counts_stay(rule, topology)
    return fan_in if scaled else rule


def _read_groups(
    model: nn.Module, weights: Mapping[str, nn.Parameter], connect: bool, initialiser: Initialiser
) -> dict[str, int] | None:
    """Reads the groups of convolutions, to connect units; raises InvalidInput if an initialiser cannot have any."""
    if not connect and not initialiser.chooses_masks:
        return None
    groups = read_groups(model, weights)
    if initialiser.chooses_masks and (groups or any(map(is_sharded, weights.values()))):
        reason = f"{next(iter(groups))!r} is a convolution with groups" if groups else "weights are sharded"
        raise InvalidInput(
            f"{initialiser!r} makes the matrix of a whole layer, and {reason}: leave the layer out with exclude, or "
            "use another initialiser (before fully_shard).",
            name="initialiser",
            value=initialiser,
        )
    return groups if connect else None


def _list_shapes(weights: Mapping[str, nn.Parameter]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in weights.items()}


def _build_probe(
    model: nn.Module,
    weights: Mapping[str, nn.Parameter],
    sample: tuple[Tensor, Tensor],
    loss: Callable[[Tensor, Tensor], Tensor],
) -> Probe:
    if any(map(is_sharded, weights.values())):
        raise InvalidInput(
            "Allocations that look at data compute the gradients of a copy, and a sharded model cannot be copied. Call "
            "sparsify before fully_shard; the masks follow."
        )
    return Probe(model, weights, sample[0], sample[1], loss)


def _build_allocation(allocation: Allocation) -> Any:
    if isinstance(allocation, str):
        return ALLOCATIONS.build(allocation)
    return ALLOCATIONS.build("custom", densities=dict(allocation)) if isinstance(allocation, Mapping) else allocation


def _read_sparsity(
    model: nn.Module,
    weights: Mapping[str, nn.Parameter],
    density: float | None,
    wanted: bool,
    topology: Topology,
    seed: int,
) -> Sparsity:
    if not wanted or density is not None:
        raise InvalidInput(
            "Give either density=..., to draw masks, or from_weights=True, to use the zeros that are there: "
            f"got density={density} and from_weights={wanted}."
        )
    masks = Masks({name: to_full(weight.detach() != 0) for name, weight in weights.items()})
    return Sparsity(model, masks, topology=topology, seed=seed)


def _warn_about_zeros(sparsity: Sparsity, initialiser: Initialiser) -> None:
    """Warns if kept weights are 0 already, as after another sparsify: fewer are trained than the masks count."""
    if initialiser.chooses_masks:  # some of its weights start at 0
        return
    weights, zeros = sparsity.weights(), {}
    for name, mask in sparsity.masks.items():
        weight = to_local(weights[name].detach())
        if weight.is_meta:  # it has no values yet
            continue
        nonzero, kept = int(weight.count_nonzero()), int(to_local(shard_like(mask, weights[name])).sum())
        if 0 < nonzero < kept:  # a layer may be initialised with zeros only
            zeros[name] = kept - nonzero
    if zeros:
        text = (
            "%d of the weights that are kept are 0 already, in %s. Was the model pruned before, with another seed? "
            "Take a new model, or its zeros as the masks: sparsify(model, from_weights=True)."
        )
        _LOG.warning(text, sum(zeros.values()), ", ".join(zeros))


def _warn_about_dead_units(sparsity: Sparsity) -> None:
    """Logs which layers have inputs or outputs without any weight."""
    for name, mask in sparsity.masks.items():
        units = count_active_units(mask)
        if not units.outputs:
            _LOG.warning("%s keeps no weight at all: the layers after it get no signal from the input", name)
        elif units.dead_outputs or units.dead_inputs:
            dead = f"{units.dead_outputs} of {units.outputs + units.dead_outputs} outputs"
            _LOG.info("%s: %s and %s inputs have no weight left", name, dead, units.dead_inputs)
