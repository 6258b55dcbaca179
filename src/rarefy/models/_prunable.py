"""The weights of a module that can be pruned, found by module type, never by a layer's name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from torch import nn
from torch.nn.parameter import Parameter, is_lazy

from rarefy.errors import InvalidInput
from rarefy.models._layers import list_tables, list_weights
from rarefy.models._wrappers import walk_modules


class ParameterRef(NamedTuple):
    """A reference to a parameter: the module that holds it, and its attribute.

    Args:
        module: The module.
        attribute: Name of the parameter in it.

    Example:
        >>> ParameterRef(nn.Linear(2, 3), "weight").attribute
        'weight'
    """

    module: nn.Module
    attribute: str


def prunable(model: nn.Module, *, embeddings: bool = False) -> dict[str, Parameter]:
    """Returns the weights that can be pruned, by name.

    These are the weights of linear, bilinear, convolution, transposed convolution, attention and recurrent layers and
    of their subclasses, of GPT-2's ``Conv1D``, and of every type registered in ``LAYERS``, frozen ones too. Never a
    bias, never a norm layer. A weight that several layers share is returned once, under its first name; a weight shared
    with an embedding counts as the embedding.

    Args:
        model: Any module.
        embeddings: Whether to return embedding tables, too.

    Returns:
        Weights in the order of ``named_parameters()`` and under the same names, less what ``torch.compile``,
        ``DataParallel``, ``DistributedDataParallel``, FSDP, activation checkpointing and ``AveragedModel`` put in front
        of them.

    Raises:
        ValueError: If a weight is lazy and has no shape yet, or is computed from other parameters.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 10))
        >>> {name: tuple(weight.shape) for name, weight in prunable(nn.DataParallel(model)).items()}
        {'0.weight': (8, 3, 3, 3), '3.weight': (10, 8)}
    """
    return {
        name: read_weight(name, reference) for name, reference in find_prunable(model, embeddings=embeddings).items()
    }


def find_prunable(model: nn.Module, *, embeddings: bool = False) -> dict[str, ParameterRef]:
    """Finds the weights that `prunable` returns without reading them: lazy and computed ones are found, too.

    Example:
        >>> list(find_prunable(nn.Sequential(nn.Linear(2, 3), nn.ReLU())))
        ['0.weight']
    """
    tables = {id(module._parameters.get(name)) for module in model.modules() for name in list_tables(module)}
    seen = set() if embeddings else tables
    references = {}
    for prefix, module in walk_modules(model):
        for attribute in list_weights(module, embeddings=embeddings):
            weight = module._parameters.get(attribute)
            if _exists(module, attribute) and (weight is None or id(weight) not in seen):
                seen.add(id(weight))
                references[f"{prefix}{attribute}"] = ParameterRef(module, attribute)
    return references


def find_matrices(model: nn.Module) -> dict[str, ParameterRef]:
    """Finds every parameter of two or more dimensions under all its names, without the prefixes of wrappers.

    Example:
        >>> list(find_matrices(nn.DataParallel(nn.Linear(2, 3))))
        ['weight']
    """
    return {
        f"{prefix}{attribute}": ParameterRef(module, attribute)
        for prefix, module in walk_modules(model)
        for attribute, parameter in module._parameters.items()
        if parameter is not None and not is_lazy(parameter) and parameter.ndim > 1
    }


def find_weights(model: nn.Module, names: Iterable[str]) -> dict[str, ParameterRef]:
    """Finds the weights of these names, whether prunable by type or not.

    Args:
        model: Any module.
        names: Names as `prunable` and `find_matrices` give them.

    Raises:
        ValueError: If there is no such weight, or it is lazy or computed from others.

    Example:
        >>> list(find_weights(nn.Linear(2, 3), ["weight"]))
        ['weight']
    """
    references = find_matrices(model) | find_prunable(model, embeddings=True)
    wanted = list(names)
    missing = [name for name in wanted if name not in references]
    if missing:
        raise InvalidInput(f"The model has no weight {missing[0]!r}. Its weights: {', '.join(references) or 'none'}.")
    for name in wanted:
        read_weight(name, references[name])
    return {name: references[name] for name in wanted}


def read_groups(model: nn.Module, names: Iterable[str]) -> dict[str, int]:
    """Reads into how many groups convolutions divide their channels; layers without groups are left out.

    Args:
        model: Any module.
        names: Names of weights as `find_weights` takes them.

    Example:
        >>> read_groups(nn.Sequential(nn.Conv2d(8, 8, 3, groups=4), nn.Conv2d(8, 8, 1)), ["0.weight", "1.weight"])
        {'0.weight': 4}
    """
    modules = {name: reference.module for name, reference in find_weights(model, names).items()}
    groups = {n: module.groups for n, module in modules.items() if isinstance(module, nn.modules.conv._ConvNd)}
    return {name: count for name, count in groups.items() if count > 1}


def read_weight(name: str, reference: ParameterRef) -> Parameter:
    """Reads a module's own parameter.

    Raises:
        ValueError: If it cannot be masked: it is lazy and has no shape yet, or is computed from other parameters.

    Example:
        >>> tuple(read_weight("fc.weight", ParameterRef(nn.Linear(2, 3), "weight")).shape)
        (3, 2)
    """
    weight = reference.module._parameters.get(reference.attribute)
    if weight is None:
        raise InvalidInput(
            f"{name!r} is not a parameter but computed from others, so it cannot be masked itself. "
            "Take that off first, with remove_parametrizations, remove_weight_norm, remove_spectral_norm or "
            "prune.remove of torch.nn.utils; or leave the layer dense, with exclude."
        )
    if is_lazy(weight):
        raise InvalidInput(f"{name!r} is lazy and has no shape yet. Call the model once on a batch, then ask again.")
    return weight


def _exists(module: nn.Module, attribute: str) -> bool:
    """Checks whether the weight exists, as a parameter or a computed attribute, without computing it."""
    is_parameter = module._parameters.get(attribute) is not None
    return is_parameter or attribute in vars(module) or isinstance(getattr(type(module), attribute, None), property)
