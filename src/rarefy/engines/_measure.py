"""Times layers and whole training steps on copies of a model. The model itself never runs."""

from __future__ import annotations

import contextlib
import copy
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

from rarefy.eager_optimizers import make_eager
from rarefy.engines._budget import LAYERS, Budget
from rarefy.engines._cpu import fuse, get_compile_seconds
from rarefy.engines._cpu.blocked._memory import POOL
from rarefy.engines._inputs import call_model
from rarefy.engines._layer_inputs import LayerInput, estimate_work, record_layer_inputs
from rarefy.engines._plan import CHANNELS_LAST, CONTIGUOUS, change_layout
from rarefy.engines._swap import make_layers_sparse, make_sparse_layer
from rarefy.engines._torch_internals import tree_leaves
from rarefy.sparsity import Sparsity
from rarefy.topology import TOPOLOGIES

Times = dict[str, float]
"""``{"dense": milliseconds, "sparse": milliseconds}``."""


class _Limits(TypedDict):
    rounds: int
    seconds: float
    hopeless: float
    longest: float


_LAYER = _Limits(rounds=9, seconds=0.05, hopeless=math.inf, longest=0.5)
_STEP = _Limits(rounds=25, seconds=0.5, hopeless=1.3, longest=20.0)
_MIN_ROUNDS = 3
_COMPARED = 2  # functions that are timed in any case
_TRIALS = 2  # rounds before a function can be hopeless: one may have been disturbed


def time_interleaved(
    functions: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    seconds: float = math.inf,
    hopeless: float = math.inf,
    longest: float = math.inf,
) -> Times:
    """Times several functions in alternation, every other round in reverse order, so that noise affects all alike.

    Args:
        functions: Name to function. The first one runs in every round. Each is called once before.
        rounds: Rounds at most.
        seconds: No further round starts after that time (but there are three in any case).
        longest: No further round starts after that time, even of the first three; one always runs.
        hopeless: A function whose best round took that many times as long as the best of all runs no further round.

    Returns:
        Name to median milliseconds.

    Example:
        >>> sorted(time_interleaved({"sum": lambda: sum(range(9)), "nothing": lambda: None}, rounds=3))
        ['nothing', 'sum']
    """
    times = time_rounds(functions, rounds=rounds, seconds=seconds, hopeless=hopeless, longest=longest)
    return {name: statistics.median(milliseconds) for name, milliseconds in times.items()}


def time_rounds(
    functions: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    seconds: float,
    hopeless: float,
    longest: float = math.inf,
    budget: Budget | None = None,
    called: Mapping[str, float] | None = None,
) -> dict[str, list[float]]:
    """Times functions as `time_interleaved` does, and returns the milliseconds of every round.

    The first two functions run a round in any case, others and further rounds if the budget allows it. `called`: the
    milliseconds of functions that were called before.
    """
    times: dict[str, list[float]] = {}
    for name, function in functions.items():
        slowest = max((first for [first] in times.values()), default=0.0)
        if budget is None or len(times) < _COMPARED or budget.allows(1e-3 * (len(times) + 2) * slowest):
            times[name] = [(called or {}).get(name) or _time_call(function)]
    start, running = time.perf_counter(), list(times)
    for turn in range(rounds):
        if turn and time.perf_counter() - start > (seconds if turn >= _MIN_ROUNDS else longest):
            break
        if turn and budget is not None and not budget.allows(1e-3 * sum(times[name][-1] for name in running)):
            break
        for name in running if turn % 2 else reversed(running):
            times[name].append(_time_call(functions[name]))
        if turn + 1 >= _TRIALS:
            best = {name: min(milliseconds[1:]) for name, milliseconds in times.items()}
            limit = hopeless * min(best.values())
            running = [name for name in running if name == running[0] or best[name] <= limit]
    return {name: milliseconds[1:] for name, milliseconds in times.items()}


def free_buffers() -> None:
    """Gives the memory that sparse layers keep for reuse back to the system.

    Example:
        >>> free_buffers()
    """
    POOL.clear()


