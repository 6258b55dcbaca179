"""The whole weight of a layer that stores kept values, read-only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from rarefy.engines._torch_internals import without_torch_function
from rarefy.errors import InvalidInput

READ_ONLY = (
    "The whole weight of a sparse layer is made from its kept values at each access, so writing it changes nothing. "
    "Write the layer's `values`, or call rarefy.use_dense(model, sparsity) first, which makes the layers dense."
)
_SAME_MEMORY = {Tensor.data.__get__, Tensor.detach}  # type: ignore[attr-defined]


class ReadOnlyWeight(Tensor):
    """A tensor that raises InvalidInput when written in place; results computed from it are ordinary tensors.

    Example:
        >>> import torch
        >>> ReadOnlyWeight.of(torch.ones(2)) + 1
        tensor([2., 2.])
    """

    @classmethod
    def of(cls, weight: Tensor) -> Tensor:
        """Makes a read-only tensor of a weight."""
        return weight.as_subclass(cls)

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        name = getattr(func, "__name__", "")
        writes = (name.endswith("_") and not name.endswith("__")) or name in ("__setitem__", "__set__")
        if (writes and args and isinstance(args[0], cls) and name != "requires_grad_") or isinstance(
            options.get("out"), cls
        ):
            raise InvalidInput(READ_ONLY)
        with without_torch_function():
            result = func(*args, **options)
        return result.as_subclass(cls) if func in _SAME_MEMORY else result
