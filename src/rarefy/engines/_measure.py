"""Times, on copies: layers forward and backward, and whole training steps. The model itself is never run."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypedDict

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from rarefy.engines._cpu import fuse
from rarefy.engines._cpu.blocked import _memory
from rarefy.engines._inputs import call_model
from rarefy.engines._plan import CHANNELS_LAST
from rarefy.engines._swap import compact_layer, swap
from rarefy.sparsity import Sparsity
from rarefy.topology import TOPOLOGIES

Times = dict[str, float]
"""``{"dense": milliseconds, "sparse": milliseconds}``."""


class _Rounds(TypedDict):
    rounds: int
    seconds: float
    hopeless: float


_LAYER = _Rounds(rounds=9, seconds=0.05, hopeless=math.inf)
_STEP = _Rounds(rounds=25, seconds=0.5, hopeless=1.3)
_AT_LEAST = 2  # rounds, however long they take


@dataclasses.dataclass(frozen=True)
class _Use:
    """What a layer is given: shape, type and order of its inputs, and whether their gradient is wanted."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    channels_last: bool
    needs_gradient: bool


def time_interleaved(
    acts: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    seconds: float = math.inf,
    hopeless: float = math.inf,
) -> Times:
    """Times several acts that take turns, every other round backwards, so that noise hits all alike.

    Args:
        acts: Name to what is timed, the first one to be compared with in every round. Each is called once before.
        rounds: Rounds at most.
        seconds: After that long there is no further round (but there are two in any case).
        hopeless: What takes that many times as long as the fastest gets no further round.

    Returns:
        Name to median milliseconds.

    Example:
        >>> sorted(time_interleaved({"sum": lambda: sum(range(9)), "nothing": lambda: None}, rounds=3))
        ['nothing', 'sum']
    """
    found = time_turns(acts, rounds=rounds, seconds=seconds, hopeless=hopeless)
    return {name: statistics.median(times) for name, times in found.items()}


def time_turns(
    acts: Mapping[str, Callable[[], object]], *, rounds: int, seconds: float, hopeless: float
) -> dict[str, list[float]]:
    """Times as `time_interleaved` does; gives every round's milliseconds, those of one round at the same place."""
    found: dict[str, list[float]] = {name: [timed(act)] for name, act in acts.items()}
    started, running = time.perf_counter(), list(acts)
    for turn in range(rounds):
        if turn >= _AT_LEAST and time.perf_counter() - started > seconds:
            break
        for name in running if turn % 2 else reversed(running):
            found[name].append(timed(acts[name]))
        best = min(times[-1] for times in found.values())
        running = [name for name in running if name == running[0] or found[name][-1] <= hopeless * best]
    return {name: times[1:] for name, times in found.items()}


def free_buffers() -> None:
    """Gives memory that sparse layers keep for their next use back to the system.

    Example:
        >>> free_buffers()
    """
    _memory.release()


def timed(act: Callable[[], object]) -> float:
    """Milliseconds of one call."""
    start = time.perf_counter()
    act()
    return 1e3 * (time.perf_counter() - start)


def layer_times(model: nn.Module, sparsity: Sparsity, names: Iterable[str], sample: Any) -> dict[str, Times]:
    """Forward and backward of each layer on inputs as the sample causes them; equal layers are timed once."""
    owners, known = sparsity.owners(), dict[tuple[object, ...], Times]()
    uses, found = _uses(model, sparsity, sample), {}
    for name in names:
        if name not in uses:  # a layer that the sample does not reach costs nothing
            continue
        key = (repr(owners[name]), int(sparsity.masks[name].count_nonzero()), uses[name])
        if key not in known:
            known[key] = _layer_time(owners[name], sparsity.masks[name], uses[name])
        found[name] = known[key]
    return found


def step_times(
    model: nn.Module, sparsity: Sparsity, plans: Mapping[str, Iterable[str]], sample: Any
) -> dict[str, list[float]]:
    """Times training steps (forward, backward, optimizer) of each plan, a name to its sparse layers.

    Returns:
        Name to milliseconds, one a round; also of `CHANNELS_LAST`, all layers dense in that order of memory, where the
        model has convolutions in the other order and can compute so.
    """
    with own_randomness():
        steps = {name: training_step(model, sparsity, tuple(layers), sample) for name, layers in plans.items()}
        if _can_be_channels_last(model, sample):
            other = training_step(model, sparsity, (), sample, channels_last=True)
            with contextlib.suppress(RuntimeError):  # a view in the model that needs the order it has
                other()
                steps[CHANNELS_LAST] = other
        return time_turns(steps, **_STEP)


