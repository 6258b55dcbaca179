"""Sharded tensors (DTensors), of which each process holds a part, as ``torch.distributed.fsdp.fully_shard`` makes them.

For a tensor that is not sharded, every function here is a plain call on that tensor.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from torch import Tensor


def is_sharded(value: object) -> bool:
    """Whether a value is a tensor of which each process holds a part.

    Example:
        >>> is_sharded(torch.ones(2))
        False
    """
    tensors = sys.modules.get("torch.distributed.tensor")  # slow to import; before its import nothing is sharded
    return tensors is not None and isinstance(value, tensors.DTensor)


def to_local(tensor: Tensor) -> Tensor:
    """Returns the part that this process holds, sharing its memory; the tensor itself if it is not sharded.

    Example:
        >>> to_local(torch.ones(2))
        tensor([1., 1.])
    """
    if not is_sharded(tensor):
        return tensor
    with torch.no_grad():
        return tensor.to_local()  # type: ignore[attr-defined,no-any-return]


@torch.no_grad()
def to_full(tensor: Tensor) -> Tensor:
    """Gathers the full tensor from all processes, on the tensor's device. Every process has to call it.

    Example:
        >>> to_full(torch.ones(2))
        tensor([1., 1.])
    """
    return tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


@torch.no_grad()
def shard_like(value: Tensor, like: Tensor) -> Tensor:
    """Moves a tensor to the device of another one, and shards it in the same way if that one is sharded.

    Args:
        value: The full tensor, the same on every process. A sharded one is returned as it is.
        like: The tensor of the same shape.

    Example:
        >>> shard_like(torch.tensor([True, False]), torch.ones(2))
        tensor([ True, False])
    """
    if is_sharded(value):
        return value
    if not is_sharded(like):
        return value.to(like.device)
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(value.detach(), like.device_mesh, like.placements, src_data_rank=None)


def mask_device(weight: Tensor) -> torch.device:
    """Returns the device of a weight's mask: the weight's own, or the CPU if the weight is sharded.

    Example:
        >>> mask_device(torch.ones(2))
        device(type='cpu')
    """
    return torch.device("cpu") if is_sharded(weight) else weight.device


def layout_key(tensor: Tensor) -> Hashable:
    """Returns a hashable key of a tensor's memory layout: device, shape, strides, and how it is sharded.

    Example:
        >>> layout_key(torch.ones(2, 3)) == layout_key(torch.zeros(2, 3)) != layout_key(torch.ones(3, 2).T)
        True
    """
    if not is_sharded(tensor):
        return tensor.device, tensor.shape, tensor.stride()
    own = to_local(tensor)
    return own.device, own.shape, own.stride(), tensor.device_mesh, tensor.placements  # type: ignore[attr-defined]


def gather_tree(tree: Any, *, keep: bool) -> Any:
    """Gathers every sharded tensor in nested dicts and lists into CPU memory. Every process has to call it.

    Tensors are gathered one at a time, so that a device holds at most one full tensor.

    Args:
        tree: Dicts and lists of anything.
        keep: Whether this process keeps the full tensors; if not, None takes their places.

    Example:
        >>> gather_tree({"weights": [torch.ones(2)], "step": 3}, keep=True)
        {'weights': [tensor([1., 1.])], 'step': 3}
    """
    if isinstance(tree, dict):
        return {name: gather_tree(value, keep=keep) for name, value in tree.items()}
    if isinstance(tree, list):
        return [gather_tree(value, keep=keep) for value in tree]
    if not is_sharded(tree):
        return tree
    full = to_full(tree)
    return full.cpu() if keep else None


def shard_tree_like(values: Mapping[str, Any], likes: Mapping[str, Any]) -> dict[str, Any]:
    """Shards each tensor like the one of the same name and shape in `likes`.

    Example:
        >>> shard_tree_like({"weight": torch.zeros(2), "step": 3}, {"weight": torch.ones(2)})
        {'weight': tensor([0., 0.]), 'step': 3}
    """
    return {name: _shard_if_same_shape(value, likes.get(name)) for name, value in values.items()}


def _shard_if_same_shape(value: Any, like: Any) -> Any:
    is_same_shape = isinstance(value, Tensor) and is_sharded(like) and value.shape == like.shape
    return shard_like(value, like) if is_same_shape else value
