"""How long a forward pass takes, and how much memory it needs, measured on the device the inputs are on."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Iterator

import numpy
import torch
from torch import Tensor, nn

from rarefy.errors import InvalidInput
from rarefy.evaluation._frozen import frozen


@dataclasses.dataclass(frozen=True)
class Latency:
    """Wall time of a forward pass of one batch, in seconds.

    Args:
        seconds: The median over the rounds.
        quartiles: The first and the third quartile.
        rounds: How many passes were timed.

    Example:
        >>> Latency(0.010, (0.009, 0.012), rounds=20).seconds
        0.01
    """

    seconds: float
    quartiles: tuple[float, float]
    rounds: int


def latency(model: nn.Module, inputs: Tensor, *, rounds: int = 20, warmup: int = 3) -> Latency:
    """Times forward passes in evaluation mode without gradients; on a GPU until the last kernel is done.

    Args:
        model: On the inputs' device; an installed engine computes. It is not changed.
        inputs: A batch, ``[B, C, H, W]``.
        rounds: Passes that are timed, at least 1.
        warmup: Passes before, which are not.

    Returns:
        Median and quartiles.

    Raises:
        ValueError: If there is no round, or fewer than no passes of warm-up.

    Example:
        >>> latency(nn.Linear(8, 4), torch.zeros(2, 8), rounds=5).seconds > 0
        True
    """
    if rounds < 1 or warmup < 0:
        raise InvalidInput(f"rounds must be at least 1 and warmup at least 0, got {rounds} and {warmup}.")
    with frozen(model), torch.no_grad():
        for _ in range(warmup):
            model(inputs)
        times = [_seconds(model, inputs) for _ in range(rounds)]
    low, median, high = numpy.quantile(times, [0.25, 0.5, 0.75]).tolist()
    return Latency(median, (low, high), rounds)


def _seconds(model: nn.Module, inputs: Tensor) -> float:
    _wait(inputs)
    start = time.perf_counter()
    model(inputs)
    _wait(inputs)
    return time.perf_counter() - start


def _wait(inputs: Tensor) -> None:
    """Until the device is done: kernels of a GPU go on after the call that launched them."""
    if inputs.is_cuda:
        torch.cuda.synchronize(inputs.device)


def peak_memory(model: nn.Module, inputs: Tensor) -> int:
    """The most memory that a forward pass holds at once, beyond what was there before it: the model and the inputs.

    That is activations, the output, and temporaries inside of operations, such as a convolution's reordered input. What
    torch's allocator gives out is counted, to the byte on a CPU and in the allocator's blocks (512 bytes) on a GPU;
    memory from elsewhere is not seen. A pass before the measured one makes what stays, such as a library's workspace.

    Args:
        model: On the inputs' device; it is used in evaluation mode without gradients, and not changed.
        inputs: A batch, ``[B, C, H, W]``, on a CPU or a CUDA device, whose peak statistics are reset.

    Returns:
        Bytes.

    Raises:
        ValueError: If the inputs are on another kind of device.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 100), nn.ReLU(), nn.Linear(100, 1))  # the ReLU reads 100 and writes 100
        >>> peak_memory(model, torch.zeros(2, 4)) == 4 * 2 * (100 + 100)
        True
    """
    if inputs.device.type not in ("cpu", "cuda"):
        raise InvalidInput(f"Memory is measured on a CPU or a CUDA device; the inputs are on {inputs.device}.")
    with frozen(model), torch.no_grad():
        model(inputs)
        if inputs.is_cuda:
            return _peak_on_cuda(model, inputs)
        with _allocations() as changes:
            model(inputs)
    return max(itertools.accumulate(changes, initial=0))


def _peak_on_cuda(model: nn.Module, inputs: Tensor) -> int:
    _wait(inputs)
    torch.cuda.reset_peak_memory_stats(inputs.device)
    before = torch.cuda.memory_allocated(inputs.device)
    model(inputs)
    _wait(inputs)
    return torch.cuda.max_memory_allocated(inputs.device) - before


@contextlib.contextmanager
def _allocations() -> Iterator[list[int]]:
    """A list that afterwards holds the bytes of every allocation inside, and of every release as a negative number.

    `torch.profiler` sees the same, but writes to the terminal on its own; of the older profiler only the recorder is
    used, for its results are sums by operation, without an order.
    """
    from torch.autograd import _disable_profiler_legacy  # type: ignore[attr-defined, unused-ignore]  # torch's stub
    from torch.autograd.profiler_legacy import profile

    changes: list[int] = []
    profile(profile_memory=True)._start_trace()  # type: ignore[no-untyped-call]  # torch's own
    try:
        yield changes
    finally:
        records = _disable_profiler_legacy()
    events = [event for thread in records for event in thread if str(event.kind()) == "memory_alloc"]
    changes += [event.cpu_memory_usage() for event in events]
