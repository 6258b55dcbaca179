"""Flattens nested settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flatten_settings(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flattens nested mappings to dotted paths; an empty mapping stays a value.

    Args:
        values: The nested mapping.
        prefix: Prepended to every path.

    Example:
        >>> flatten_settings({"training": {"lr": 0.1}, "options": {}})
        {'training.lr': 0.1, 'options': {}}
    """
    flat: dict[str, Any] = {}
    for name, value in values.items():
        path = f"{prefix}{name}"
        flat |= flatten_settings(value, f"{path}.") if isinstance(value, Mapping) and value else {path: value}
    return flat
