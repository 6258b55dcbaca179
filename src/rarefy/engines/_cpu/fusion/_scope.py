"""Where values may stay in blocks: between a model's first layer and its outputs."""

from __future__ import annotations

import functools
import importlib
import itertools
import threading
from types import ModuleType
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from rarefy.engines._cpu.fusion._deferred import DeferredTensor, plain
from rarefy.engines._cpu.fusion._limits import LARGEST_DENSE

_local = threading.local()


def fuse(model: nn.Module) -> None:
    """Lets values stay in blocks between the layers of a model, in place.

    The model's own `forward` runs at every call. Sparse layers hand on tensors whose numbers are in blocks; batch
    norm, ReLU, sums, pooling and further layers compute with them, whatever else looks at them sees ordinary tensors,
    and so does whoever called the model. Outside of such a call every sparse layer gives an ordinary tensor.

    Args:
        model: A model with sparse layers.

    Example:
        >>> from rarefy.engines._cpu import SparseConv2d
        >>> layer = SparseConv2d.from_dense(nn.Conv2d(3, 8, 3), torch.rand(8, 3, 3, 3) < 0.5)
        >>> model = nn.Sequential(layer, nn.BatchNorm2d(8), nn.ReLU())
        >>> fuse(model)
        >>> type(model(torch.ones(2, 3, 8, 8)))
        <class 'torch.Tensor'>
    """
    unfuse(model)
    model.register_forward_pre_hook(_open, prepend=True)
    model.register_forward_hook(_close, prepend=True, always_call=True)
    for convolution in _dense_before_sparse(model):
        convolution.register_forward_pre_hook(_enter)


def unfuse(model: nn.Module) -> None:
    """Undoes `fuse`; nothing happens to a model that is not fused.

    Example:
        >>> unfuse(nn.Linear(2, 2))
    """
    for module in model.modules():
        for hooks in (module._forward_pre_hooks, module._forward_hooks):
            for key in [key for key, hook in hooks.items() if hook in _HOOKS]:
                del hooks[key]
                module._forward_hooks_always_called.pop(key, None)


def is_open() -> bool:
    """Whether a fused model's forward runs in this thread."""
    return getattr(_local, "depth", 0) > 0


def _open(module: nn.Module, args: Any) -> None:
    if not torch.compiler.is_compiling():
        _local.depth = getattr(_local, "depth", 0) + 1


def _close(module: nn.Module, args: Any, outputs: Any) -> Any:
    if torch.compiler.is_compiling():
        return None
    _local.depth = max(0, getattr(_local, "depth", 0) - 1)
    return tree_map_only(DeferredTensor, plain, outputs)


def _enter(module: nn.Module, args: tuple[Any, ...]) -> Any:
    """Brings the input of a small dense convolution into blocks, so that what follows it stays there."""
    if not is_open() or len(args) != 1 or torch.compiler.is_compiling() or isinstance(args[0], DeferredTensor):
        return None
    return load_functions().enter_convolution(module, args[0])


@functools.cache
def load_functions() -> ModuleType:
    """Imports what calls kernels, once: the compiler that comes with it takes its time."""
    return importlib.import_module("rarefy.engines._cpu.fusion._functions")


def _dense_before_sparse(model: nn.Module) -> list[nn.Conv2d]:
    """Dense convolutions of few weights that a sparse layer follows, in the order in which layers are registered."""
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d) or hasattr(module, "pattern")]
    return [
        first
        for first, second in itertools.pairwise(layers)
        if type(first) is nn.Conv2d and first.weight.numel() <= LARGEST_DENSE and hasattr(second, "pattern")
    ]


_HOOKS = (_open, _close, _enter)
