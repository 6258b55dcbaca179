"""Inputs of a model: one tensor, a tuple of arguments, or a dict of named ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from rarefy.errors import InvalidInput


def call_model(model: nn.Module, sample: Any) -> Any:
    """Runs a model on a sample.

    Example:
        >>> import torch
        >>> call_model(nn.Bilinear(2, 2, 1), (torch.ones(3, 2), torch.ones(3, 2))).shape
        torch.Size([3, 1])
    """
    if isinstance(sample, Mapping):
        return model(**sample)
    return model(*sample) if isinstance(sample, tuple | list) else model(sample)


def first_tensor(sample: Any) -> Tensor:
    """The first tensor of a sample: its batch.

    Raises:
        InvalidInput: If there is none.

    Example:
        >>> import torch
        >>> first_tensor({"images": torch.ones(2, 3), "lengths": torch.ones(2)}).shape
        torch.Size([2, 3])
    """
    tensors = [leaf for leaf in tree_leaves(sample) if isinstance(leaf, Tensor)]
    if not tensors:
        raise InvalidInput(f"A sample is a batch of inputs: a tensor, a tuple or a dict of them; got {type(sample)}.")
    return tensors[0]
