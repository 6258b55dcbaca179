"""Counts the operations and bytes of a kernel call, and repeats a call without its kept weights or statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from rarefy.engines._cpu.blocked._memory import is_scratch
from rarefy.engines._cpu.kernels import LANES
from rarefy.engines._cpu.kernels._threads import KernelCall

_WEIGHTS, _MOMENTS, _EPILOGUE, _LAYOUT, _DOTS = 4, 6, 7, -2, -1  # where a convolution's arguments have them
_PRODUCTS = ("convolve", "convolve_groups", "scatter_groups")


def count_bytes(arguments: tuple[Any, ...]) -> int:
    """Counts the bytes that a call moves: those of each array that it reads or writes once, scratch left out."""
    arrays = {array.ctypes.data: array.nbytes for array in _iterate_arrays(arguments) if not is_scratch(array)}
    return sum(arrays.values())


def count_bytes_of_statistics(call: KernelCall) -> int:
    """Counts those that a convolution reads for its statistics and epilogue alone."""
    return count_bytes(call.arguments) - count_bytes(drop_statistics(call).arguments)


def count_flops(call: KernelCall) -> tuple[float, float]:
    """Counts the operations on kept weights in sums of products, and in dot products for the weight gradient."""
    dots = call.arguments[_DOTS] if is_convolution(call) else None
    of_dots = _count_flops(dots.starts, dots.tiling, call) if dots is not None and dots.active else 0.0
    if call.name not in _PRODUCTS:
        return 0.0, of_dots
    return _count_flops(call.arguments[_WEIGHTS][2], call.arguments[0], call), of_dots


def is_convolution(call: KernelCall) -> bool:
    """Whether a call is of a kernel with kept weights."""
    return call.name in (*_PRODUCTS, "correlate", "correlate_groups")


def drop_products(call: KernelCall) -> KernelCall:
    """Returns a call that does the same work without sums of products."""
    if call.name not in _PRODUCTS:
        return call
    values, offsets, starts, bias = call.arguments[_WEIGHTS]
    return _replace(call, _WEIGHTS, (values, offsets, np.zeros_like(starts), bias))


def drop_dots(call: KernelCall) -> KernelCall:
    """Returns a call that copies the same tiles but computes no dot products."""
    dots = call.arguments[_DOTS]
    return _replace(call, len(call.arguments) - 1, dots._replace(starts=np.zeros_like(dots.starts)))


def drop_statistics(call: KernelCall) -> KernelCall:
    """Returns a convolution that computes no moments and has no epilogue."""
    if call.name not in _PRODUCTS:
        return call
    no_sums, epilogue = np.zeros((call.parts, 0, 3)), call.arguments[_EPILOGUE]
    empty = {name: no_sums if name == "sums" else epilogue.a[:0] for name in _EPILOGUE_ARRAYS}
    call = _replace(call, _MOMENTS, no_sums)
    return _replace(call, _EPILOGUE, epilogue._replace(active=False, **empty))


_EPILOGUE_ARRAYS = ("add", "source", "a", "c", "first", "first_mean", "second", "second_mean", "sums")


def _count_flops(starts: Any, tiling: Any, call: KernelCall) -> float:
    blocks, lanes = call.arguments[1:3]
    pixels = min(tiling.height * tiling.width, tiling.out_h * tiling.out_w)  # of the layer's output, with a stride
    together = len(call.arguments[_LAYOUT].members) if call.name.endswith("_groups") else 1
    flops: float = 2.0 * together * int(starts[-1, -1]) * pixels * (LANES * (blocks - 1) + lanes)
    return flops


def _replace(call: KernelCall, index: int, value: Any) -> KernelCall:
    return call._replace(arguments=(*call.arguments[:index], value, *call.arguments[index + 1 :]))


def _iterate_arrays(arguments: Any) -> Iterator[np.ndarray[Any, Any]]:
    if isinstance(arguments, np.ndarray):
        yield arguments
    elif isinstance(arguments, tuple):
        for argument in arguments:
            yield from _iterate_arrays(argument)