def _can_be_channels_last(model: nn.Module, sample: Any) -> bool:
    weights = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
    return (
        isinstance(sample, Tensor)
        and sample.ndim == 4
        and any(not w.is_contiguous(memory_format=torch.channels_last) for w in weights)
    )


def prediction_times(
    model: nn.Module, sparsity: Sparsity, plans: Mapping[str, Iterable[str]], sample: Any
) -> dict[str, list[float]]:
    """Times forward passes without gradients of each plan: milliseconds, one a round."""
    acts = {name: _prediction(model, sparsity, tuple(layers), sample) for name, layers in plans.items()}
    return time_turns(acts, **_STEP)


def _prediction(model: nn.Module, sparsity: Sparsity, layers: tuple[str, ...], sample: Any) -> Callable[[], object]:
    twin, masks = copy.deepcopy((model, sparsity))
    if layers:
        swap(twin, masks, layers)
        fuse(twin)

    def predict() -> None:
        with torch.no_grad():
            call_model(twin, sample)

    return predict


def training_step(
    model: nn.Module, sparsity: Sparsity, layers: tuple[str, ...], sample: Any, *, channels_last: bool = False
) -> Callable[[], None]:
    """Makes a training step of a copy in which these layers are sparse."""
    twin, masks = copy.deepcopy((model, sparsity))
    if channels_last:
        twin.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    twin.train()
    looks = "momentum" in masks.topology.needs  # at the dense gradient, at every step, as diagnostics do
    masks.topology = TOPOLOGIES.build("static")
    if layers:
        swap(twin, masks, layers)
        fuse(twin)
    optimizer = torch.optim.SGD(twin.parameters(), lr=1e-6, momentum=0.9)
    masks.attach(optimizer, diagnostics=looks)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        _loss(call_model(twin, sample)).backward()  # type: ignore[no-untyped-call]  # torch's own
        optimizer.step()

    return step


@contextlib.contextmanager
def own_randomness() -> Iterator[None]:
    """Dropout in what is measured must not move the caller's generator."""
    with torch.random.fork_rng(devices=[]):
        yield


def _loss(outputs: Any) -> Tensor:
    tensors = [leaf for leaf in tree_leaves(outputs) if isinstance(leaf, Tensor) and leaf.requires_grad]
    return torch.stack([tensor.float().square().mean() for tensor in tensors]).sum()


def _uses(model: nn.Module, sparsity: Sparsity, sample: Any) -> dict[str, _Use]:
    twin, masks = copy.deepcopy((model, sparsity))
    found: dict[str, _Use] = {}

    def note(name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        given = inputs[0]
        order = given.ndim == 4 and not given.is_contiguous() and given.is_contiguous(memory_format=torch.channels_last)
        found.setdefault(name, _Use(tuple(given.shape), given.dtype, order, given.requires_grad))

    for name, owner in masks.owners().items():
        owner.register_forward_pre_hook(partial(note, name))
    with own_randomness():
        call_model(twin, sample)
    return found


def _layer_time(owner: nn.Module, mask: Tensor, use: _Use) -> Times:
    dense = copy.deepcopy(owner)
    sparse = compact_layer(dense, mask)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(use.shape, dtype=use.dtype, generator=generator)
    given = inputs.contiguous(memory_format=torch.channels_last) if use.channels_last else inputs
    acts = {"dense": _pass(dense, given, use), "sparse": _pass(sparse, _laid_out(sparse, inputs), use)}
    return time_interleaved(acts, **_LAYER)


def _laid_out(layer: nn.Module, inputs: Tensor) -> Tensor:
    """The inputs in the memory order in which the layer gives its outputs: what it gets from a layer of its kind."""
    with torch.no_grad():
        outputs = layer(inputs)
    if outputs.ndim != inputs.ndim:
        return inputs
    order = sorted(range(inputs.ndim), key=lambda axis: (-outputs.stride(axis), axis))
    back = sorted(range(inputs.ndim), key=lambda axis: order[axis])
    return inputs.permute(order).contiguous().permute(back)


def _pass(layer: nn.Module, inputs: Tensor, use: _Use) -> Callable[[], None]:
    given = inputs.detach().requires_grad_(use.needs_gradient)
    gradient: list[Tensor] = []

    def act() -> None:
        layer.zero_grad(set_to_none=True)
        given.grad = None
        outputs = layer(given)
        if not gradient:
            gradient.append(torch.ones_like(outputs))
        if outputs.requires_grad:
            outputs.backward(gradient[0])

    return act
