"""Which tensors the kernels can read, and when they may run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rarefy.engines._cpu.fusion._deferred import DeferredTensor

_ORDINARY = (Tensor, nn.Parameter)
LARGEST_DENSE = 40_000
"""Largest weight of a dense convolution that the kernels run; for larger ones torch is faster."""


def can_read(tensor: Any) -> bool:
    """Whether the kernels can read a tensor: an ordinary, non-empty one of float32 on the CPU, or a deferred one."""
    if type(tensor) is DeferredTensor:
        return not tensor.value.is_gradient
    return (
        type(tensor) in _ORDINARY
        and tensor.dtype is torch.float32
        and tensor.layout is torch.strided
        and tensor.is_cpu
        and tensor.numel() > 0
    )
