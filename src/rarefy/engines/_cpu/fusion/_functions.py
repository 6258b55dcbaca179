"""Torch's functions on blocked tensors. They return NotImplemented for arguments that torch has to handle."""

from __future__ import annotations

import functools
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rarefy.engines._cpu.blocked import _calls
from rarefy.engines._cpu.blocked._geometry import Geometry, to_pair
from rarefy.engines._cpu.blocked._indices import KeptIndices, make_full_indices
from rarefy.engines._cpu.blocked._memory import EMPTY, get_constant
from rarefy.engines._cpu.fusion._blocked_inputs import get_value, is_in_blocks
from rarefy.engines._cpu.fusion._deferred import BLOCKED_FUNCTIONS, BLOCKED_OPERATORS, to_plain
from rarefy.engines._cpu.fusion._graph import as_numpy, record_operation
from rarefy.engines._cpu.fusion._layer_norm import NORM_FUNCTIONS
from rarefy.engines._cpu.fusion._limits import LARGEST_DENSE, can_read
from rarefy.engines._cpu.fusion._operations import Add, Convolve, Normalize, Pool, Relu, ToBlocked
from rarefy.engines._cpu.fusion._permuted import permute_value
from rarefy.engines._cpu.fusion._pointwise import POINTWISE_FUNCTIONS
from rarefy.engines._cpu.fusion._products import PRODUCTS
from rarefy.engines._cpu.fusion._values import block_tensor
from rarefy.engines._cpu.kernels import _elementwise
from rarefy.engines._torch_internals import needs_torch_functions

_get_full_indices = functools.lru_cache(maxsize=64)(make_full_indices)


def convolve(geometry: Geometry, inputs: Tensor, values: Tensor, bias: Tensor | None, *, moments: bool) -> Tensor:
    """Computes a layer of kept weights in blocks.

    Args:
        geometry: Kept weights and options of the layer.
        inputs: [N, C, H, W] or [N, F], for which ``geometry.fits``.
        values: Kept weights.
        bias: Its bias, if any.
        moments: Whether the moments of the outputs are computed for batch norm, too.

    Returns:
        A deferred tensor.
    """
    value = get_value(inputs)
    moments = moments and len(value.shape) == 4
    return record_operation(Convolve(geometry, value, values, bias, moments=moments), inputs, values, bias)


def _relu(inputs: Any, inplace: bool = False) -> Any:
    if not is_in_blocks(inputs, (2, 4), written=inplace):
        return NotImplemented
    return record_operation(Relu(inputs.value), inputs, written=inplace)


def _relu_(inputs: Any) -> Any:
    return _relu(inputs, inplace=True)


