"""Translates what is a weighted sum: convolutions, linear layers, batch norms, sums of tensors; and clamps."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from rarefy.engines._cpu.planes._capture import Call, CaptureError
from rarefy.engines._cpu.planes._lowering import Lowering, get_stride, lowers, to_array, to_pair
from rarefy.engines._cpu.planes._operations import Array, Maps, Sum, Taps, make_identity, make_taps

_MOST_FEATURES = 1 << 16  # their numbers have 16 bits


@lowers("convolution")
def _lower_convolution(lowering: Lowering, call: Call) -> None:
    argument, weight, bias, stride, padding, dilation, transposed, _, groups = call.arguments
    out = call.outputs[0]
    if transposed or out is None or len(out.shape) != 4:
        raise CaptureError("only convolutions over rows and columns have a kernel")
    source, array = lowering.read(argument), to_array(weight)
    maps = Maps(out.shape[1]) if source.is_features else Maps(*out.shape[1:])
    if source.is_features and out.shape[2:] != (1, 1):
        raise CaptureError("a convolution of one pixel to several has no kernel")
    taps = make_taps(
        array, padding=to_pair(padding), dilation=to_pair(dilation), groups=groups, center_only=source.is_features
    )
    shift = np.zeros(maps.channels) if bias is None else to_array(bias)
    lowering.finish(call, Sum(source, maps, taps, shift, 1 if source.is_features else get_stride(stride)))


@lowers("addmm")
def _lower_addmm(lowering: Lowering, call: Call) -> None:
    bias, argument, weight, beta, alpha = call.arguments
    _lower_product(lowering, call, argument, alpha * to_array(weight).T, beta * to_array(bias))


@lowers("mm")
def _lower_mm(lowering: Lowering, call: Call) -> None:
    argument, weight = call.arguments
    _lower_product(lowering, call, argument, to_array(weight).T, np.zeros(weight.shape[1]))


@lowers("linear")
def _lower_linear(lowering: Lowering, call: Call) -> None:
    argument, weight, bias = call.arguments
    _lower_product(lowering, call, argument, to_array(weight), 0 if bias is None else to_array(bias))


def _lower_product(lowering: Lowering, call: Call, argument: Any, weight: Array, bias: Array | int) -> None:
    source = lowering.read(argument)
    if not source.is_features:
        raise CaptureError("a linear layer over an axis of positions has no kernel")
    if source.channels > _MOST_FEATURES:
        raise CaptureError(f"a linear layer of more than {_MOST_FEATURES:,} features has no kernel")
    k, c = np.nonzero(weight)
    zeros = np.zeros(k.size, np.int64)
    taps = Taps(k, c, zeros, zeros, weight[k, c])
    lowering.finish(call, Sum(source, Maps(weight.shape[0]), taps, np.zeros(weight.shape[0]) + bias))


@lowers("native_batch_norm", "_native_batch_norm_legit_no_training")
def _lower_norm(lowering: Lowering, call: Call) -> None:
    argument, weight, bias, mean, variance, *others = call.arguments
    training, epsilon = (False, others[-1]) if call.name.endswith("no_training") else (others[0], others[2])
    if training or mean is None:
        raise CaptureError("a batch norm that uses the batch has no kernel")
    source, deviation = lowering.read(argument), np.sqrt(to_array(variance) + epsilon)
    scale = (1 if weight is None else to_array(weight)) / deviation
    shift = (0 if bias is None else to_array(bias)) - to_array(mean) * scale
    before = lowering.find_open_sum(argument)
    if before is not None and before.is_open:
        lowering.finish(call, before.scale(scale, shift), replaced=before)
        return
    out = dataclasses.replace(source)
    lowering.finish(
        call, Sum(source, out, make_identity(source.channels), np.zeros(source.channels)).scale(scale, shift)
    )


@lowers("relu", "relu_", "hardtanh", "hardtanh_", "clamp", "clamp_", "clamp_min")
def _lower_clamp(lowering: Lowering, call: Call) -> None:
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


@lowers("add", "add_")
def _lower_add(lowering: Lowering, call: Call) -> None:
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
