"""Reads the inputs of functions on blocked tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from rarefy.engines._cpu.fusion._deferred import DeferredTensor
from rarefy.engines._cpu.fusion._values import Value, block_tensor


def get_value(tensor: Tensor) -> Value:
    """Returns a tensor's value; where an ordinary tensor shares its memory, that is converted again."""
    if type(tensor) is DeferredTensor:
        value = tensor.value
        return value if type(value) is Value and value.plain is None else block_tensor(value.tensor())
    return block_tensor(tensor)


def is_in_blocks(tensor: Any, dims: Sequence[int] = (4,), *, written: bool = False) -> bool:
    """Whether a tensor is in blocks, and no ordinary tensor shares its values; nor a view, where it is written to."""
    return (
        type(tensor) is DeferredTensor
        and type(tensor.value) is Value
        and tensor.value.plain is None
        and len(tensor.value.shape) in dims
        and not (written and tensor.value.is_viewed)
    )