def _time_call(function: Callable[[], object]) -> float:
    """Measures the milliseconds of one call, without those in which kernels were compiled."""
    start, compiled = time.perf_counter(), get_compile_seconds()
    function()
    return 1e3 * (time.perf_counter() - start - (get_compile_seconds() - compiled))


def time_layers(
    model: nn.Module, sparsity: Sparsity, names: Iterable[str], inputs: Any, *, budget: Budget | None = None
) -> dict[str, Times]:
    """Times forward and backward of each layer in float32, on inputs as they reach it; equal layers are timed once.

    Layers with more work come first. Those for which the budget leaves no time are left out.
    """
    budget = budget or Budget()
    with torch.autocast("cpu", enabled=False):
        owners, measured = sparsity.masked_model.modules(), dict[tuple[object, ...], Times]()
        layer_inputs, times = _record_layer_inputs(model, sparsity, inputs, budget), {}
        used = [name for name in names if name in layer_inputs]  # a layer that the forward does not use costs nothing
        for name in sorted(used, key=lambda name: estimate_work(owners[name], layer_inputs[name]), reverse=True):
            key = (repr(owners[name]), int(sparsity.masks[name].count_nonzero()), layer_inputs[name])
            if key not in measured:
                if measured and not budget.allows(share=LAYERS):
                    break
                measured[key] = _time_layer(owners[name], sparsity.masks[name], layer_inputs[name])
            times[name] = measured[key]
        return {name: times[name] for name in used if name in times}


def time_steps(
    model: nn.Module,
    sparsity: Sparsity,
    candidates: Mapping[str, Iterable[str]],
    inputs: Any,
    *,
    budget: Budget | None = None,
) -> dict[str, list[float]]:
    """Times training steps (forward, backward, optimizer) of each candidate, a name to its sparse layers.

    The first candidate is dense. The first two are timed in any case, others if the budget allows it.

    Returns:
        Name to milliseconds, one per round. All layers dense in the model's other memory layout (`CHANNELS_LAST` or
        `CONTIGUOUS`) are timed too, where it has convolutions and works in that layout.
    """
    budget = budget or Budget()
    with preserve_rng():
        make = partial(make_training_step, model, sparsity)
        (dense, of_dense), *others = ((name, make(tuple(layers), inputs)) for name, layers in candidates.items())
        called = {dense: _time_call(of_dense)}
        budget.expect_step(1e-3 * called[dense])
        steps = {dense: of_dense, **dict(others[:1])}
        layout = find_other_layout(model, inputs)
        if layout and budget.allows(5e-3 * called[dense]):  # the second, this one, and a round of three
            other = make((), inputs, layout=layout)
            with contextlib.suppress(RuntimeError):  # a view in the model that needs the layout it has
                called[layout] = _time_call(other)
                steps[layout] = other
        return time_rounds(steps | dict(others), **_STEP, budget=budget, called=called)


def find_other_layout(model: nn.Module, inputs: Any) -> str:
    """Finds the memory layout that a model could have instead of its own; empty where there is none.

    Convolutions compute in channels-last order where their inputs or their weights have it. So contiguous weights are
    of use for contiguous inputs only.
    """
    if not (isinstance(inputs, Tensor) and inputs.ndim == 4):
        return ""
    weights = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
    if any(not weight.is_contiguous(memory_format=torch.channels_last) for weight in weights):
        return CHANNELS_LAST
    return CONTIGUOUS if inputs.is_contiguous() and any(not weight.is_contiguous() for weight in weights) else ""


def time_predictions(
    model: nn.Module, sparsity: Sparsity, candidates: Mapping[str, Iterable[str]], inputs: Any
) -> dict[str, list[float]]:
    """Times forward passes without gradients of each candidate: milliseconds, one per round."""
    functions = {name: _make_prediction(model, sparsity, tuple(layers), inputs) for name, layers in candidates.items()}
    return time_rounds(functions, **_STEP)


