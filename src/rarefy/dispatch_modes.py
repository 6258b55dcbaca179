"""Watches torch's operations without torch's compiler, whose import takes longer than many a training.

Torch imports its compiler for a class of dispatch mode, unless the class says that it need not, and for most operations
on the meta device: their shapes are computed by functions in Python that are marked as not to be compiled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode  # torch's documented way to see every operation
from torch.utils._pytree import tree_leaves, tree_map_only  # torch has no public pytree

_OWN_SHAPES = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)  # without values there are none: errors


class EagerMode(TorchDispatchMode):  # type: ignore[no-untyped-call, unused-ignore]  # torch's own
    """A dispatch mode for which torch's compiler is not imported: a base class.

    Example:
        >>> class Names(EagerMode):
        ...     def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        ...         print(func)
        ...         return func(*args, **(kwargs or {}))
        >>> with Names():
        ...     _ = torch.ones(2).relu()
        aten.ones.default
        aten.relu.default
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call, unused-ignore]

    def __init_subclass__(cls, **options: Any) -> None:
        """Checks the subclass as torch does."""
        super().__init_subclass__(**options)  # type: ignore[no-untyped-call, unused-ignore]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Tells torch that it need not import its compiler, for seconds, in order to skip this class."""
        return False


def call_without_values(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any] | None = None) -> Any:
    """Calls an operation on tensors of the meta device; the shapes of its results are those of real tensors of zeros.

    Args:
        func: An operation of torch as `__torch_dispatch__` gets it.
        args: Its arguments.
        kwargs: Its arguments by name.

    Returns:
        What the operation returns, on the meta device. It takes as long as the operation itself on the CPU.

    Example:
        >>> image, weight = torch.empty(1, 3, 8, 8, device="meta"), torch.empty(4, 3, 3, 3, device="meta")
        >>> options = ([1, 1], [0, 0], [1, 1], False, [0, 0], 1)
        >>> call_without_values(torch.ops.aten.convolution.default, (image, weight, None, *options)).shape
        torch.Size([1, 4, 6, 6])
    """
    kwargs = kwargs or {}
    if _is_in_place(func):
        return args[0]
    if not _needs_zeros(func, args, kwargs):
        return func(*args, **kwargs)
    real_args, real_kwargs = tree_map_only(Tensor, _make_zeros, (tuple(args), dict(kwargs)))
    return tree_map_only(Tensor, _remove_values, func(*real_args, **real_kwargs))


def _is_in_place(func: Any) -> bool:
    name = str(func._schema.name)
    return bool(func._schema.is_mutable) and name.endswith("_") and not name.endswith("__")


def _needs_zeros(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether all tensors have no values, and the result is neither a view nor asked for on some device."""
    tensors = [leaf for leaf in tree_leaves((tuple(args), dict(kwargs))) if isinstance(leaf, Tensor)]
    is_view = any(value.alias_info is not None for value in func._schema.returns)
    if not tensors or is_view or func._schema.is_mutable or kwargs.get("device") is not None:
        return False
    return all(tensor.is_meta for tensor in tensors) and not any(tag in func.tags for tag in _OWN_SHAPES)


def _make_zeros(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype).zero_()


def _remove_values(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
