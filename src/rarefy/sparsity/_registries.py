"""``Module._parameters`` and ``Module._modules``, the dicts in which torch keeps a module's parameters and children.

The public way, ``getattr(module, name)``, is a Python call for each (four times slower, in every optimizer step), and
computes a weight that has a parametrization. A parameter or child that somebody replaces is replaced in these dicts.
"""

from __future__ import annotations

from typing import Any

from torch import nn


def get_parameters(module: nn.Module) -> dict[str, nn.Parameter | None]:
    """Returns the dict itself, by attribute; an attribute that is computed from other parameters is not in it.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> get_parameters(layer)["weight"] is layer.weight
        True
    """
    return module._parameters


def get_children(module: nn.Module) -> dict[str, Any]:
    """Returns the dict itself, by attribute.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3))
        >>> get_children(model)["0"] is model[0]
        True
    """
    return module._modules
