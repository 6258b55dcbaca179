"""Access to nested values of a record, of which any may be missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_EMPTY: tuple[object, ...] = ({}, [], ())


def get_nested(values: Any, *path: str) -> Any:
    """Returns the value at a path of names; None where the path ends early."""
    for name in path:
        values = values.get(name) if isinstance(values, Mapping) else None
    return values


def drop_empty(values: Any) -> Any:
    """Drops names with no value or an empty one, at all depths."""
    if not isinstance(values, Mapping):
        return values
    kept = {name: drop_empty(value) for name, value in values.items()}
    return {name: value for name, value in kept.items() if value is not None and value not in _EMPTY}
