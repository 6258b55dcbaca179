"""Reads family, depth and width from a model's name without importing the models, which need torch."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from rarefy.registry import read_method_constants


class ModelName(NamedTuple):
    """A model's family and its options, the defaults filled in."""

    family: str
    options: tuple[tuple[str, str], ...]


def parse_model_name(name: str) -> ModelName | None:
    """Splits a name into family and options as `rarefy.models.parse` does; None if no family matches.

    Example:
        >>> parse_model_name("CIFAR-ResNet-20").options
        (('depth', '20'), ('width', '16'))
    """
    text = name.strip().lower().replace("-", "_")
    for family, (pattern, defaults) in _families().items():
        if match := re.fullmatch(pattern, text):
            given = {option: value for option, value in match.groupdict().items() if value is not None}
            return ModelName(family, tuple(sorted({**defaults, **given}.items())))
    return None


def read_sizes(name: str) -> dict[str, Any]:
    """Family, depth and width of a model, as far as its name has them; empty if it has neither.

    Example:
        >>> read_sizes("cifar_resnet_20_8"), read_sizes("mlp_256")
        ({'family': 'cifar_resnet', 'depth': 20, 'width': 8}, {})
    """
    model = parse_model_name(name)
    options = dict(model.options) if model else {}
    sizes = {size: int(options[size]) if size in options else None for size in ("depth", "width")}
    return {"family": model.family, **sizes} if model and any(sizes.values()) else {}


def get_family_defaults(family: str) -> Mapping[str, str]:
    """Returns the defaults of a family's options.

    Example:
        >>> get_family_defaults("cifar_resnet")
        {'width': '16'}
    """
    return _families()[family][1]


@functools.cache
def _families() -> Mapping[str, tuple[str, dict[str, str]]]:
    """Family to the pattern of its names and the defaults of its options, read from the source of the models."""
    families = read_method_constants("models")
    return {
        family: (constants["pattern"], {option: str(value) for option, value in options.items()})
        for family, (options, constants) in families.items()
        if "pattern" in constants
    }
