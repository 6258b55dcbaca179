"""Which of a model's weights are meant: by name pattern or by module type."""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Iterable, Mapping

from torch import nn
from torch.nn.parameter import is_lazy

from rarefy.errors import InvalidInput
from rarefy.models import Place, find_matrices, find_prunable, read_weight
from rarefy.sparsity._uses import check_uses

_LOG = logging.getLogger("rarefy")
Pattern = str | type[nn.Module]


def select(
    model: nn.Module, *, embeddings: bool, include: Iterable[Pattern], exclude: Iterable[Pattern]
) -> dict[str, nn.Parameter]:
    """The weights that some `include` matches and no `exclude` does; what is left out is not looked at.

    A pattern of `include` that matches no prunable weight may name other parameters of two or more dimensions.

    Args:
        model: The module that holds the weights.
        embeddings: Whether tables of embeddings are prunable.
        include: Globs (``"layer1.*"``), matched against the name with and without its ``.weight``, or module types.
        exclude: The same.

    Raises:
        ValueError: If a pattern matches nothing, nothing is left, or a layer computes with another weight than its own.
    """
    include, exclude = list(include), list(exclude)
    prunable, others = find_prunable(model, embeddings=embeddings), find_matrices(model)
    named = [p for p in include if not _match(p, prunable) and _match(p, others)]
    found = _merge(prunable, _filter(others, named))
    if not found:
        raise InvalidInput(f"{type(model).__name__} has no convolution or linear weight to prune.{_hint(others)}")
    for pattern in [*include, *exclude]:
        if not _match(pattern, found | others):
            label = pattern if isinstance(pattern, str) else pattern.__name__
            raise InvalidInput(f"The pattern {label!r} matches no prunable weight. There are: {', '.join(found)}.")
    left_out = _filter(found, exclude)
    chosen = {name: place for name, place in _filter(found, include).items() if name not in left_out}
    if not chosen:
        raise InvalidInput(f"include and exclude leave no weight to prune of: {', '.join(found)}.")
    check_uses({name: place.module for name, place in chosen.items()})
    if not named:
        _tell_others(model, prunable)
    return {name: read_weight(name, place) for name, place in chosen.items()}


def _match(pattern: Pattern, places: Mapping[str, Place]) -> bool:
    return bool(_filter(places, [pattern]))


def _filter(places: Mapping[str, Place], patterns: Iterable[Pattern]) -> dict[str, Place]:
    return {n: place for n, place in places.items() if any(_matches(n, place, pattern) for pattern in patterns)}


def _matches(name: str, place: Place, pattern: Pattern) -> bool:
    if isinstance(pattern, str):
        return any(fnmatch.fnmatchcase(text, pattern) for text in (name, name.removesuffix(".weight")))
    return isinstance(place.module, pattern)


def _merge(places: Mapping[str, Place], further: Mapping[str, Place]) -> dict[str, Place]:
    """Adds what is not there yet, each parameter once."""
    merged = dict(places)
    seen = {id(place.module._parameters.get(place.attribute)) for place in places.values()}
    for name, (module, attribute) in further.items():
        if id(module._parameters[attribute]) not in seen:
            seen.add(id(module._parameters[attribute]))
            merged[name] = Place(module, attribute)
    return merged


def _hint(others: Mapping[str, Place]) -> str:
    if not others:
        return ""
    return f" It has other matrices, which include=[...] can name: {', '.join(others)}."


def _tell_others(model: nn.Module, prunable: Mapping[str, Place]) -> None:
    """Says so if most of a model's weights are in layers of unknown types, and will stay dense."""
    known = {id(place.module) for place in find_prunable(model, embeddings=True).values()}
    unknown = {name: place for name, place in find_matrices(model).items() if id(place.module) not in known}
    dense = sum(read_weight(name, place).numel() for name, place in unknown.items())
    own = [place.module._parameters.get(place.attribute) for place in prunable.values()]
    pruned = sum(weight.numel() for weight in own if weight is not None and not is_lazy(weight))
    if dense > pruned:
        text = "%d weights in layers of unknown types stay dense, %d can be pruned; include=[...] can name them: %s"
        _LOG.warning(text, dense, pruned, ", ".join(unknown))
