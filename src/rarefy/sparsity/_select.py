"""Selects weights of a model by glob or by module type."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from torch import nn
from torch.nn.parameter import is_lazy

from rarefy.allocation import matches_glob
from rarefy.errors import InvalidInput
from rarefy.models import ParameterRef, find_matrices, find_prunable, read_weight
from rarefy.sparsity._registries import get_parameters
from rarefy.sparsity._uses import check_uses

_LOG = logging.getLogger("rarefy")
WeightFilter = str | type[nn.Module]  # a glob over names, or a module type


def select_weights(
    model: nn.Module, *, embeddings: bool, include: Iterable[WeightFilter], exclude: Iterable[WeightFilter]
) -> dict[str, nn.Parameter]:
    """Selects the weights that some `include` matches and no `exclude` does; the others are not looked at.

    A glob in `include` that matches no prunable weight may name other parameters of two or more dimensions.

    Args:
        model: The module that holds the weights.
        embeddings: Whether tables of embeddings are prunable.
        include: Globs (``"layer1.*"``), matched against the name with and without its ``.weight``, or module types.
        exclude: The same.

    Raises:
        InvalidInput: If a glob or type matches nothing, no weight is left, or a layer computes with another weight.
    """
    include, exclude = list(include), list(exclude)
    prunable, others = find_prunable(model, embeddings=embeddings), find_matrices(model)
    named = [which for which in include if not _filter(prunable, [which]) and _filter(others, [which])]
    candidates = _merge(prunable, _filter(others, named))
    if not candidates:
        raise InvalidInput(f"{type(model).__name__} has no convolution or linear weight to prune.{_hint(others)}")
    for which in [*include, *exclude]:
        if not _filter(candidates | others, [which]):
            label = which if isinstance(which, str) else which.__name__
            raise InvalidInput(f"The pattern {label!r} matches no prunable weight. There are: {', '.join(candidates)}.")
    excluded = _filter(candidates, exclude)
    selected = {name: place for name, place in _filter(candidates, include).items() if name not in excluded}
    if not selected:
        raise InvalidInput(f"include and exclude leave no weight to prune of: {', '.join(candidates)}.")
    check_uses({name: place.module for name, place in selected.items()})
    if not named:
        _warn_about_others(model, prunable)
    return {name: read_weight(name, place) for name, place in selected.items()}


def _filter(places: Mapping[str, ParameterRef], filters: Iterable[WeightFilter]) -> dict[str, ParameterRef]:
    return {n: place for n, place in places.items() if any(_matches(n, place, which) for which in filters)}


def _matches(name: str, place: ParameterRef, which: WeightFilter) -> bool:
    if isinstance(which, str):
        return matches_glob(name, which)
    return isinstance(place.module, which)


def _merge(places: Mapping[str, ParameterRef], further: Mapping[str, ParameterRef]) -> dict[str, ParameterRef]:
    """Adds further parameters, each once."""
    merged = dict(places)
    seen = {id(get_parameters(module).get(attribute)) for module, attribute in places.values()}
    for name, (module, attribute) in further.items():
        weight = get_parameters(module)[attribute]
        if id(weight) not in seen:
            seen.add(id(weight))
            merged[name] = ParameterRef(module, attribute)
    return merged


def _hint(others: Mapping[str, ParameterRef]) -> str:
    if not others:
        return ""
    return f" It has other matrices, which include=[...] can name: {', '.join(others)}."


def _warn_about_others(model: nn.Module, prunable: Mapping[str, ParameterRef]) -> None:
    """Warns if most of a model's weights are in layers of unknown types, and stay dense."""
    known = {id(place.module) for place in find_prunable(model, embeddings=True).values()}
    unknown = {name: place for name, place in find_matrices(model).items() if id(place.module) not in known}
    dense = sum(read_weight(name, place).numel() for name, place in unknown.items())
    own = [get_parameters(module).get(attribute) for module, attribute in prunable.values()]
    pruned = sum(weight.numel() for weight in own if weight is not None and not is_lazy(weight))
    if dense > pruned:
        text = "%d weights in layers of unknown types stay dense, %d can be pruned; include=[...] can name them: %s"
        _LOG.warning(text, dense, pruned, ", ".join(unknown))