def _hardtanh(inputs: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Any:
    if min_val != 0 or not max_val > 0 or not is_in_blocks(inputs, (2, 4), written=inplace):
        return NotImplemented
    return record_operation(Relu(inputs.value, max_val), inputs, written=inplace)


def _relu6(inputs: Any, inplace: bool = False) -> Any:
    return _hardtanh(inputs, 0.0, 6.0, inplace)


def _add(first: Any, second: Any, *, alpha: Any = 1, out: Any = None, written: bool = False) -> Any:
    if out is not None or alpha != 1 or not (can_read(first) and can_read(second)):
        return NotImplemented
    if first.shape != second.shape or first.dim() not in (2, 4):
        return NotImplemented
    if not is_in_blocks(first, (2, 4), written=written) and (written or not is_in_blocks(second, (2, 4))):
        return NotImplemented
    return record_operation(Add(get_value(first), get_value(second)), first, second, written=written)


def _add_(first: Any, second: Any, *, alpha: Any = 1) -> Any:
    return _add(first, second, alpha=alpha, written=True)


def _batch_norm(
    inputs: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    parameters = [tensor for tensor in (running_mean, running_var, weight, bias) if tensor is not None]
    if not is_in_blocks(inputs) or (running_mean is None) != (running_var is None):
        return NotImplemented
    channels = inputs.value.shape[1]
    if not all([can_read(tensor) and tensor.shape == (channels,) and tensor.is_contiguous() for tensor in parameters]):
        return NotImplemented
    value = inputs.value
    tracked = training and running_mean is not None
    if (running_mean is None and not training) or (tracked and momentum is None):
        return NotImplemented
    maps = value.store()
    if training and maps.count == 1:
        return NotImplemented  # torch raises the error
    moments = np.empty((1, 0, 3))
    if training:
        moments = _calls.compute_moments(maps) if value.moments is None else value.moments
    mean = EMPTY if running_mean is None else running_mean.detach().numpy()
    variance = EMPTY if running_var is None else running_var.detach().numpy()
    scale = get_constant(channels, 1) if weight is None else as_numpy(weight)
    shift = get_constant(channels, 0) if bias is None else as_numpy(bias)
    factor = float(momentum) if tracked else 0.0
    numbers = np.empty((4, channels), np.float32)
    _elementwise.norm_forward(moments, scale, shift, eps, factor, mean, variance, training, tracked, numbers)
    return record_operation(Normalize(value, numbers, by_batch=training, epsilon=eps), inputs, weight, bias)


def block_convolution_input(module: Any, inputs: Tensor) -> tuple[Tensor] | None:
    """Brings the input of a small dense convolution into blocks; None where the kernels cannot compute it."""
    tensors = [inputs, module.weight] + ([] if module.bias is None else [module.bias])
    if not all([can_read(tensor) for tensor in tensors]) or needs_torch_functions():
        return None
    if module.padding_mode != "zeros" or inputs.dim() != 4 or inputs.shape[1] != module.in_channels:
        return None
    return (record_operation(ToBlocked(block_tensor(inputs)), inputs),)


def _conv2d(
    inputs: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    if not is_in_blocks(inputs) or not can_read(weight) or weight.dim() != 4 or weight.numel() > LARGEST_DENSE:
        return NotImplemented
    if bias is not None and not can_read(bias):
        return NotImplemented
    return convolve_dense(inputs, weight, bias, stride, padding, dilation, groups)


def convolve_dense(
    inputs: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """Computes a small dense convolution in blocks, as a sparse one that keeps every weight."""
    pattern: KeptIndices = _get_full_indices(weight.shape)
    geometry = Geometry.of(pattern, to_pair(stride), _padding(padding), to_pair(dilation), groups)
    if not geometry.fits(inputs.shape):
        return NotImplemented
    moments = bias is None and torch.is_grad_enabled()
    return convolve(geometry, inputs, weight, bias, moments=moments)


def _pool(inputs: Any, window: tuple[int, ...], *, largest: bool) -> Any:
    value = inputs.value
    (ky, kx, _, _, py, px), (high, wide) = window, value.shape[2:]
    if min(window[:4]) < 1 or min(py, px) < 0 or 2 * py > ky or 2 * px > kx:
        return NotImplemented
    if high + 2 * py < ky or wide + 2 * px < kx:
        return NotImplemented
    return record_operation(Pool(value, cast("tuple[int, int, int, int, int, int]", window), largest=largest), inputs)


def _max_pool2d(
    inputs: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    if not is_in_blocks(inputs) or ceil_mode or return_indices or to_pair(dilation) != (1, 1):
        return NotImplemented
    steps = to_pair(kernel_size if stride is None or stride == [] else stride)
    return _pool(inputs, (*to_pair(kernel_size), *steps, *to_pair(padding)), largest=True)


def _avg_pool2d(
    inputs: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: Any = None,
) -> Any:
    if not is_in_blocks(inputs) or ceil_mode or divisor_override is not None or to_pair(padding) != (0, 0):
        return NotImplemented
    steps = to_pair(kernel_size if stride is None or stride == [] else stride)
    return _pool(inputs, (*to_pair(kernel_size), *steps, 0, 0), largest=False)


def _adaptive_avg_pool2d(inputs: Any, output_size: Any) -> Any:
    if not is_in_blocks(inputs) or output_size not in (1, (1,), (1, 1), [1], [1, 1]):
        return NotImplemented
    return _pool(inputs, (*inputs.value.shape[2:], 1, 1, 0, 0), largest=False)


def _mean(inputs: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    if not is_in_blocks(inputs) or dtype is not None or out is not None or not isinstance(dim, tuple | list):
        return NotImplemented
    if sorted(axis % 4 for axis in dim if isinstance(axis, int)) != [2, 3] or len(dim) != 2:
        return NotImplemented
    pooled = _pool(inputs, (*inputs.value.shape[2:], 1, 1, 0, 0), largest=False)
    return pooled if keepdim or pooled is NotImplemented else to_plain(pooled).flatten(1)


def _padding(padding: Any) -> Any:
    return padding if isinstance(padding, str) else to_pair(padding)


_T = torch.Tensor
_FUNCTIONS: tuple[tuple[tuple[Any, ...], Any], ...] = (
    ((F.relu, torch.relu, _T.relu), _relu),
    ((F.relu_, torch.relu_, _T.relu_), _relu_),
    ((F.hardtanh,), _hardtanh),
    ((F.relu6,), _relu6),
    ((torch.add, _T.add, _T.__add__, _T.__radd__), _add),
    ((_T.add_, _T.__iadd__), _add_),
    ((F.batch_norm,), _batch_norm),
    ((F.conv2d, torch.conv2d), _conv2d),
    ((F.max_pool2d, torch.max_pool2d), _max_pool2d),
    ((F.avg_pool2d,), _avg_pool2d),
    ((F.adaptive_avg_pool2d,), _adaptive_avg_pool2d),
    ((torch.mean, _T.mean), _mean),
)
BLOCKED_FUNCTIONS.update({function: record for functions, record in _FUNCTIONS for function in functions})
BLOCKED_FUNCTIONS.update({**POINTWISE_FUNCTIONS, **PRODUCTS, **NORM_FUNCTIONS})
BLOCKED_OPERATORS[torch.ops.aten.permute.default] = permute_value
