"""The scaling of one network: what its parameters are compared with, and the factors that follow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from rarefy.errors import InvalidInput
from rarefy.models import find_matrices, find_prunable, unwrap_name
from rarefy.registry import Registry, UnknownName
from rarefy.scaling import SCALINGS, Factors, LayerRatio, OptimizerKind, ScalingRule, scale
from rarefy.sparsity._masked_model import MaskedModel
from rarefy.topology import TOPOLOGIES, HasCountSchedule, Topology

Shape = tuple[int, ...]


class NetworkScaling:
    """Computes the factors of every parameter of a network.

    Args:
        rule: The rule.
        base_densities: Masked weight's name to its density in the base network; those left out have the rule's.
        base_model: The network for which hyper-parameters were found, with the same names of parameters; None if it
            has the same widths.
    """

    def __init__(
        self, rule: ScalingRule, *, base_densities: Mapping[str, float], base_model: nn.Module | None = None
    ) -> None:
        self.rule = rule
        self._base_densities = dict(base_densities)
        self._base_shapes = None if base_model is None else _list_shapes(base_model)

    def compute_factors(self, masked: MaskedModel, optimizer: OptimizerKind | None) -> dict[int, Factors]:
        """Computes the factors of all parameters, by their ids; those left out keep their hyper-parameters.

        Args:
            masked: The masked model.
            optimizer: Kind of optimizer; None for one that does not matter, as no width differs.

        Raises:
            InvalidInput: If the kind matters and is not given, or the base model has other parameters.
        """
        if optimizer is None and self._base_shapes is not None:
            raise InvalidInput(
                "Adam's learning rates follow the width otherwise than those of SGD: say which kind of optimizer this "
                "is, optimizer='adam' (any that divides a gradient by its size) or optimizer='sgd'.",
                name="optimizer",
            )
        ratios = self._compare_widths(masked)
        counts, sizes = masked.masks.counts(), masked.masks.shapes
        for name, weight in masked.weights().items():
            density = counts[name] / math.prod(sizes[name]) / self._base_densities.get(name, self.rule.base_density)
            width = ratios.get(id(weight), LayerRatio())
            ratios[id(weight)] = LayerRatio(density or 1.0, width.inputs, width.outputs)  # a layer may keep nothing
        return {key: scale(self.rule, ratio, optimizer or "adam") for key, ratio in ratios.items()}

    def _compare_widths(self, masked: MaskedModel) -> dict[int, LayerRatio]:
        """Compares the shapes of all parameters with those in the base model, by id; nothing without one."""
        if self._base_shapes is None:
            return {}
        model, masks = masked.model, masked.masks
        names = {id(weight): name for name, weight in masked.weights().items()}
        tables, matrices = _find_tables(model), _find_known(model)
        ratios = {}
        for place, parameter in model.named_parameters():
            name = names.get(id(parameter)) or unwrap_name(model, place) or place
            shape = masks.shapes[name] if name in masks else tuple(parameter.shape)
            ratios[id(parameter)] = compare_shapes(
                shape,
                self._find_base(name, shape),
                in_first=id(parameter) in tables,
                is_matrix=name in masks or id(parameter) in matrices,
            )
        return ratios

    def _find_base(self, name: str, shape: Shape) -> Shape:
        base = (self._base_shapes or {}).get(name)
        if base is None or len(base) != len(shape):
            raise InvalidInput(
                f"The base model has {'no' if base is None else f'a {base}'} {name!r}, this model one of {shape}. It "
                "is the same network in another width: every parameter has the same name and number of dimensions.",
                name=name,
            )
        return base


def compare_shapes(shape: Shape, base: Shape, *, in_first: bool, is_matrix: bool) -> LayerRatio:
    """Compares the shapes of one parameter.

    Args:
        shape: In this network, ``(out, in, ...)`` for a layer's weight.
        base: In the base network.
        in_first: Whether it is ``(in, out, ...)``: tables of embeddings, transposed convolutions.
        is_matrix: Whether it is the weight of a layer; other parameters that grow along one side are sums, not factors.
    """
    ratios = [here / there for here, there in zip(shape, base, strict=True)]
    if len(ratios) < 2 or (not is_matrix and not in_first and sum(ratio != 1 for ratio in ratios) < 2):
        return LayerRatio(outputs=math.prod(ratios))
    outputs, inputs = (ratios[1], ratios[0]) if in_first else (ratios[0], ratios[1])
    return LayerRatio(inputs=inputs * math.prod(ratios[2:]), outputs=outputs)


def check_counts_stay(rule: ScalingRule, topology: Topology) -> None:
    """Checks that the topology keeps each layer's count of weights, if the scaling rule needs that.

    Raises:
        InvalidInput: If it does not.

    Example:
        >>> from rarefy.scaling import SCALINGS
        >>> from rarefy.topology import TOPOLOGIES
        >>> check_counts_stay(SCALINGS.build("supar"), TOPOLOGIES.build("set"))  # raises nothing
    """
    if not rule.needs_fixed_counts:
        return
    if isinstance(topology, HasCountSchedule) or topology.scope == "network":
        raise InvalidInput(
            f"The scaling {_name(SCALINGS, rule)} derives initial weights and rates from how many weights a layer "
            f"keeps, and the topology {_name(TOPOLOGIES, topology)} changes that while it trains: what fits the first "
            "step does not fit the last. Use the scaling none or fan_in, or a topology under which every layer keeps "
            "its count: static, set, rigl.",
            name="scaling",
            value=rule,
        )


def _name(registry: Registry[Any], method: object) -> str:
    """Names a method as it is registered, or as it prints if it is not."""
    try:
        return repr(registry.name_of(method))
    except UnknownName:
        return repr(method)


@torch.no_grad()
def scale_initial_weights_(scaling: NetworkScaling, masked: MaskedModel) -> None:
    """Multiplies the parameters of a network, which has not been trained, by their factors."""
    factors = {key: factor.initial for key, factor in scaling.compute_factors(masked, "adam").items()}
    weights = masked.weights()
    if masked.dormant is not None:
        masked.dormant.put_in_(weights, weights)
    for parameter in masked.model.parameters():
        if factors.get(id(parameter), 1.0) != 1:
            parameter.mul_(factors[id(parameter)])
    if masked.dormant is not None:
        masked.dormant.take_out_(weights, masked.masks, weights)


def _list_shapes(model: nn.Module) -> dict[str, Shape]:
    named = model.named_parameters(remove_duplicate=False)
    return {unwrap_name(model, name) or name: tuple(parameter.shape) for name, parameter in named}


def _find_known(model: nn.Module) -> set[int]:
    places: Sequence[tuple[nn.Module, str]] = list(find_prunable(model, embeddings=True).values())
    return {id(module._parameters.get(attribute)) for module, attribute in places}


def _find_tables(model: nn.Module) -> set[int]:
    """Finds weights whose first side is the input's: embeddings, transposed convolutions, GPT-2's ``Conv1D``."""
    transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    tables = find_prunable(model, embeddings=True).keys() - find_prunable(model).keys()
    return {
        id(module._parameters.get(attribute))
        for name, (module, attribute) in find_matrices(model).items()
        if name in tables or isinstance(module, transposed) or type(module).__name__ == "Conv1D"
    }
