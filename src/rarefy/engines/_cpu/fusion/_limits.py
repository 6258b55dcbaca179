"""What the kernels take: which tensors, and when nobody wants to see torch's own functions at work."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from rarefy.engines._cpu.fusion._deferred import DeferredTensor

_ORDINARY = (Tensor, nn.Parameter)
LARGEST_DENSE = 40_000
"""Elements of a dense convolution's weight up to which the kernels run it; torch is faster at larger ones."""


def can_read(tensor: Any) -> bool:
    """Whether the kernels can read a tensor: an ordinary, non-empty one of float32 on the CPU, or one of ours."""
    if type(tensor) is DeferredTensor:
        return not tensor.value.is_gradient
    return (
        type(tensor) in _ORDINARY
        and tensor.dtype is torch.float32
        and tensor.layout is torch.strided
        and tensor.is_cpu
        and tensor.numel() > 0
    )


def may_use_kernels() -> bool:
    """Whether nobody wants torch's own functions: no autocast, transforms, tracing, modes or saved-tensor hooks."""
    return not (
        torch.is_autocast_enabled("cpu")
        or torch._C._are_functorch_transforms_active()
        or torch._C._get_tracing_state() is not None
        or torch._C._len_torch_dispatch_stack()
        or torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
        or forward_ad._current_level >= 0
    )
