"""Which of a model's prunable weights are meant: by name pattern or by module type."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from typing import TypeVar

from torch import nn

from rarefy.errors import InvalidInput

Pattern = str | type[nn.Module]
T = TypeVar("T", bound=nn.Parameter)


def select(
    model: nn.Module, weights: Mapping[str, T], *, include: Iterable[Pattern], exclude: Iterable[Pattern]
) -> dict[str, T]:
    """The weights that some `include` matches and no `exclude` does.

    Args:
        model: The module that holds the weights.
        weights: Name to weight.
        include: Globs (``"layer1.*"``), matched against the name with and without its ``.weight``, or module types.
        exclude: The same.

    Raises:
        ValueError: If a pattern matches nothing, or nothing is left.
    """
    owners = {id(p): module for module in model.modules() for p in module._parameters.values() if p is not None}
    include, exclude = list(include), list(exclude)

    def matches(name: str, pattern: Pattern) -> bool:
        if isinstance(pattern, str):
            return any(fnmatch.fnmatchcase(text, pattern) for text in (name, name.removesuffix(".weight")))
        return isinstance(owners[id(weights[name])], pattern)

    for pattern in [*include, *exclude]:
        if not any(matches(name, pattern) for name in weights):
            label = pattern if isinstance(pattern, str) else pattern.__name__
            raise InvalidInput(f"The pattern {label!r} matches no prunable weight. There are: {', '.join(weights)}.")
    chosen = {
        name: weight
        for name, weight in weights.items()
        if any(matches(name, pattern) for pattern in include) and not any(matches(name, pattern) for pattern in exclude)
    }
    if not chosen:
        raise InvalidInput(f"include and exclude leave no weight to prune of: {', '.join(weights)}.")
    return chosen
