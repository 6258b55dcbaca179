"""Warns about precisions without CPU instructions, in which torch is many times slower than in float32."""

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
_MAX_RATIO = 2.0  # to the time in float32
_MAX_SECONDS = 0.1  # per measurement


def warn_of_slow_precision(precision: str, device: torch.device) -> None:
    """Warns, with the measured ratio, if a precision is slower than float32 on this CPU.

    Args:
        precision: ``fp32``, ``tf32``, ``bf16`` or ``fp16``.
        device: Device of the training; GPUs are not measured.

    Example:
        >>> warn_of_slow_precision("fp32", torch.device("cpu"))
    """
    if device.type != "cpu" or precision not in _TYPES:
        return
    slow = {name: ratio for name, ratio in compare_with_float32(precision).items() if ratio > _MAX_RATIO}
    if slow:
        ratios = " and ".join(f"{name} {ratio:.1f} times" for name, ratio in slow.items())
        _LOG.warning(
            "--precision %s is slow on this processor: %s as long as fp32, measured just now. Leave it out, or train "
            "on a GPU.",
            *(precision, ratios),
            extra={"noted": False},  # about this machine, so not part of a run's record
        )


@functools.cache
def compare_with_float32(precision: str) -> dict[str, float]:
    """Times small products in a precision against float32, forward and backward on the CPU, once per process.

    Args:
        precision: ``bf16`` or ``fp16``.

    Returns:
        Ratios of times for ``convolutions`` and ``matrix products``; exact only above 2.

    Example:
        >>> sorted(compare_with_float32("bf16"))
        ['convolutions', 'matrix products']
    """
    generator = torch.Generator().manual_seed(0)
    shapes = {"convolutions": ((8, 32, 16, 16), (32, 32, 3, 3)), "matrix products": ((256, 256), (256, 256))}
    ratios = {}
    for name, (input_shape, weight_shape) in shapes.items():
        compute = F.conv2d if name == "convolutions" else F.linear
        inputs = torch.randn(input_shape, generator=generator)
        weight = torch.randn(weight_shape, generator=generator).requires_grad_()
        measure = functools.partial(_time_pass, compute, inputs, weight)
        with _single_thread():
            baseline = _find_fastest(functools.partial(measure, "fp32"), until=0.0)
            limit = _MAX_RATIO * baseline
            ratios[name] = _find_fastest(functools.partial(measure, precision), until=limit) / baseline
    return ratios


@contextlib.contextmanager
def _single_thread() -> Iterator[None]:
    """Context with one thread: on a busy machine several threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _find_fastest(measure: Callable[[], float], *, until: float) -> float:
    """Returns the seconds of the fastest round; stops as soon as one is fast enough."""
    started, times = time.perf_counter(), [measure()]
    while len(times) < 2 or (min(times) > until and time.perf_counter() - started < _MAX_SECONDS):
        times.append(measure())
    return min(times)


def _time_pass(compute: Callable[[Tensor, Tensor], Tensor], inputs: Tensor, weight: Tensor, precision: str) -> float:
    """Times one forward and backward pass, in seconds."""
    dtype = _TYPES.get(precision)
    started = time.perf_counter()
    with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None, cache_enabled=False):
        outputs = compute(inputs, weight)
    outputs.float().sum().backward()  # type: ignore[no-untyped-call]  # torch's own
    weight.grad = None
    return time.perf_counter() - started
