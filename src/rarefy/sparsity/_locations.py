"""Finds masked weights in a model, in its copies and in its state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from rarefy.errors import InvalidInput
from rarefy.masks import Masks
from rarefy.models import ParameterRef, find_weights, read_weight, unwrap_name
from rarefy.sparsity._changes import make_error
from rarefy.sparsity._value_storage import ValueStorageLayer


def find_locations(model: nn.Module, masks: Masks, names: Mapping[str, str]) -> dict[str, ParameterRef]:
    """Finds the module and attribute of each masked weight.

    Args:
        model: The model.
        masks: The masks.
        names: Mask's name to the weight's name in this model, where they differ.

    Raises:
        ValueError: If the model has no such weight.
    """
    own = find_weights(model, [names.get(name, name) for name in masks])
    return {name: own[names.get(name, name)] for name in masks}


def find_output(model: nn.Module, weights: Mapping[str, nn.Parameter]) -> str | None:
    """Finds the name of the model's last layer: the last matrix or kernel it registers, None if that is not masked."""
    matrices = [weight for _, weight in model.named_parameters(remove_duplicate=False) if not is_lazy(weight)]
    last = [weight for weight in matrices if weight.ndim > 1][-1:]
    return next((name for name, weight in weights.items() if last and weight is last[0]), None)


def zero_pruned_copy_(model: nn.Module, masks: Masks, sparse: Iterable[str], names: Mapping[str, str]) -> None:
    """Sets pruned weights of a copy to 0 (an EMA average, a dense replica); sparse layers of a copy have none.

    Args:
        model: The copy.
        masks: The masks.
        sparse: Names of the layers of the original that store only kept values, in the order of registration.
        names: Mask's name to the weight's name in the copy, where they differ.

    Raises:
        InvalidInput: If the copy has other layers, or holds the values of older masks.
    """
    layers = [module for module in model.modules() if isinstance(module, ValueStorageLayer)]
    stored = list(sparse) if layers else []
    if len(layers) != len(stored):
        raise InvalidInput(f"The copy stores {len(layers)} layers by their kept values, the original {len(stored)}.")
    for name, layer in zip(stored, layers, strict=True):
        if not torch.equal(layer.pattern.mask(), masks[name].cpu()):
            raise InvalidInput(
                f"The masks have moved: the copy's values of {name!r} belong to other weights, so that an average of "
                "them is meaningless. Average a model whose masks move with the engine 'masked'."
            )
    dense = {name: names.get(name, name) for name in masks if name not in stored}
    locations = find_weights(model, dense.values())
    weights: dict[str, Tensor] = {name: read_weight(own, locations[own]) for name, own in dense.items()}
    masks.apply_(weights)


def unwrap_names(model: nn.Module, state: Mapping[str, Any]) -> dict[str, Any]:
    """Removes the prefixes of wrappers from names, and entries that belong to the wrappers themselves."""
    plain = {name: unwrap_name(model, name) for name in state}
    return {own: state[name] for name, own in plain.items() if own is not None}


def name_weights(state: Mapping[str, Any], weights: Mapping[str, Tensor]) -> dict[int, str]:
    """Maps the id of each masked value of the state to the name of its mask.

    These are the weights themselves or, if the model is a copy, values of the same names and shapes.

    Args:
        state: The model's state, under names without wrappers.
        weights: Name to masked weight.

    Raises:
        ModelChanged: If a weight is missing.
    """
    ids = {id(value) for value in state.values()}
    named = {id(weight): name for name, weight in weights.items() if id(weight) in ids}
    for name in weights.keys() - named.values():
        value = state.get(name)
        if not isinstance(value, Tensor) or value.shape != weights[name].shape:
            raise make_error(
                name,
                "is not in the model that is to be saved. Save the model that was given to sparsify, or call sparsify "
                "on this one.",
            )
        named[id(value)] = name
    return named


def rename_masks(state: Mapping[str, Any], masked: Mapping[int, str]) -> dict[str, str]:
    """Maps the name of a mask to the first name of its weight in the state, where no name is the mask's own."""
    names: dict[str, str] = {}
    for name, value in state.items():
        if id(value) in masked and id(state.get(masked[id(value)])) != id(value):
            names.setdefault(masked[id(value)], name)
    return names
