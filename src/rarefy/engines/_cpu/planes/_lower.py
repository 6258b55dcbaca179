"""Translates a captured network to operations over planes, and joins what one kernel computes."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rarefy.engines._cpu.planes._capture import Call, CaptureError, Ref
from rarefy.engines._cpu.planes._operations import (
    Array,
    Flatten,
    Maps,
    Maximum,
    Mean,
    Operation,
    Sum,
    Taps,
    make_identity,
    make_taps,
)


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
    lowering = _Lowering({inputs.index: source}, uses)
    for call in calls:
        lower_call = _LOWERINGS.get(call.name)
        if lower_call is None:
            raise CaptureError(f"the operation {call.name!r} has no kernel")
        lower_call(lowering, call)
    out = lowering.maps[output.index]
    return Network(source, tuple(lowering.operations), out, output.shape[1:])


class _Lowering:
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
    return call.name in _VIEWS and out is not None and out.shape == (source.shape[0], math.prod(source.shape[1:]))


def _make_maps(shape: tuple[int, ...]) -> Maps:
    if len(shape) == 2 or (len(shape) == 4 and shape[2:] == (1, 1)):
        return Maps(shape[1])
    if len(shape) != 4:
        raise CaptureError(f"tensors of {len(shape)} axes have no kernel")
    return Maps(*shape[1:])


def _as_array(tensor: Any) -> Array:
    if not isinstance(tensor, Tensor):
        raise CaptureError("a weight depends on the inputs")
    array: Array = tensor.detach().to(torch.float64).numpy()
    return array


def _get_stride(strides: Any) -> int:
    if len(set(strides)) != 1:
        raise CaptureError(f"strides that differ ({tuple(strides)}) have no kernel")
    return int(strides[0])


def _pair(numbers: Any) -> tuple[int, int]:
    return (int(numbers[0]), int(numbers[-1]))


def _lower_convolution(lowering: _Lowering, call: Call) -> None:
    argument, weight, bias, stride, padding, dilation, transposed, _, groups = call.arguments
    out = call.outputs[0]
    if transposed or out is None or len(out.shape) != 4:
        raise CaptureError("only convolutions over rows and columns have a kernel")
    source, array = lowering.read(argument), _as_array(weight)
    maps = Maps(out.shape[1]) if source.is_features else Maps(*out.shape[1:])
    if source.is_features and out.shape[2:] != (1, 1):
        raise CaptureError("a convolution of one pixel to several has no kernel")
    taps = make_taps(
        array, padding=_pair(padding), dilation=_pair(dilation), groups=groups, center_only=source.is_features
    )
    shift = np.zeros(maps.channels) if bias is None else _as_array(bias)
    lowering.finish(call, Sum(source, maps, taps, shift, 1 if source.is_features else _get_stride(stride)))


def _lower_addmm(lowering: _Lowering, call: Call) -> None:
    bias, argument, weight, beta, alpha = call.arguments
    _lower_product(lowering, call, argument, alpha * _as_array(weight).T, beta * _as_array(bias))


def _lower_mm(lowering: _Lowering, call: Call) -> None:
    argument, weight = call.arguments
    _lower_product(lowering, call, argument, _as_array(weight).T, np.zeros(weight.shape[1]))


def _lower_linear(lowering: _Lowering, call: Call) -> None:
    argument, weight, bias = call.arguments
    _lower_product(lowering, call, argument, _as_array(weight), 0 if bias is None else _as_array(bias))


def _lower_product(lowering: _Lowering, call: Call, argument: Any, weight: Array, bias: Array | int) -> None:
    source = lowering.read(argument)
    if not source.is_features:
        raise CaptureError("a linear layer over an axis of positions has no kernel")
    if source.channels > _MOST_FEATURES:
        raise CaptureError(f"a linear layer of more than {_MOST_FEATURES:,} features has no kernel")
    k, c = np.nonzero(weight)
    zeros = np.zeros(k.size, np.int64)
    taps = Taps(k, c, zeros, zeros, weight[k, c])
    lowering.finish(call, Sum(source, Maps(weight.shape[0]), taps, np.zeros(weight.shape[0]) + bias))


def _lower_norm(lowering: _Lowering, call: Call) -> None:
    argument, weight, bias, mean, variance, *others = call.arguments
    training, epsilon = (False, others[-1]) if call.name.endswith("no_training") else (others[0], others[2])
    if training or mean is None:
        raise CaptureError("a batch norm that uses the batch has no kernel")
    source, deviation = lowering.read(argument), np.sqrt(_as_array(variance) + epsilon)
    scale = (1 if weight is None else _as_array(weight)) / deviation
    shift = (0 if bias is None else _as_array(bias)) - _as_array(mean) * scale
    before = lowering.find_open_sum(argument)
    if before is not None and before.is_open:
        lowering.finish(call, before.scale(scale, shift), replaced=before)
        return
    out = dataclasses.replace(source)
    lowering.finish(
        call, Sum(source, out, make_identity(source.channels), np.zeros(source.channels)).scale(scale, shift)
    )


def _lower_clamp(lowering: _Lowering, call: Call) -> None:
    low, high = _read_limits(call)
    source, before = lowering.read(call.arguments[0]), lowering.find_open_sum(call.arguments[0])
    if before is not None and before.is_linear:
        operation = before.clamp(low, high)
        lowering.finish(call, operation, replaced=before)
    else:
        out = dataclasses.replace(source)
        taps, zeros = make_identity(source.channels), np.zeros(source.channels)
        lowering.finish(call, Sum(source, out, taps, zeros, low=low, high=high))
    if low >= 0:
        lowering.is_positive.add(id(lowering.operations[-1].out))


def _read_limits(call: Call) -> tuple[float, float]:
    if call.name in ("relu", "relu_"):
        return 0.0, math.inf
    low, high = (*call.arguments[1:3], None)[:2]
    return -math.inf if low is None else float(low), math.inf if high is None else float(high)


def _lower_add(lowering: _Lowering, call: Call) -> None:
    one, two, alpha = call.arguments
    first, second = lowering.read(one), lowering.read(two)
    if alpha != 1 or first.shape != second.shape:
        raise CaptureError("only sums of tensors of one shape have a kernel")
    for argument, other in ((two, first), (one, second)):
        before = lowering.find_open_sum(argument)
        if before is not None and before.is_open and first is not second:
            lowering.finish(call, dataclasses.replace(before, other=other), replaced=before)
            return
    taps, zeros = make_identity(first.channels), np.zeros(first.channels)
    lowering.finish(call, Sum(first, dataclasses.replace(first), taps, zeros, other=second))


def _lower_max_pool(lowering: _Lowering, call: Call) -> None:
    argument, kernel, stride, padding, dilation, _ = (*call.arguments, False)[:6]
    source, out, step = lowering.read(argument), call.outputs[0], _get_stride(stride or kernel)
    kernel, padding, dilation = _pair(kernel), _pair(padding), _pair(dilation)
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


def _lower_average_pool(lowering: _Lowering, call: Call) -> None:
    argument, kernel, stride, padding, ceil, includes, divisor = (*call.arguments, False, True, None)[:7]
    source, out, kernel, padding = lowering.read(argument), call.outputs[0], _pair(kernel), _pair(padding or (0, 0))
    if ceil or divisor or (padding != (0, 0) and not includes) or out is None:
        raise CaptureError("this kind of average pooling has no kernel")
    weight = np.full((source.channels, 1, *kernel), 1 / math.prod(kernel))
    taps = make_taps(weight, padding=padding, dilation=(1, 1), groups=source.channels, center_only=False)
    operation = Sum(source, Maps(*out.shape[1:]), taps, np.zeros(source.channels), _get_stride(stride or kernel))
    lowering.finish(call, operation)


def _lower_mean(lowering: _Lowering, call: Call) -> None:
    argument, axes = call.arguments[:2]
    source = lowering.read(argument)
    if source.is_features or sorted(axis % 4 for axis in axes or ()) != [2, 3]:
        raise CaptureError("only the mean over rows and columns has a kernel")
    lowering.finish(call, Mean(source, Maps(source.channels)))


def _lower_adaptive_pool(lowering: _Lowering, call: Call) -> None:
    source, size = lowering.read(call.arguments[0]), _pair(call.arguments[1])
    if size != (1, 1) or source.is_features:
        raise CaptureError("only adaptive pooling to one pixel has a kernel")
    lowering.finish(call, Mean(source, Maps(source.channels)))


def _lower_view(lowering: _Lowering, call: Call) -> None:
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


_MOST_FEATURES = 1 << 16  # their numbers have 16 bits
_VIEWS = ("view", "_unsafe_view", "alias", "detach", "clone", "squeeze", "unsqueeze", "contiguous", "reshape")
_LOWERINGS: dict[str, Callable[[_Lowering, Call], None]] = {
    "convolution": _lower_convolution,
    "addmm": _lower_addmm,
    "mm": _lower_mm,
    "linear": _lower_linear,
    **dict.fromkeys(("native_batch_norm", "_native_batch_norm_legit_no_training"), _lower_norm),
    **dict.fromkeys(("relu", "relu_", "hardtanh", "hardtanh_", "clamp", "clamp_", "clamp_min"), _lower_clamp),
    **dict.fromkeys(("add", "add_"), _lower_add),
    "max_pool2d_with_indices": _lower_max_pool,
    "avg_pool2d": _lower_average_pool,
    "mean": _lower_mean,
    "_adaptive_avg_pool2d": _lower_adaptive_pool,
    **dict.fromkeys(_VIEWS, _lower_view),
}
