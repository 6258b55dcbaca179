"""Translates pooling, means and changes of shape."""

from __future__ import annotations

import math

import numpy as np

from rarefy.engines._cpu.planes._capture import Call, CaptureError, Ref
from rarefy.engines._cpu.planes._lowering import VIEWS, Lowering, get_stride, lowers, to_pair
from rarefy.engines._cpu.planes._operations import Flatten, Maps, Maximum, Mean, Sum, make_taps


@lowers("max_pool2d_with_indices")
def _lower_max_pool(lowering: Lowering, call: Call) -> None:
    argument, kernel, stride, padding, dilation, _ = (*call.arguments, False)[:6]
    source, out, step = lowering.read(argument), call.outputs[0], get_stride(stride or kernel)
    kernel, padding, dilation = to_pair(kernel), to_pair(padding), to_pair(dilation)
    shifts = tuple(
        (0, y * dilation[0] - padding[0], x * dilation[1] - padding[1])
        for y in range(kernel[0])
        for x in range(kernel[1])
    )
    if out is None or source.is_features:
        raise CaptureError("a max pooling of one pixel has no kernel")
    is_positive = id(source) in lowering.is_positive  # the zeros around it change nothing
    if not is_positive and (padding != (0, 0) or _is_window_beyond(source, out.shape, shifts, step)):
        raise CaptureError("a max pooling with padding after something else than ReLU has no kernel")
    maps = Maps(*out.shape[1:])
    lowering.finish(call, Maximum(source, maps, shifts, step))
    if is_positive:
        lowering.is_positive.add(id(maps))


def _is_window_beyond(
    source: Maps, shape: tuple[int, ...], shifts: tuple[tuple[int, int, int], ...], stride: int
) -> bool:
    """Whether a window reaches beyond the source."""
    _, rows, columns = (max(numbers) for numbers in zip(*shifts, strict=True))
    bottom, right = (shape[2] - 1) * stride + rows, (shape[3] - 1) * stride + columns
    return bool(bottom >= source.height or right >= source.width)


@lowers("avg_pool2d")
def _lower_average_pool(lowering: Lowering, call: Call) -> None:
    argument, kernel, stride, padding, ceil, includes, divisor = (*call.arguments, False, True, None)[:7]
    source, out, kernel, padding = lowering.read(argument), call.outputs[0], to_pair(kernel), to_pair(padding or (0, 0))
    if ceil or divisor or (padding != (0, 0) and not includes) or out is None:
        raise CaptureError("this kind of average pooling has no kernel")
    weight = np.full((source.channels, 1, *kernel), 1 / math.prod(kernel))
    taps = make_taps(weight, padding=padding, dilation=(1, 1), groups=source.channels, center_only=False)
    operation = Sum(source, Maps(*out.shape[1:]), taps, np.zeros(source.channels), get_stride(stride or kernel))
    lowering.finish(call, operation)


@lowers("mean")
def _lower_mean(lowering: Lowering, call: Call) -> None:
    argument, axes = call.arguments[:2]
    source = lowering.read(argument)
    if source.is_features or sorted(axis % 4 for axis in axes or ()) != [2, 3]:
        raise CaptureError("only the mean over rows and columns has a kernel")
    lowering.finish(call, Mean(source, Maps(source.channels)))


@lowers("_adaptive_avg_pool2d")
def _lower_adaptive_pool(lowering: Lowering, call: Call) -> None:
    source, size = lowering.read(call.arguments[0]), to_pair(call.arguments[1])
    if size != (1, 1) or source.is_features:
        raise CaptureError("only adaptive pooling to one pixel has a kernel")
    lowering.finish(call, Mean(source, Maps(source.channels)))


@lowers(*VIEWS)
def _lower_view(lowering: Lowering, call: Call) -> None:
    ref, out = call.arguments[0], call.outputs[0]
    source = lowering.read(ref)
    assert out is not None and isinstance(ref, Ref)
    features = out.shape[0] == ref.shape[0] and math.prod(out.shape[2:]) == 1
    if out.shape == ref.shape or (features and source.is_features and out.shape[1] == source.channels):
        lowering.name(call, source)
        lowering.uses[out.index] += lowering.uses[ref.index] - 1
    elif features and out.shape[1] == math.prod(source.shape):
        lowering.finish(call, Flatten(source, Maps(out.shape[1])))
    else:
        raise CaptureError(f"a view from {ref.shape} to {out.shape} has no kernel")
