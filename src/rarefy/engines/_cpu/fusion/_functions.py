"""Functions of torch that compute in blocks where they can; what they cannot take is left to torch."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from rarefy.engines._cpu.blocked import _calls
from rarefy.engines._cpu.blocked._memory import EMPTY, constant
from rarefy.engines._cpu.blocked._pattern import Pattern, full
from rarefy.engines._cpu.blocked._weights import Geometry
from rarefy.engines._cpu.fusion._deferred import RECORDED, DeferredTensor, plain
from rarefy.engines._cpu.fusion._graph import as_numpy, attach
from rarefy.engines._cpu.fusion._limits import LARGEST_DENSE, can_read, may_use_kernels
from rarefy.engines._cpu.fusion._operations import Add, Convolve, Enter, Normalize, Pool, Rectify
from rarefy.engines._cpu.fusion._values import Value, enter
from rarefy.engines._cpu.kernels import _elementwise

_full = functools.lru_cache(maxsize=64)(full)


def convolve(geometry: Geometry, inputs: Tensor, values: Tensor, bias: Tensor | None, *, moments: bool) -> Tensor:
    """Computes a layer of kept weights in blocks.

    Args:
        geometry: How its weights lie over the input.
        inputs: [N, C, H, W] or [N, F], for which ``geometry.fits``.
        values: Kept weights.
        bias: Its bias, if any.
        moments: Whether batch norm's moments of the outputs are taken, too.

    Returns:
        A deferred tensor.
    """
    value = _value(inputs)
    moments = moments and len(value.shape) == 4
    return attach(Convolve(geometry, value, values, bias, moments=moments), inputs, values, bias)


def _value(tensor: Tensor) -> Value:
    """A tensor's value; one that an ordinary tensor shares its memory with is read anew."""
    if type(tensor) is DeferredTensor:
        value: Value = tensor.value
        return value if value.plain is None else enter(value.plain)
    return enter(tensor)


def _in_blocks(tensor: Any, dims: Sequence[int] = (4,)) -> bool:
    """Whether a tensor is in blocks still, and nobody has an ordinary one of its numbers."""
    return (
        type(tensor) is DeferredTensor
        and not tensor.value.is_gradient
        and tensor.value.plain is None
        and len(tensor.value.shape) in dims
    )


def _relu(inputs: Any, inplace: bool = False) -> Any:
    if not _in_blocks(inputs, (2, 4)):
        return NotImplemented
    return attach(Rectify(inputs.value), inputs, written=inplace)


def _relu_(inputs: Any) -> Any:
    return _relu(inputs, inplace=True)


def _add(first: Any, second: Any, *, alpha: Any = 1, out: Any = None, written: bool = False) -> Any:
    if out is not None or alpha != 1 or not (can_read(first) and can_read(second)):
        return NotImplemented
    if first.shape != second.shape or first.dim() not in (2, 4):
        return NotImplemented
    if not _in_blocks(first, (2, 4)) and (written or not _in_blocks(second, (2, 4))):
        return NotImplemented
    return attach(Add(_value(first), _value(second)), first, second, written=written)


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
    given = [one for one in (running_mean, running_var, weight, bias) if one is not None]
    if not _in_blocks(inputs) or (running_mean is None) != (running_var is None):
        return NotImplemented
    channels = inputs.value.shape[1]
    if not all([can_read(one) and one.shape == (channels,) and one.is_contiguous() for one in given]):
        return NotImplemented
    value = inputs.value
    tracked = training and running_mean is not None
    if (running_mean is None and not training) or (tracked and momentum is None):
        return NotImplemented
    maps = value.stored()
    if training and maps.count == 1:
        return NotImplemented  # torch says what is wrong
    moments = np.empty((1, 0, 3))
    if training:
        moments = _calls.moments_of(maps) if value.moments is None else value.moments
    mean = EMPTY if running_mean is None else running_mean.detach().numpy()
    variance = EMPTY if running_var is None else running_var.detach().numpy()
    scale = constant(channels, 1) if weight is None else as_numpy(weight)
    shift = constant(channels, 0) if bias is None else as_numpy(bias)
    factor = float(momentum) if tracked else 0.0
    numbers = _elementwise.norm_forward(moments, scale, shift, eps, factor, mean, variance, training, tracked)
    return attach(Normalize(value, numbers, by_batch=training, epsilon=eps), inputs, weight, bias)


