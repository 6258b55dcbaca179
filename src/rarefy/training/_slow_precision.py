"""Warns of precisions for which a CPU has no instructions: torch computes in them many times slower than in float32."""

from __future__ import annotations

import contextlib
import functools
import logging
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

_LOG = logging.getLogger("rarefy")
_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_TOLERATED = 2.0  # times as long as float32
_WHILE = 0.1  # seconds


def warn_of_slow_precision(precision: str, device: torch.device) -> None:
    """Warns, with the number, where a precision is slower than float32 on the CPU that is trained on.

    Args:
        precision: ``fp32``, ``tf32``, ``bf16`` or ``fp16``.
        device: What is trained on; GPUs are not looked at.

    Example:
        >>> warn_of_slow_precision("fp32", torch.device("cpu"))
    """
    if device.type != "cpu" or precision not in _TYPES:
        return
    slower = {what: times for what, times in compare_with_float32(precision).items() if times > _TOLERATED}
    if slower:
        told = " and ".join(f"{what} {times:.1f} times" for what, times in slower.items())
        _LOG.warning(
            "--precision %s is slow on this processor: %s as long as fp32, measured just now. Leave it out, or train "
            "on a GPU.",
            *(precision, told),
            extra={"noted": False},  # of this machine, and so no part of a run's record
        )


@functools.cache
def compare_with_float32(precision: str) -> dict[str, float]:
    """Times small products in a precision against float32, forward and backward on the CPU, once a process.

    Args:
        precision: ``bf16`` or ``fp16``.

    Returns:
        ``convolutions`` and ``matrix products`` to how many times as long they take, at most where that is below 2.

    Example:
        >>> sorted(compare_with_float32("bf16"))
        ['convolutions', 'matrix products']
    """
    generator = torch.Generator().manual_seed(0)
    shapes = {"convolutions": ((8, 32, 16, 16), (32, 32, 3, 3)), "matrix products": ((256, 256), (256, 256))}
    found = {}
    for what, (inputs, weight) in shapes.items():
        compute = F.conv2d if what == "convolutions" else F.linear
        given = torch.randn(inputs, generator=generator)
        trained = torch.randn(weight, generator=generator).requires_grad_()
        act = functools.partial(_seconds, compute, given, trained)
        with _one_thread():
            plain = _fastest(functools.partial(act, "fp32"), until=0.0)
            found[what] = _fastest(functools.partial(act, precision), until=_TOLERATED * plain) / plain
    return found


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Threads wait for each other where the machine is busy, which says nothing of the processor."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _fastest(act: Callable[[], float], *, until: float) -> float:
    """Seconds of the fastest of some rounds, whatever else the machine does; ends as soon as one is fast enough."""
    started, times = time.perf_counter(), [act()]
    while len(times) < 2 or (min(times) > until and time.perf_counter() - started < _WHILE):
        times.append(act())
    return min(times)


def _seconds(compute: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, weight: Tensor, precision: str) -> float:
    """Seconds of one pass forward and backward."""
    kind = _TYPES.get(precision)
    started = time.perf_counter()
    with torch.autocast("cpu", dtype=kind, enabled=kind is not None, cache_enabled=False):
        outputs = compute(inputs, weight)
    outputs.float().sum().backward()  # type: ignore[no-untyped-call]  # torch's own
    weight.grad = None
    return time.perf_counter() - started
