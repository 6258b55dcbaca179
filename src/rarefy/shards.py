"""Tensors of which each process holds a part, as ``torch.distributed.fsdp.fully_shard`` makes them (DTensors).

Everything here is a plain call on a tensor that one process holds whole.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from torch import Tensor


def is_sharded(value: object) -> bool:
    """Whether this is a tensor of which each process holds a part.

    Example:
        >>> is_sharded(torch.ones(2))
        False
    """
    tensors = sys.modules.get("torch.distributed.tensor")  # slow to import, and nothing is sharded before it is
    return tensors is not None and isinstance(value, tensors.DTensor)


def local(tensor: Tensor) -> Tensor:
    """The part that this process holds, sharing its memory; of what is not sharded the tensor itself.

    Example:
        >>> local(torch.ones(2))
        tensor([1., 1.])
    """
    if not is_sharded(tensor):
        return tensor
    with torch.no_grad():
        return tensor.to_local()  # type: ignore[attr-defined,no-any-return]


@torch.no_grad()
def whole(tensor: Tensor) -> Tensor:
    """The whole tensor on this tensor's device, gathered from all processes; each of them has to call it.

    Example:
        >>> whole(torch.ones(2))
        tensor([1., 1.])
    """
    return tensor.full_tensor() if is_sharded(tensor) else tensor  # type: ignore[attr-defined]


@torch.no_grad()
def placed(value: Tensor, like: Tensor) -> Tensor:
    """A tensor where another of its shape is: on its device and, if that one is sharded, this process's part of it.

    Args:
        value: The whole tensor, the same on every process; one that is sharded already is given back.
        like: The tensor of the same shape.

    Example:
        >>> placed(torch.tensor([True, False]), torch.ones(2))
        tensor([ True, False])
    """
    if is_sharded(value):
        return value
    if not is_sharded(like):
        return value.to(like.device)
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(value.detach(), like.device_mesh, like.placements, src_data_rank=None)


def home(weight: Tensor) -> torch.device:
    """Where what belongs to a whole weight (its mask) is kept: beside it, or in the host's memory if it is sharded.

    Example:
        >>> home(torch.ones(2))
        device(type='cpu')
    """
    return torch.device("cpu") if is_sharded(weight) else weight.device


def layout(tensor: Tensor) -> Hashable:
    """What two tensors have in common whose memory is laid out alike: device, shape, strides, and how it is sharded.

    Example:
        >>> layout(torch.ones(2, 3)) == layout(torch.zeros(2, 3)) != layout(torch.ones(3, 2).T)
        True
    """
    if not is_sharded(tensor):
        return tensor.device, tensor.shape, tensor.stride()
    own = local(tensor)
    return own.device, own.shape, own.stride(), tensor.device_mesh, tensor.placements  # type: ignore[attr-defined]


def collected(tree: Any, *, keep: bool) -> Any:
    """Nested dicts and lists with every sharded tensor made whole, in the host's memory; each process has to call it.

    Tensors are gathered one at a time, so that no device ever holds more than one of them.

    Args:
        tree: Dicts and lists of anything.
        keep: Whether this process wants them; one that does not has None in their places.

    Example:
        >>> collected({"weights": [torch.ones(2)], "step": 3}, keep=True)
        {'weights': [tensor([1., 1.])], 'step': 3}
    """
    if isinstance(tree, dict):
        return {name: collected(value, keep=keep) for name, value in tree.items()}
    if isinstance(tree, list):
        return [collected(value, keep=keep) for value in tree]
    if not is_sharded(tree):
        return tree
    found = whole(tree)
    return found.cpu() if keep else None


def spread(values: Mapping[str, Any], likes: Mapping[str, Any]) -> dict[str, Any]:
    """The values with every tensor placed as that of its name is, if there is one of its shape.

    Example:
        >>> spread({"weight": torch.zeros(2), "step": 3}, {"weight": torch.ones(2)})
        {'weight': tensor([0., 0.]), 'step': 3}
    """
    return {name: _placed(value, likes.get(name)) for name, value in values.items()}


def _placed(value: Any, like: Any) -> Any:
    fits = isinstance(value, Tensor) and is_sharded(like) and value.shape == like.shape
    return placed(value, like) if fits else value
