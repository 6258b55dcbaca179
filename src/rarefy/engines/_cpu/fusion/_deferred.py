"""A tensor whose numbers are in blocks until somebody wants to see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

_T = torch.Tensor


class DeferredTensor(torch.Tensor):
    """An ordinary tensor to everybody: autograd's graph, hooks, versions and views are torch's own.

    Functions in `RECORDED` compute in blocks. Every other one gets an ordinary tensor of the same numbers, which is a
    view of this one to autograd: what is written into it is seen here.

    Attributes:
        value: What it stands for: a `_values.Value`, or a gradient on its way back.
    """

    value: Any

    @staticmethod
    def of(value: Any) -> DeferredTensor:
        """Makes a tensor that stands for a value."""
        tensor: DeferredTensor = _make(DeferredTensor, value.shape, dtype=torch.float32)
        tensor.value = value
        return tensor

    @property
    def shape(self) -> torch.Size:  # type: ignore[override]
        """Its shape, known without torch: it never changes."""
        shape: torch.Size = self.value.shape
        return shape

    def dim(self) -> int:
        """How many dimensions it has, known without torch."""
        return len(self.value.shape)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Records what the kernels know; all else is torch's own."""
        record = RECORDED.get(func)
        if record is not None:
            with _plainly():
                result = record(*args, **(kwargs or {}))
            if result is not NotImplemented:
                return result
        elif func in _LOOK or func in _WATCH:
            with _plainly():
                if func in _WATCH:
                    tree_map_only(DeferredTensor, _watch, (args, kwargs))
                return func(*args, **(kwargs or {}))
        with _plainly():
            args, kwargs = tree_map_only(DeferredTensor, plain, (args, kwargs or {}))
        return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Whatever reaches the numbers below autograd: an ordinary tensor's memory."""
        if func is torch.ops.aten.add.Tensor and not kwargs:
            for one, other in (args, args[::-1]):
                if isinstance(one, DeferredTensor) and one.value.is_gradient:
                    return one.value.add(other)
        args, kwargs = tree_map_only(DeferredTensor, lambda tensor: tensor.value.tensor(), (args, kwargs or {}))
        return func(*args, **kwargs)


RECORDED: dict[Any, Callable[..., Any]] = {}
"""Torch's functions to what computes them in blocks, or returns NotImplemented."""


def plain(tensor: Tensor) -> Tensor:
    """An ordinary tensor with the numbers of a deferred one: to autograd a view of it."""
    if not isinstance(tensor, DeferredTensor):
        return tensor
    with _plainly():
        alias: Tensor = torch.ops.aten.alias.default(tensor)
    return alias


def shape_of(tensor: Tensor) -> torch.Size:
    """A tensor's shape, without asking torch for that of a deferred one."""
    shape: torch.Size = tensor.value.shape if type(tensor) is DeferredTensor else tensor.shape
    return shape


def _watch(tensor: DeferredTensor) -> None:
    tensor.value.watched = True


_make = torch.Tensor._make_wrapper_subclass
_plainly = torch._C.DisableTorchFunctionSubclass
_LOOK = {  # what needs no numbers
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
_WATCH = {  # what lets somebody look at the gradient
    *(getattr(_T, name).__get__ for name in ("grad_fn",)),
    *(getattr(_T, name).__set__ for name in ("requires_grad",)),
    *(getattr(_T, name) for name in ("register_hook", "retain_grad", "requires_grad_", "backward")),
}
