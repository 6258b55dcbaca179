"""Lets values stay in blocks within a model's forward, and converts its outputs."""

from __future__ import annotations

import functools
import importlib
import itertools
import threading
from types import ModuleType
from typing import Any

import torch
from torch import nn

from rarefy.engines._cpu.fusion._deferred import DeferredTensor, to_plain
from rarefy.engines._cpu.fusion._limits import LARGEST_DENSE
from rarefy.engines._torch_internals import remove_hooks, tree_map_only

_local = threading.local()


def fuse(model: nn.Module) -> None:
    """Lets values stay in blocks between the layers of a model, in place.

    The model's own `forward` runs at every call. Sparse layers return tensors whose values are in blocks. Batch norm,
    ReLU, sums, pooling and further layers compute with them; all other functions, and the caller of the model, get
    ordinary tensors. Outside of such a call every sparse layer returns an ordinary tensor.

    The forward computes in float32, also where it is called under autocast: the kernels do, and the conversions between
    would cost more than other layers gain. An autocast context within the forward has its effect.

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
    model.register_forward_pre_hook(_start_call, prepend=True)
    model.register_forward_hook(_end_call, prepend=True, always_call=True)
    for convolution in _find_dense_before_sparse(model):
        convolution.register_forward_pre_hook(_block_input)


def unfuse(model: nn.Module) -> None:
    """Undoes `fuse`; does nothing to a model that is not fused.

    Example:
        >>> unfuse(nn.Linear(2, 2))
    """
    for module in model.modules():
        remove_hooks(module, _HOOKS)


def is_fused_call() -> bool:
    """Whether a fused model's forward runs in this thread."""
    return getattr(_local, "depth", 0) > 0


def _start_call(module: nn.Module, args: Any) -> None:
    if torch.compiler.is_compiling():
        return
    if not is_fused_call() and torch.is_autocast_enabled("cpu"):
        _local.float32 = torch.autocast("cpu", enabled=False)
        _local.float32.__enter__()
    _local.depth = getattr(_local, "depth", 0) + 1


def _end_call(module: nn.Module, args: Any, outputs: Any) -> Any:
    if torch.compiler.is_compiling():
        return None
    _local.depth = max(0, getattr(_local, "depth", 0) - 1)
    float32 = getattr(_local, "float32", None)
    if float32 is not None and not is_fused_call():
        _local.float32 = None
        float32.__exit__(None, None, None)
    return tree_map_only(DeferredTensor, to_plain, outputs)


def _block_input(module: nn.Module, args: tuple[Any, ...]) -> Any:
    """Brings the input of a small dense convolution into blocks, so that the values after it stay in blocks."""
    if not is_fused_call() or len(args) != 1 or torch.compiler.is_compiling() or isinstance(args[0], DeferredTensor):
        return None
    return load_functions().block_convolution_input(module, args[0])


@functools.cache
def load_functions() -> ModuleType:
    """Imports the functions that call kernels at their first use: they import Numba, which takes seconds."""
    return importlib.import_module("rarefy.engines._cpu.fusion._functions")


def _find_dense_before_sparse(model: nn.Module) -> list[nn.Conv2d]:
    """Finds small dense convolutions before a sparse layer, in the order in which layers are registered."""
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d) or hasattr(module, "pattern")]
    return [
        first
        for first, second in itertools.pairwise(layers)
        if type(first) is nn.Conv2d and first.weight.numel() <= LARGEST_DENSE and hasattr(second, "pattern")
    ]


_HOOKS = (_start_call, _end_call, _block_input)
