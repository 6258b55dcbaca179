"""Batch norm folded into the layer before it, with a check at every call that it still follows that layer."""

from __future__ import annotations

import copy
import logging
import random
import threading
from collections import Counter
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from rarefy.errors import RarefyError

_LOG = logging.getLogger("rarefy")
_local = threading.local()


class ForwardChanged(RarefyError, RuntimeError):
    """The forward of a compiled network took another way than when it was compiled.

    Attributes:
        layer: The layer into which a batch norm was folded.
        norm: That batch norm.
    """

    layer: str
    norm: str


def fold_norms(model: nn.Module) -> None:
    """Folds batch norm, in place, wherever it alone follows a convolution or linear layer.

    A trace says what follows what; it is not kept: the model's own forward runs at every call. `watch_norms` has each
    call check it.

    Args:
        model: A model in evaluation mode.
    """
    try:
        graph, modules = _trace(copy.deepcopy(model))
    except Exception as error:  # a network may do anything in its forward, and tracing fail at it in any way
        _LOG.info("batch norm stays as it is: the network cannot be traced (%s: %s)", type(error).__name__, error)
        return
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        if _is_foldable(modules, node, calls):
            _fold(model, str(node.args[0].target), str(node.target))


def watch_norms(model: nn.Module) -> None:
    """Has every call check that the output of each folded layer goes into its batch norm, and nowhere else.

    Args:
        model: A model that `fold_norms` has seen, its layers as they will stay.

    Raises:
        ForwardChanged: From the model's calls, where it does not.
    """
    norms = [module for module in model.modules() if isinstance(module, FoldedNorm)]
    for norm in norms:
        model.get_submodule(norm.layer).register_forward_hook(norm.note_output)
    if norms:
        model.register_forward_pre_hook(_start_call, prepend=True)
        model.register_forward_hook(_check_call)
        model.register_forward_hook(_end_call, always_call=True)


class FoldedNorm(nn.Module):
    """Stands for a batch norm that was folded into the layer before it, and demands that layer's output.

    Args:
        layer: Name of the layer.
        norm: Name of the batch norm.
    """

    def __init__(self, layer: str, norm: str) -> None:
        super().__init__()
        self.layer, self.norm = layer, norm

    def note_output(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        """Notes what the layer gives, as its forward hook."""
        calls = getattr(_local, "calls", None)
        if calls:
            if self.layer in calls[-1]:
                raise _make_error(self)
            calls[-1][self.layer] = (self, output)

    def forward(self, inputs: Tensor) -> Tensor:
        """Gives the input on."""
        calls = getattr(_local, "calls", None)
        if calls and calls[-1].pop(self.layer, (self, None))[1] is not inputs:
            raise _make_error(self)
        return inputs

    def extra_repr(self) -> str:
        """The layer, for people."""
        return f"folded into {self.layer}"


def _start_call(module: nn.Module, inputs: Any) -> None:
    _local.calls = [*getattr(_local, "calls", ()), {}]


def _check_call(module: nn.Module, inputs: Any, output: Any) -> None:
    for norm, _ in _local.calls[-1].values():  # of a layer whose output went elsewhere
        raise _make_error(norm)


def _end_call(module: nn.Module, inputs: Any, output: Any) -> None:
    _local.calls = getattr(_local, "calls", [{}])[:-1]


def _make_error(norm: FoldedNorm) -> ForwardChanged:
    return ForwardChanged(
        f"The batch norm {norm.norm!r} was folded into {norm.layer!r} when the network was compiled, and its forward "
        "went another way now: an attribute was changed, or the data decide the way. Compile the network as it is now, "
        "or use it without compile_inference.",
        layer=norm.layer,
        norm=norm.norm,
    )


def _trace(model: nn.Module) -> tuple[fx.Graph, dict[str, nn.Module]]:
    """The graph of a model's forward and its modules.

    Raises:
        RuntimeError: If the forward draws random numbers while it is traced: what it does then says nothing of later.
    """
    before = _generators()
    graph = fx.Tracer().trace(model)
    if _generators() != before:
        raise RuntimeError("its forward draws random numbers in Python")
    return graph, dict(model.named_modules())


def _generators() -> tuple[object, ...]:
    """States of the global generators, to be compared."""
    return random.getstate(), torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state())


def _fold(model: nn.Module, layer: str, norm: str) -> None:
    before: Any = model.get_submodule(layer)
    after: Any = model.get_submodule(norm)
    fold = fuse_linear_bn_eval if isinstance(before, nn.Linear) else fuse_conv_bn_eval
    model.set_submodule(layer, fold(before, after).requires_grad_(False))
    model.set_submodule(norm, FoldedNorm(layer, norm))


def _is_foldable(modules: dict[str, nn.Module], node: fx.Node, calls: Counter[Any]) -> bool:
    before = node.args[0] if node.args else None
    if node.op != "call_module" or not isinstance(before, fx.Node) or before.op != "call_module":
        return False
    norm, layer = modules[str(node.target)], modules[str(before.target)]
    fits = (type(norm), type(layer)) in {(nn.BatchNorm2d, nn.Conv2d), (nn.BatchNorm1d, nn.Linear)}
    once = len(before.users) == calls[before.target] == calls[node.target] == 1
    return fits and once and _names(modules, norm) == _names(modules, layer) == 1 and _has_statistics(norm)


def _names(modules: dict[str, nn.Module], module: nn.Module) -> int:
    """Under how many names a module is registered; of several, tracing knows the first alone."""
    return sum(one is module for one in modules.values())


def _has_statistics(norm: nn.Module) -> bool:
    hooks = (norm._forward_hooks, norm._forward_pre_hooks)
    return getattr(norm, "running_mean", None) is not None and not any(hooks)
