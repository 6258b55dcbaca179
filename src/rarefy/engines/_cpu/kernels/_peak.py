"""Measures the peak of the processor: fused multiply-adds that stay in registers."""

# mypy: ignore-errors

from __future__ import annotations

import time

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rarefy.engines._cpu.kernels import LANES
from rarefy.engines._cpu.kernels._emit import VECTOR, Emitter
from rarefy.engines._cpu.kernels._numba import cached_njit, inner_njit
from rarefy.engines._cpu.kernels._parallel_for import omp_parallel_for
from rarefy.engines._cpu.kernels._threads import run_parallel

_CHAINS, _STEPS = 12, 2_000_000


@intrinsic
def _spin(typing, out, count):
    """Computes twelve independent chains of `count` multiply-adds, and writes the sums to out."""

    def generate(context, builder, signature, arguments):
        emit = Emitter(context, builder, signature, arguments)
        out, count = emit.arguments
        factor = emit.load(out, emit.long(0))
        start = [ir.Constant(VECTOR, [float(i)] * LANES) for i in range(_CHAINS)]
        _, totals = emit.loop(
            emit.long(0), count, 1, start, lambda _, totals: [emit.fma(total, factor, factor) for total in totals]
        )
        for i, total in enumerate(totals):
            emit.store(total, out, emit.long(i * LANES))

    return types.void(out, count), generate


@inner_njit()
def _spin_all(part, parts, outs, count):
    _spin(outs[part], count)


@cached_njit(_nrt=False)
def _run(openmp, part, parts, arguments):
    omp_parallel_for(_spin_all, openmp, part, parts, arguments)


def measure_peak(threads: int) -> float:
    """Measures the GFLOP/s of `threads` threads together, the best of five.

    Example:
        >>> measure_peak(1) > 1
        True
    """
    rates, outs = [], torch.empty(threads, _CHAINS * LANES).numpy()
    outs[:] = np.float32(0.5)
    for _ in range(6):
        start = time.perf_counter()
        run_parallel(_run, threads, (outs, _STEPS))
        rates.append(threads * 2.0 * _CHAINS * LANES * _STEPS / (time.perf_counter() - start) / 1e9)
    return max(rates[1:])