def enter_convolution(module: Any, inputs: Tensor) -> tuple[Tensor] | None:
    """The input of a small dense convolution in blocks; None where the kernels cannot compute it."""
    numbers = [inputs, module.weight] + ([] if module.bias is None else [module.bias])
    if not all([can_read(one) for one in numbers]) or not may_use_kernels():
        return None
    if module.padding_mode != "zeros" or inputs.dim() != 4 or inputs.shape[1] != module.in_channels:
        return None
    return (attach(Enter(enter(inputs)), inputs),)


def _conv2d(
    inputs: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    if not _in_blocks(inputs) or not can_read(weight) or weight.dim() != 4 or weight.numel() > LARGEST_DENSE:
        return NotImplemented
    if bias is not None and not can_read(bias):
        return NotImplemented
    return dense_convolution(inputs, weight, bias, stride, padding, dilation, groups)


def dense_convolution(
    inputs: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    """Computes a small dense convolution in blocks, as one that keeps every weight."""
    pattern: Pattern = _full(weight.shape)
    geometry = Geometry.of(pattern, _pair(stride), _padding(padding), _pair(dilation), groups)
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
    return attach(Pool(value, cast("tuple[int, int, int, int, int, int]", window), largest=largest), inputs)


def _max_pool2d(
    inputs: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    if not _in_blocks(inputs) or ceil_mode or return_indices or _pair(dilation) != (1, 1):
        return NotImplemented
    steps = _pair(kernel_size if stride is None or stride == [] else stride)
    return _pool(inputs, (*_pair(kernel_size), *steps, *_pair(padding)), largest=True)


def _avg_pool2d(
    inputs: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: Any = None,
) -> Any:
    if not _in_blocks(inputs) or ceil_mode or divisor_override is not None or _pair(padding) != (0, 0):
        return NotImplemented
    steps = _pair(kernel_size if stride is None or stride == [] else stride)
    return _pool(inputs, (*_pair(kernel_size), *steps, 0, 0), largest=False)


def _adaptive_avg_pool2d(inputs: Any, output_size: Any) -> Any:
    if not _in_blocks(inputs) or output_size not in (1, (1,), (1, 1), [1], [1, 1]):
        return NotImplemented
    return _pool(inputs, (*inputs.value.shape[2:], 1, 1, 0, 0), largest=False)


def _mean(inputs: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None) -> Any:
    if not _in_blocks(inputs) or dtype is not None or out is not None or not isinstance(dim, tuple | list):
        return NotImplemented
    if sorted(one % 4 for one in dim if isinstance(one, int)) != [2, 3] or len(dim) != 2:
        return NotImplemented
    pooled = _pool(inputs, (*inputs.value.shape[2:], 1, 1, 0, 0), largest=False)
    return pooled if keepdim or pooled is NotImplemented else plain(pooled).flatten(1)


def _pair(number: Any) -> tuple[int, int]:
    return (number, number) if isinstance(number, int) else (int(number[0]), int(number[-1]))


def _padding(padding: Any) -> Any:
    return padding if isinstance(padding, str) else _pair(padding)


_T = torch.Tensor
_KNOWN: tuple[tuple[tuple[Any, ...], Any], ...] = (
    ((F.relu, torch.relu, _T.relu), _relu),
    ((F.relu_, torch.relu_, _T.relu_), _relu_),
    ((torch.add, _T.add, _T.__add__, _T.__radd__), _add),
    ((_T.add_, _T.__iadd__), _add_),
    ((F.batch_norm,), _batch_norm),
    ((F.conv2d, torch.conv2d), _conv2d),
    ((F.max_pool2d, torch.max_pool2d), _max_pool2d),
    ((F.avg_pool2d,), _avg_pool2d),
    ((F.adaptive_avg_pool2d,), _adaptive_avg_pool2d),
    ((torch.mean, _T.mean), _mean),
)
RECORDED.update({function: record for functions, record in _KNOWN for function in functions})
