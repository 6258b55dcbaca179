"""Inputs of a model: one tensor, a tuple of arguments, or a dict of named ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from rarefy.engines._torch_internals import tree_leaves
from rarefy.errors import InvalidInput


def call_model(model: nn.Module, inputs: Any) -> Any:
    """Calls a model with a batch of inputs.

    Example:
        >>> import torch
        >>> call_model(nn.Bilinear(2, 2, 1), (torch.ones(3, 2), torch.ones(3, 2))).shape
        torch.Size([3, 1])
    """
    if isinstance(inputs, Mapping):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple | list) else model(inputs)


def get_first_tensor(inputs: Any) -> Tensor:
    """Returns the first tensor of the inputs, whose shape is that of the batch.

    Raises:
        InvalidInput: If there is no tensor.

    Example:
        >>> import torch
        >>> get_first_tensor({"images": torch.ones(2, 3), "lengths": torch.ones(2)}).shape
        torch.Size([2, 3])
    """
    tensors = [leaf for leaf in tree_leaves(inputs) if isinstance(leaf, Tensor)]
    if not tensors:
        raise InvalidInput(f"Inputs are a batch: a tensor, a tuple or a dict of tensors; got {type(inputs)}.")
    return tensors[0]


def take_few(inputs: Any) -> Any:
    """Returns the first two samples of a batch that is one tensor; other batches are returned whole.

    Example:
        >>> import torch
        >>> take_few(torch.ones(5, 3)).shape
        torch.Size([2, 3])
    """
    return inputs[:2] if isinstance(inputs, Tensor) else inputs
