"""Which nodes of a traced model the kernels know."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from rarefy.engines._cpu.fusion._layers import SparseConv2d, SparseLinear

LARGEST_DENSE = 40_000
"""Elements of a dense convolution's weight up to which the kernels run it; torch is faster at larger ones."""

_RELU = {F.relu, torch.relu, torch.relu_, F.relu_}
_ADD = {operator.add, operator.iadd, torch.add}
_Window = tuple[int, int, int, int, int, int]


def kind(node: fx.Node, modules: dict[str, nn.Module]) -> str | None:
    """What a node does, of what the kernels know; else None."""
    if not all(_known(source) for source in [node, *node.all_input_nodes]):
        return None
    found: str | None = None
    if node.op == "call_module":
        found = _module(node, modules[str(node.target)])
    elif node.op == "call_function":
        found = _function(node)
    elif node.op == "call_method":
        found = _method(node)
    return found


def _known(node: fx.Node) -> bool:
    meta = node.meta.get("tensor_meta")
    return getattr(meta, "dtype", None) == torch.float32 and len(meta.shape) in (2, 4)  # type: ignore[union-attr]


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(node.meta["tensor_meta"].shape)


def _alone(node: fx.Node) -> bool:
    """Whether writing into a node's value would be seen by nobody else."""
    return len(node.users) == 1 and node.op != "placeholder"


def _module(node: fx.Node, module: nn.Module) -> str | None:
    source = node.all_input_nodes[0] if len(node.args) == 1 and not node.kwargs else None
    if source is None:
        return None
    maps = len(_shape(source)) == 4
    if isinstance(module, SparseConv2d) and maps:
        return "convolution"
    if isinstance(module, SparseLinear) and not maps:
        return "convolution"
    if type(module) is nn.Conv2d and maps and module.padding_mode == "zeros":
        return "convolution" if module.weight.numel() <= LARGEST_DENSE else None
    if type(module) is nn.BatchNorm2d and maps:
        return "norm"
    if type(module) is nn.ReLU:
        return "relu" if not module.inplace or _alone(source) else None
    if type(module) is nn.Flatten and maps:
        return "flatten" if (module.start_dim, module.end_dim) in ((1, -1), (1, 3)) and _alone_flat(source) else None
    return "pool" if maps and window(node, module)[0] != (0,) * 6 else None


def _alone_flat(source: fx.Node) -> bool:
    """A model's own input is flattened by torch: that is a view, and rows are what enters then."""
    return source.op != "placeholder"


def _function(node: fx.Node) -> str | None:
    sources = [argument for argument in node.args if isinstance(argument, fx.Node)]
    if node.target in _RELU:
        written = node.target in (torch.relu_, F.relu_) or node.kwargs.get("inplace") or len(node.args) > 1
        return "relu" if len(sources) == 1 and (not written or _alone(sources[0])) else None
    if node.target in _ADD:
        same = len(sources) == 2 and not node.kwargs and _shape(sources[0]) == _shape(sources[1])
        return "add" if same and (node.target is not operator.iadd or _alone(sources[0])) else None
    if node.target is torch.flatten and len(_shape(sources[0])) == 4:
        return "flatten" if node.args[1:] == (1,) and not node.kwargs and _alone_flat(sources[0]) else None
    if node.target in (F.max_pool2d, F.adaptive_avg_pool2d) and len(_shape(sources[0])) == 4:
        return "pool" if window(node, None)[0] != (0,) * 6 else None
    return None


def _method(node: fx.Node) -> str | None:
    source = node.all_input_nodes[0]
    if node.target == "relu" and len(node.args) == 1:
        return "relu"
    if len(_shape(source)) != 4:
        return None
    if node.target == "mean" and len(_shape(node)) == 2:
        dims = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else None)
        right = isinstance(dims, tuple | list) and {d % 4 for d in dims if isinstance(d, int)} == {2, 3}
        return "mean" if right and set(node.kwargs) <= {"dim"} else None
    if node.target == "flatten" and node.args[1:] == (1,) and not node.kwargs and _alone_flat(source):
        return "flatten"
    return None


def window(node: fx.Node, module: nn.Module | None) -> tuple[_Window | None, bool]:
    """(window of a pooling, None for the whole map; whether it takes the largest). Zeros: none the kernels know."""
    unknown: tuple[_Window, bool] = ((0, 0, 0, 0, 0, 0), False)
    if node.target == "mean":
        return None, False
    if type(module) is nn.AdaptiveAvgPool2d or node.target is F.adaptive_avg_pool2d:
        size: Any = module.output_size if isinstance(module, nn.AdaptiveAvgPool2d) else node.args[1:]
        flat = size if isinstance(size, tuple) and size and not isinstance(size[0], tuple) else (size,)
        return (None, False) if flat in ((1,), (1, 1), ((1, 1),)) or size == ((1, 1),) else unknown
    if type(module) is nn.MaxPool2d:
        plain = _pair(module.dilation) == (1, 1) and not module.ceil_mode and not module.return_indices
        numbers = (*_pair(module.kernel_size), *_pair(module.stride), *_pair(module.padding))
        return (numbers, True) if plain else unknown
    if type(module) is nn.AvgPool2d:
        plain = not module.ceil_mode and module.divisor_override is None and _pair(module.padding) == (0, 0)
        return ((*_pair(module.kernel_size), *_pair(module.stride), 0, 0), False) if plain else unknown
    if node.target is F.max_pool2d and len(node.args) in (2, 3) and not _odd(node.kwargs):
        kernel = node.args[1]
        stride = node.kwargs.get("stride") or (node.args[2] if len(node.args) > 2 else kernel)
        return ((*_pair(kernel), *_pair(stride), *_pair(node.kwargs.get("padding", 0))), True)
    return unknown


def _odd(kwargs: dict[str, Any]) -> bool:
    """Whether a pooling uses what the kernels do not know. Tracing writes defaults out."""
    return _pair(kwargs.get("dilation", 1)) != (1, 1) or bool(kwargs.get("ceil_mode") or kwargs.get("return_indices"))


def _pair(number: Any) -> tuple[int, int]:
    return (number, number) if isinstance(number, int) else (number[0], number[1])
