"""Counts the operations and bytes of a kernel call, and repeats a call without its kept weights or statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rarefy.engines._cpu.blocked._memory import is_scratch
from rarefy.engines._cpu.kernels import LANES
from rarefy.engines._cpu.kernels._threads import KernelCall

_STARTS = {"convolve": (4, 2), "correlate": (7,)}  # where a kernel's arguments have the first weights of its channels


def count_bytes(arguments: tuple[Any, ...]) -> int:
    """Counts the bytes that a call moves: those of each array that it reads or writes once, scratch left out."""
    arrays = {array.ctypes.data: array.nbytes for array in _iterate_arrays(arguments) if not is_scratch(array)}
    return sum(arrays.values())


def count_bytes_of_statistics(call: KernelCall) -> int:
    """Counts those that a convolution reads for its statistics and epilogue alone."""
    return count_bytes(call.arguments) - count_bytes(call.arguments[:-2]) if call.name == "convolve" else 0


def count_flops(call: KernelCall) -> float:
    """Counts the operations on kept weights, two per multiplication and addition; 0 for all but convolutions."""
    if call.name not in _STARTS:
        return 0.0
    starts = _get(call.arguments, _STARTS[call.name])
    if call.name == "correlate":
        grid, blocks, lanes = call.arguments[1:4]
        pixels = grid.height * grid.width
    else:
        tiling, blocks, lanes = call.arguments[:3]
        pixels = min(tiling.height * tiling.width, tiling.out_h * tiling.out_w)  # of the layer's output, with a stride
    flops: float = 2.0 * int(starts[-1, -1]) * pixels * (LANES * (blocks - 1) + lanes)
    return flops


def drop_weights(call: KernelCall) -> KernelCall | None:
    """Returns a call that does the same work on tiles without any kept weight; None for kernels that have none."""
    if call.name not in _STARTS:
        return None
    where = _STARTS[call.name]
    return call._replace(arguments=_replace(call.arguments, where, np.zeros_like(_get(call.arguments, where))))


def drop_statistics(call: KernelCall) -> KernelCall:
    """Returns a convolution that computes no moments and has no epilogue."""
    *others, _, epilogue = call.arguments
    no_sums = np.zeros((call.parts, 0, 3))
    return call._replace(arguments=(*others, no_sums, epilogue._replace(active=False, sums=no_sums)))


def has_statistics(call: KernelCall) -> bool:
    """Whether a call computes moments or has an epilogue."""
    return call.name == "convolve" and bool(call.arguments[-1].active or call.arguments[-2].size)


def _get(arguments: Any, where: tuple[int, ...]) -> Any:
    for index in where:
        arguments = arguments[index]
    return arguments


def _replace(arguments: tuple[Any, ...], where: tuple[int, ...], value: Any) -> tuple[Any, ...]:
    first, *rest = where
    inner = _replace(arguments[first], tuple(rest), value) if rest else value
    return (*arguments[:first], inner, *arguments[first + 1 :])


def _iterate_arrays(arguments: Any) -> Iterator[np.ndarray[Any, Any]]:
    if isinstance(arguments, np.ndarray):
        yield arguments
    elif isinstance(arguments, tuple):
        for argument in arguments:
            yield from _iterate_arrays(argument)