def _make_prediction(
    model: nn.Module, sparsity: Sparsity, layers: tuple[str, ...], inputs: Any
) -> Callable[[], object]:
    twin, masks = copy.deepcopy((model, sparsity))
    if layers:
        make_layers_sparse(twin, masks, layers)
        fuse(twin)

    def predict() -> None:
        with torch.no_grad():
            call_model(twin, inputs)

    return predict


def make_training_step(
    model: nn.Module, sparsity: Sparsity, layers: tuple[str, ...], inputs: Any, *, layout: str = ""
) -> Callable[[], None]:
    """Makes a training step of a copy in which these layers are sparse, in another memory layout where one is named."""
    twin, masks = copy.deepcopy((model, sparsity))
    change_layout(twin, layout)
    twin.train()
    needs_dense_gradients = "momentum" in masks.topology.needs  # at every step, as diagnostics do
    masks.masked_model.topology = TOPOLOGIES.build("static")
    if layers:
        make_layers_sparse(twin, masks, layers)
        fuse(twin)
    optimizer = make_eager(torch.optim.SGD)(twin.parameters(), lr=1e-6, momentum=0.9)
    masks.attach(optimizer, diagnostics=needs_dense_gradients)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        _compute_loss(call_model(twin, inputs)).backward()  # type: ignore[no-untyped-call]  # torch's own
        optimizer.step()

    return step


@contextlib.contextmanager
def preserve_rng() -> Iterator[None]:
    """Restores the global generator afterwards: dropout in a timed copy draws from it."""
    with torch.random.fork_rng(devices=[]):
        yield


def _compute_loss(outputs: Any) -> Tensor:
    tensors = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.requires_grad]
    return torch.stack([tensor.float().square().mean() for tensor in tensors]).sum()


def _record_layer_inputs(model: nn.Module, sparsity: Sparsity, inputs: Any, budget: Budget) -> dict[str, LayerInput]:
    """Records the first input of each masked layer, and how long a step may take: about three forward passes."""
    layer_inputs: dict[str, LayerInput] = {}
    with preserve_rng():
        seconds = 1e-3 * _time_call(lambda: layer_inputs.update(record_layer_inputs(model, sparsity, inputs)))
    budget.expect_step(3 * seconds)
    return layer_inputs


def _time_layer(owner: nn.Module, mask: Tensor, layer_input: LayerInput) -> Times:
    dense = copy.deepcopy(owner)
    sparse = make_sparse_layer(dense, mask)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(layer_input.shape, dtype=layer_input.dtype, generator=generator)
    dense_inputs = inputs.contiguous(memory_format=torch.channels_last) if layer_input.channels_last else inputs
    needs = layer_input.needs_gradient
    functions = {
        "dense": _make_pass(dense, dense_inputs, needs_gradient=needs),
        "sparse": _make_pass(sparse, _match_output_layout(sparse, inputs), needs_gradient=needs),
    }
    return time_interleaved(functions, **_LAYER)


def _match_output_layout(layer: nn.Module, inputs: Tensor) -> Tensor:
    """Lays the inputs out in memory as the layer lays out its outputs: as a layer of its kind before it would."""
    with torch.no_grad():
        outputs = layer(inputs)
    if outputs.ndim != inputs.ndim:
        return inputs
    order = sorted(range(inputs.ndim), key=lambda axis: (-outputs.stride(axis), axis))
    inverse = sorted(range(inputs.ndim), key=lambda axis: order[axis])
    return inputs.permute(order).contiguous().permute(inverse)


def _make_pass(layer: nn.Module, inputs: Tensor, *, needs_gradient: bool) -> Callable[[], None]:
    """Makes a forward and backward pass of a layer."""
    leaf = inputs.detach().requires_grad_(needs_gradient)
    gradient: list[Tensor] = []

    def run() -> None:
        layer.zero_grad(set_to_none=True)
        leaf.grad = None
        outputs = layer(leaf)
        if not gradient:
            gradient.append(torch.ones_like(outputs))
        if outputs.requires_grad:
            outputs.backward(gradient[0])

    return run
