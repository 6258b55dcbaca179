"""What the translation of a captured network to operations over planes keeps, and the registry of translations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rarefy.engines._cpu.planes._capture import Call, CaptureError, Ref
from rarefy.engines._cpu.planes._operations import Array, Maps, Operation, Sum

VIEWS = ("view", "_unsafe_view", "alias", "detach", "clone", "squeeze", "unsqueeze", "contiguous", "reshape")
"""Operations of torch that change at most a tensor's shape."""


class Lowering:
    """What is known of a network's tensors while it is translated."""

    def __init__(self, maps: dict[int, Maps], uses: Counter[int]) -> None:
        self.maps = maps
        self.uses = uses
        self.operations: list[Operation] = []
        self.is_positive: set[int] = set()  # ids of maps that have no negative number

    def read(self, argument: Any) -> Maps:
        if not isinstance(argument, Ref) or argument.index not in self.maps:
            raise CaptureError("an operation combines tensors in a way that has no kernel")
        return self.maps[argument.index]

    def find_open_sum(self, argument: Any) -> Sum | None:
        """Finds the sum that computes a tensor, if nothing else reads it and it can do more."""
        if not isinstance(argument, Ref) or self.uses[argument.index] != 1:
            return None
        maps = self.maps.get(argument.index)
        return next((op for op in self.operations if op.out is maps and isinstance(op, Sum)), None)

    def finish(self, call: Call, operation: Operation, replaced: Operation | None = None) -> None:
        """Appends an operation that computes the first output of a call."""
        if replaced is not None:
            self.operations = [op for op in self.operations if op is not replaced]
        self.operations.append(operation)
        self.name(call, operation.out)

    def name(self, call: Call, maps: Maps) -> None:
        ref = call.outputs[0]
        assert ref is not None
        self.maps[ref.index] = maps


Lower = Callable[[Lowering, Call], None]
LOWERINGS: dict[str, Lower] = {}
"""Name of an operation in torch to the function that translates it."""


def lowers(*names: str) -> Callable[[Lower], Lower]:
    """Registers a function that translates torch's operations of some names."""

    def register(function: Lower) -> Lower:
        LOWERINGS.update(dict.fromkeys(names, function))
        return function

    return register


def to_array(tensor: Any) -> Array:
    """Returns a constant's values.

    Raises:
        CaptureError: If it is none.
    """
    if not isinstance(tensor, Tensor):
        raise CaptureError("a weight depends on the inputs")
    array: Array = tensor.detach().to(torch.float64).numpy()
    return array


def get_stride(strides: Any) -> int:
    """Returns the one stride of rows and columns.

    Raises:
        CaptureError: If they differ.
    """
    if len(set(strides)) != 1:
        raise CaptureError(f"strides that differ ({tuple(strides)}) have no kernel")
    return int(strides[0])


def to_pair(numbers: Any) -> tuple[int, int]:
    """Returns one number for rows and one for columns."""
    return (int(numbers[0]), int(numbers[-1]))
