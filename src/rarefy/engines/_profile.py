"""Profiles a training step: which layer spends how long on what."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rarefy.engines._cpu.blocked import _costs
from rarefy.engines._cpu.fusion._deferred import DeferredTensor
from rarefy.engines._cpu.kernels._threads import KernelCall, observe_kernels
from rarefy.engines._step_clock import PYTHON, StepClock, StepPart
from rarefy.engines._torch_internals import tree_leaves, without_torch_function

FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT = "forward", "input gradient", "weight gradient"
DENSE, NORM, ELEMENTWISE, COPIES = "dense layer", "batch norm", "activation, sum, pooling", "copies and stores"
LOSS, OPTIMIZER, OTHER = "loss", "optimizer", "other functions"
STEP_KINDS = (
    FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, DENSE, NORM, ELEMENTWISE, COPIES, LOSS, OPTIMIZER, OTHER, PYTHON,
)  # fmt: skip
"""All kinds of work of a training step, in the order of tables."""
_KERNELS = {
    **dict.fromkeys(("correlate", "correlate_groups"), WEIGHT_GRADIENT),
    **dict.fromkeys(("transpose", "pack", "copy_group_values", "copy_to_slots"), COPIES),
    **dict.fromkeys(("compute_moments", "apply_epilogue_to_map", "normalize", "normalize_backward"), NORM),
    **dict.fromkeys(("apply", "pool", "unpool"), ELEMENTWISE),
}
_MODULES = (
    ((nn.Linear, nn.modules.conv._ConvNd), DENSE),
    ((nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm), NORM),
)
_NODES = {
    **dict.fromkeys(("Addmm", "Mm", "Bmm", "Convolution", "Mkldnn", "Linear"), DENSE),
    **dict.fromkeys(("NativeBatchNorm", "NativeLayerNorm", "CudnnBatchNorm", "NativeGroupNorm"), NORM),
    **dict.fromkeys(("Relu", "Hardtanh", "Gelu", "Silu", "Add", "MaxPool", "AvgPool", "Mean"), ELEMENTWISE),
    **dict.fromkeys(("NllLoss", "LogSoftmax"), LOSS),
    "_Node": PYTHON,
}
_REPEATS = 3


class _Recorded(NamedTuple):
    layer: str
    kind: str
    call: KernelCall


def profile_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, compute_loss: Callable[[], Tensor]
) -> list[StepPart]:
    """Trains one step and divides its time among layers and kinds of work.

    The parts add up to the step: what no kernel, layer or function of torch explains is "Python and autograd". The time
    that a convolution spends on copying tiles, on statistics and on the backward pass of batch norm is measured after
    the step, by the same calls without kept weights.

    Args:
        model: A model, with any engine.
        optimizer: Its optimizer.
        compute_loss: Runs the model and returns the loss.

    Returns:
        The parts, one per layer and kind.

    Example:
        >>> model, images = nn.Linear(4, 2), torch.ones(3, 4)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> kinds = {part.kind for part in profile_step(model, optimizer, lambda: model(images).sum())}
        >>> {"dense layer", "loss", "optimizer", "Python and autograd"} <= kinds
        True
    """
    recorder = _Recorder()
    with recorder.observe(model):
        recorder.clock.start()
        recorder.time(OPTIMIZER, lambda: optimizer.zero_grad(set_to_none=True))
        recorder.clock.enter("")
        loss = compute_loss()
        recorder.clock.leave(LOSS)
        recorder.hook_nodes(loss, "")
        recorder.is_backward = True
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        recorder.time(OPTIMIZER, optimizer.step)
        recorder.clock.stop()
    del loss
    recorder.nodes.clear()
    recorder.separate_copies()
    return [part for part in recorder.clock.parts.values() if part.seconds or part.nbytes or part.flops]


class _Recorder:
    """Follows a step through hooks on modules, on nodes of autograd's graph and on kernels."""

    def __init__(self) -> None:
        self.clock = StepClock()
        self.nodes: set[Any] = set()
        self.calls: list[_Recorded] = []
        self.is_backward = False

    @contextlib.contextmanager
    def observe(self, model: nn.Module) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for name, module in model.named_modules():
                before = module.register_forward_pre_hook(self._enter_module(name), prepend=True)
                after = module.register_forward_hook(self._leave_module(name))
                stack.callback(before.remove)
                stack.callback(after.remove)
            stack.enter_context(observe_kernels(self._run_kernel))
            yield

    def time(self, kind: str, function: Callable[[], object]) -> None:
        self.clock.enter("")
        function()
        self.clock.leave(kind)

    def hook_nodes(self, outputs: Any, layer: str) -> None:
        """Gives all nodes of autograd's graph that led to outputs, and have no layer yet, to a layer."""
        with self.clock.pause(), without_torch_function():
            waiting = [leaf.grad_fn for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor)]
            while waiting:
                node = waiting.pop()
                if node is None or node in self.nodes or hasattr(node, "variable"):
                    continue
                self.nodes.add(node)
                kind = _name_node_kind(node.name())
                node.register_prehook(lambda gradients: self.clock.enter(layer))
                node.register_hook(lambda inputs, outputs, kind=kind: self.clock.leave(kind))
                waiting.extend(before for before, _ in node.next_functions)

    def separate_copies(self) -> None:
        """Measures what the convolutions of the step spend on copies, on statistics and on the weight gradient."""
        best = [np.full(3, math.inf)] * len(self.calls)
        for _ in range(_REPEATS):
            for index, recorded in enumerate(self.calls):
                best[index] = np.minimum(best[index], _time_parts(recorded.call))
        for (layer, kind, call), (copies, without_products, empty) in zip(
            self.calls, (map(float, times) for times in best), strict=True
        ):
            if kind == INPUT_GRADIENT:
                self.clock.move(layer, kind, WEIGHT_GRADIENT, max(0.0, without_products - empty), 0)
            of_statistics = _costs.count_bytes_of_statistics(call)
            self.clock.move(layer, kind, NORM, max(0.0, empty - copies), of_statistics)
            self.clock.move(layer, kind, COPIES, copies, _costs.count_bytes(call.arguments) - of_statistics)

    def _enter_module(self, name: str) -> Callable[..., None]:
        def enter(module: nn.Module, inputs: Any) -> None:
            self.hook_nodes(inputs, self.clock.layer)
            self.clock.enter(name)

        return enter

    def _leave_module(self, name: str) -> Callable[..., None]:
        def leave(module: nn.Module, inputs: Any, outputs: Any) -> None:
            self.clock.leave(_name_module_kind(module, outputs))
            self.hook_nodes(outputs, name)

        return leave

    def _run_kernel(self, call: KernelCall) -> None:
        self.clock.enter(self.clock.layer)
        call.run()
        kind = _KERNELS.get(call.name, INPUT_GRADIENT if self.is_backward else FORWARD)
        layer = self.clock.layer
        self.clock.leave(kind)
        with self.clock.pause():
            products, dots = _costs.count_flops(call)
            self.clock.add(layer, kind, 0.0, products, _costs.count_bytes(call.arguments))
            if dots:
                self.clock.add(layer, WEIGHT_GRADIENT, 0.0, dots)
            if _costs.is_convolution(call):
                self.calls.append(_Recorded(layer, kind, call))


def _name_module_kind(module: nn.Module, outputs: Any) -> str:
    if any(isinstance(leaf, DeferredTensor) for leaf in tree_leaves(outputs)) or next(module.children(), None):
        return PYTHON
    return next((kind for types, kind in _MODULES if isinstance(module, types)), OTHER)


def _name_node_kind(name: str) -> str:
    return next((kind for start, kind in _NODES.items() if name.startswith(start)), OTHER)


def _time_parts(call: KernelCall) -> list[float]:
    """Measures the seconds of a call's copies, of all but its sums of products, and of all without kept weights."""
    without_products = _costs.drop_products(call)
    empty = _costs.drop_dots(without_products)
    return [_time_call(less) for less in (_costs.drop_statistics(empty), without_products, empty)]


def _time_call(call: KernelCall) -> float:
    start = time.perf_counter()
    call.run()
    return time.perf_counter() - start
