"""A tensor whose values stay in blocks until other code reads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rarefy.engines._torch_internals import make_wrapper, tree_map_only, without_torch_function

_T = torch.Tensor


class DeferredTensor(torch.Tensor):
    """A tensor that other code uses like any other: autograd's graph, hooks, versions and views are torch's own.

    Functions in `BLOCKED_FUNCTIONS` compute in blocks. All others get an ordinary tensor with the same values, which is
    a view of this one for autograd: writing into it changes this one.

    Attributes:
        value: A `_values.Value`, or a gradient of the backward pass.
    """

    value: Any

    @staticmethod
    def of(value: Any) -> DeferredTensor:
        """Makes the tensor of a value."""
        tensor: DeferredTensor = make_wrapper(DeferredTensor, value.shape, strides=value.strides, dtype=torch.float32)
        tensor.value = value
        return tensor

    @property
    def shape(self) -> torch.Size:  # type: ignore[override]
        """Shape of the value, without a call of torch: it never changes."""
        shape: torch.Size = self.value.shape
        return shape

    def dim(self) -> int:
        """Returns the number of dimensions, without a call of torch."""
        return len(self.value.shape)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Computes in blocks what has kernels, and calls torch for all other functions."""
        record = BLOCKED_FUNCTIONS.get(func)
        if record is not None and not (kwargs and _TENSOR_NAMES & kwargs.keys()):
            with without_torch_function():
                result = record(*args, **(kwargs or {}))
            if result is not NotImplemented:
                return result
        elif func in _METADATA or func in _GRADIENT_ACCESS:
            with without_torch_function():
                if func in _GRADIENT_ACCESS:
                    tree_map_only(DeferredTensor, _mark_observed, (args, kwargs))
                return func(*args, **(kwargs or {}))
        with without_torch_function():
            args, kwargs = tree_map_only(DeferredTensor, to_plain, (args, kwargs or {}))
        return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Gives functions below autograd the memory of an ordinary tensor."""
        if func is torch.ops.aten.add.Tensor and not kwargs:
            for first, second in (args, args[::-1]):
                if isinstance(first, DeferredTensor) and first.value.is_gradient:
                    return first.value.add(second)
        compute = BLOCKED_OPERATORS.get(func)
        if compute is not None and (result := compute(*args)) is not NotImplemented:
            return result
        args, kwargs = tree_map_only(DeferredTensor, lambda tensor: tensor.value.tensor(), (args, kwargs or {}))
        return func(*args, **kwargs)


BLOCKED_OPERATORS: dict[Any, Callable[..., Any]] = {}
"""Operators below autograd to functions that compute them in blocks or return NotImplemented."""
_TENSOR_NAMES = {"input", "other"}  # torch's names of tensors, which are rarely given by name
BLOCKED_FUNCTIONS: dict[Any, Callable[..., Any]] = {}
"""Torch's functions to functions that compute them in blocks or return NotImplemented."""


def to_plain(tensor: Tensor) -> Tensor:
    """Returns an ordinary tensor with the values of a deferred one; for autograd it is a view of it."""
    if not isinstance(tensor, DeferredTensor):
        return tensor
    with without_torch_function():
        alias: Tensor = torch.ops.aten.alias.default(tensor)
    return alias


def get_shape(tensor: Tensor) -> torch.Size:
    """Returns a tensor's shape; for a deferred one without a call of torch."""
    shape: torch.Size = tensor.value.shape if type(tensor) is DeferredTensor else tensor.shape
    return shape


def _mark_observed(tensor: DeferredTensor) -> None:
    tensor.value.is_observed = True


_METADATA = {  # functions that need no values
    *(getattr(_T, name).__get__ for name in (
        "shape", "dtype", "device", "layout", "ndim", "requires_grad", "is_leaf", "_version", "output_nr", "is_cuda",
        "is_meta", "is_sparse", "is_quantized", "is_nested", "is_mkldnn", "itemsize", "nbytes", "retains_grad", "grad",
        "_backward_hooks",
    )),
    *(getattr(_T, name) for name in (
        "size", "dim", "numel", "nelement", "ndimension", "is_floating_point", "is_complex", "stride", "element_size",
        "is_contiguous", "storage_offset", "__len__", "__hash__", "is_inference", "is_signed", "get_device",
        "is_same_size",
    )),
}  # fmt: skip
_GRADIENT_ACCESS = {  # functions after which other code can read the gradient
    *(getattr(_T, name).__get__ for name in ("grad_fn",)),
    *(getattr(_T, name).__set__ for name in ("requires_grad",)),
    *(getattr(_T, name) for name in ("register_hook", "retain_grad", "requires_grad_", "backward")),
}
