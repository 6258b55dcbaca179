"""Measures time and memory of a forward pass on the device of the inputs."""

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
from rarefy.evaluation._frozen import freeze_model


@dataclasses.dataclass(frozen=True)
class Latency:
    """Wall time of a forward pass of one batch, in seconds.

    Args:
        seconds: Median over the rounds.
        quartiles: First and third quartile.
        rounds: Number of timed passes.

    Example:
        >>> Latency(0.010, (0.009, 0.012), rounds=20).seconds
        0.01
    """

    seconds: float
    quartiles: tuple[float, float]
    rounds: int


def measure_latency(model: nn.Module, inputs: Tensor, *, rounds: int = 20, warmup: int = 3) -> Latency:
    """Times forward passes in evaluation mode without gradients; on a GPU including the last kernel.

    Args:
        model: The model, on the inputs' device and with the engine it has. It is not changed.
        inputs: A batch, ``[B, C, H, W]``.
        rounds: Timed passes, at least 1.
        warmup: Passes before them.

    Returns:
        Median and quartiles.

    Raises:
        ValueError: If rounds is below 1 or warmup below 0.

    Example:
        >>> measure_latency(nn.Linear(8, 4), torch.zeros(2, 8), rounds=5).seconds > 0
        True
    """
    if rounds < 1 or warmup < 0:
        raise InvalidInput(f"rounds must be at least 1 and warmup at least 0, got {rounds} and {warmup}.")
    with freeze_model(model), torch.no_grad():
        for _ in range(warmup):
            model(inputs)
        times = [_time_pass(model, inputs) for _ in range(rounds)]
    low, median, high = numpy.quantile(times, [0.25, 0.5, 0.75]).tolist()
    return Latency(median, (low, high), rounds)


def _time_pass(model: nn.Module, inputs: Tensor) -> float:
    _synchronize(inputs)
    start = time.perf_counter()
    model(inputs)
    _synchronize(inputs)
    return time.perf_counter() - start


def _synchronize(inputs: Tensor) -> None:
    """Waits for the GPU, whose kernels run on after the call that launched them."""
    if inputs.is_cuda:
        torch.cuda.synchronize(inputs.device)


def measure_peak_memory(model: nn.Module, inputs: Tensor) -> int:
    """Measures the peak memory of a forward pass, without the model and the inputs.

    This includes activations, the output, and temporaries inside operations, such as a convolution's reordered input.
    Memory of torch's allocator is counted, to the byte on a CPU and in blocks of 512 bytes on a GPU; other memory is
    not. A first pass, not measured, allocates what is kept, such as a library's workspace.

    Args:
        model: The model, on the inputs' device; used in evaluation mode without gradients, and not changed.
        inputs: A batch, ``[B, C, H, W]``, on a CPU or a CUDA device, whose peak statistics are reset.

    Returns:
        Bytes.

    Raises:
        ValueError: If the inputs are on another kind of device.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 100), nn.ReLU(), nn.Linear(100, 1))  # the ReLU reads 100 and writes 100
        >>> measure_peak_memory(model, torch.zeros(2, 4)) == 4 * 2 * (100 + 100)
        True
    """
    if inputs.device.type not in ("cpu", "cuda"):
        raise InvalidInput(f"Memory is measured on a CPU or a CUDA device; the inputs are on {inputs.device}.")
    with freeze_model(model), torch.no_grad():
        model(inputs)
        if inputs.is_cuda:
            return _peak_on_cuda(model, inputs)
        with _record_allocations() as changes:
            model(inputs)
    return max(itertools.accumulate(changes, initial=0))


def _peak_on_cuda(model: nn.Module, inputs: Tensor) -> int:
    _synchronize(inputs)
    torch.cuda.reset_peak_memory_stats(inputs.device)
    before = torch.cuda.memory_allocated(inputs.device)
    model(inputs)
    _synchronize(inputs)
    return torch.cuda.max_memory_allocated(inputs.device) - before


@contextlib.contextmanager
def _record_allocations() -> Iterator[list[int]]:
    """Context that yields a list, filled at the end with the bytes of every allocation and, negative, every release.

    `torch.profiler` records the same but writes to the terminal. Of the older profiler only the recorder is used: its
    own results are sums by operation and lose the order.
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
