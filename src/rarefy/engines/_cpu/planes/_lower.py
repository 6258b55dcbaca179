"""Translates a captured network to operations over planes, and joins what one kernel computes."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from typing import Any

from rarefy.engines._cpu.planes import _lower_sums, _lower_windows
from rarefy.engines._cpu.planes._capture import Call, CaptureError, Ref
from rarefy.engines._cpu.planes._lowering import LOWERINGS, VIEWS, Lowering
from rarefy.engines._cpu.planes._operations import Maps, Operation

__all__ = ["Network", "lower"]

_TRANSLATIONS = (_lower_sums, _lower_windows)  # importing them registers their functions


@dataclasses.dataclass(frozen=True)
class Network:
    """A network as operations over planes.

    Args:
        source: Its inputs.
        operations: Its operations in their order.
        out: Its output.
        shape: Shape of the output of one image in torch.
    """

    source: Maps
    operations: tuple[Operation, ...]
    out: Maps
    shape: tuple[int, ...]


def lower(inputs: Ref, calls: list[Call], output: Ref) -> Network:
    """Translates what `capture` has recorded.

    Raises:
        CaptureError: If an operation has no kernel.
    """
    uses = Counter(leaf.index for call in calls for leaf in _list_refs(call.arguments))
    uses[output.index] += 1
    flat = _is_flattened(inputs, calls)
    source = Maps(math.prod(inputs.shape[1:])) if flat else _make_maps(inputs.shape)
    lowering = Lowering({inputs.index: source}, uses)
    for call in calls:
        lower_call = LOWERINGS.get(call.name)
        if lower_call is None:
            raise CaptureError(f"the operation {call.name!r} has no kernel")
        lower_call(lowering, call)
    out = lowering.maps[output.index]
    return Network(source, tuple(lowering.operations), out, output.shape[1:])


def _list_refs(arguments: Any) -> list[Ref]:
    if isinstance(arguments, Ref):
        return [arguments]
    if isinstance(arguments, (tuple, list)):
        return [ref for argument in arguments for ref in _list_refs(argument)]
    return []


def _is_flattened(inputs: Ref, calls: list[Call]) -> bool:
    """Whether images are read as features only."""
    readers = [call for call in calls if inputs in _list_refs(call.arguments)]
    return len(inputs.shape) != 2 and all(_is_flattening(call, inputs) for call in readers)


def _is_flattening(call: Call, source: Ref) -> bool:
    out = call.outputs[0]
    return call.name in VIEWS and out is not None and out.shape == (source.shape[0], math.prod(source.shape[1:]))


def _make_maps(shape: tuple[int, ...]) -> Maps:
    if len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1)):
        return Maps(shape[1])
    if len(shape) != 4:
        raise CaptureError(f"tensors of {len(shape)} axes have no kernel")
    return Maps(*shape[1:])
