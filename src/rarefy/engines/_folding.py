"""Folds batch norms into the layers before them, and checks at every call that they still follow these layers."""

from __future__ import annotations

import copy
import logging
import threading
from collections import Counter
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from rarefy.engines._generators import read_generators
from rarefy.engines._torch_internals import has_forward_hooks
from rarefy.errors import RarefyError

_LOG = logging.getLogger("rarefy")
_local = threading.local()


class ForwardChanged(RarefyError, RuntimeError):
    """The forward of a compiled network took another path than when it was compiled.

    Attributes:
        layer: The layer into which a batch norm was folded.
        norm: That batch norm.
    """

    layer: str
    norm: str


def fold_norms(model: nn.Module) -> None:
    """Folds each batch norm, in place, that alone follows a convolution or linear layer.

    A trace shows which module follows which. It is not kept: the model's own forward runs at every call, and
    `watch_norms` adds the check.

    Args:
        model: A model in evaluation mode.
    """
    try:
        graph, modules = _trace(copy.deepcopy(model))
    except Exception as error:  # a forward may do anything, so tracing may fail in any way
        _LOG.info("batch norm stays as it is: the network cannot be traced (%s: %s)", type(error).__name__, error)
        return
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        if _is_foldable(modules, node, calls):
            _fold(model, str(node.args[0].target), str(node.target))


def watch_norms(model: nn.Module) -> None:
    """Adds a check to every call: the output of each folded layer goes into its batch norm, and nowhere else.

    Args:
        model: A model after `fold_norms`, with its final layers.

    Raises:
        ForwardChanged: By a call of the model in which it does not.
    """
    norms = [module for module in model.modules() if isinstance(module, FoldedNorm)]
    for norm in norms:
        model.get_submodule(norm.layer).register_forward_hook(norm.note_output)
    if norms:
        model.register_forward_pre_hook(_start_call, prepend=True)
        model.register_forward_hook(_check_call)
        model.register_forward_hook(_end_call, always_call=True)


class FoldedNorm(nn.Module):
    """Takes the place of a batch norm that was folded into the layer before it; accepts that layer's output only.

    Args:
        layer: Name of the layer.
        norm: Name of the batch norm.
    """

    def __init__(self, layer: str, norm: str) -> None:
        super().__init__()
        self.layer, self.norm = layer, norm

    def note_output(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        """Records the layer's output; a forward hook of the layer."""
        calls = getattr(_local, "calls", None)
        if calls:
            if self.layer in calls[-1]:
                raise _make_error(self)
            calls[-1][self.layer] = (self, output)

    def forward(self, inputs: Tensor) -> Tensor:
        """Returns the input."""
        calls = getattr(_local, "calls", None)
        if calls and calls[-1].pop(self.layer, (self, None))[1] is not inputs:
            raise _make_error(self)
        return inputs

    def extra_repr(self) -> str:
        """Names the layer."""
        return f"folded into {self.layer}"


def _start_call(module: nn.Module, inputs: Any) -> None:
    _local.calls = [*getattr(_local, "calls", ()), {}]


def _check_call(module: nn.Module, inputs: Any, output: Any) -> None:
    for norm, _ in _local.calls[-1].values():  # its layer's output went elsewhere
        raise _make_error(norm)


def _end_call(module: nn.Module, inputs: Any, output: Any) -> None:
    _local.calls = getattr(_local, "calls", [{}])[:-1]


def _make_error(norm: FoldedNorm) -> ForwardChanged:
    return ForwardChanged(
        f"The batch norm {norm.norm!r} was folded into {norm.layer!r} when the network was compiled, and its forward "
        "took another path now: an attribute was changed, or the data decide. Compile the network as it is now, "
        "or use it without compile_inference.",
        layer=norm.layer,
        norm=norm.norm,
    )


def _trace(model: nn.Module) -> tuple[fx.Graph, dict[str, nn.Module]]:
    """Traces a model's forward; returns the graph and the modules.

    Raises:
        RuntimeError: If the forward draws random numbers: the next call may do something else.
    """
    before = read_generators()
    graph = fx.Tracer().trace(model)
    if read_generators() != before:
        raise RuntimeError("its forward draws random numbers in Python")
    return graph, dict(model.named_modules())


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
    used_once = len(before.users) == calls[before.target] == calls[node.target] == 1
    named_once = _count_names(modules, norm) == _count_names(modules, layer) == 1
    return fits and used_once and named_once and _is_plain_norm(norm)


def _count_names(modules: dict[str, nn.Module], module: nn.Module) -> int:
    """Counts the names of a module; of several, the trace has the first only."""
    return sum(other is module for other in modules.values())


def _is_plain_norm(norm: nn.Module) -> bool:
    """Whether a batch norm has statistics and no forward hooks."""
    return getattr(norm, "running_mean", None) is not None and not has_forward_hooks(norm)
