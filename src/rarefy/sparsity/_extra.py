"""Encodes what modules add to their state (``get_extra_state``) as JSON and tensors, without pickle."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from torch import Tensor

from rarefy.errors import InvalidInput

_PREFIX = "rarefy.extra/"  # of names of tensors inside such states


def encode_extra(name: str, value: Any, tensors: MutableMapping[str, Tensor]) -> Any:
    """Encodes a module's extra state for JSON; tensors in it are moved to `tensors`.

    Args:
        name: Its name in the state_dict, for messages and for the tensors' names.
        value: Numbers, strings, None, tensors, and dicts, lists and tuples of them.
        tensors: Receives the tensors.

    Raises:
        InvalidInput: If it holds anything else.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        key = f"{_PREFIX}{name}/{len(tensors)}"
        tensors[key] = value.detach().cpu().contiguous().clone()
        return {"tensor": key}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [encode_extra(name, item, tensors) for item in value]}
    if isinstance(value, dict):
        items = value.items()
        return {"dict": [[encode_extra(name, k, tensors), encode_extra(name, v, tensors)] for k, v in items]}
    raise InvalidInput(
        f"The state {name!r} holds a {type(value).__name__}. A checkpoint has no pickles: let get_extra_state return "
        "tensors, numbers, strings, and dicts, lists and tuples of them."
    )


def decode_extra(value: Any, tensors: MutableMapping[str, Tensor]) -> Any:
    """Decodes what `encode_extra` returned; keys and items have their types again.

    Example:
        >>> decode_extra(encode_extra("_extra_state", {"steps": (1, 2.5)}, {}), {})
        {'steps': (1, 2.5)}
    """
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {decode_extra(key, tensors): decode_extra(item, tensors) for key, item in content}
    items = [decode_extra(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items
