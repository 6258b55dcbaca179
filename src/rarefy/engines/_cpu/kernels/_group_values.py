"""Copies a layer's kept weights into the order of groups, [positions, T], and gradients back into the layer's order."""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from rarefy.engines._cpu.kernels._numba import cached_njit, inner_njit
from rarefy.engines._cpu.kernels._parallel_for import omp_parallel_for, split_range


@inner_njit()
def _copy(part, parts, back, together, kept, groups, values, grouped):
    """Copies the values of a part's groups; where an output lacks a position of its group, the number is 0."""
    (rows, positions), (starts, shared) = kept, groups
    outputs = rows.size - 1
    first, last = split_range(starts.size - 1, part, parts)
    for group in range(first, last):
        start, stop = np.int64(starts[group]), np.int64(starts[group + 1])
        for t in range(together):
            out = group * together + t
            k = np.int64(rows[out]) if out < outputs else np.int64(0)
            end = np.int64(rows[out + 1]) if out < outputs else np.int64(0)
            if end - k == stop - start:
                if back:
                    for i in range(stop - start):
                        values[k + i] = grouped[(start + i) * together + t]
                else:
                    for i in range(stop - start):
                        grouped[(start + i) * together + t] = values[k + i]
                continue
            for i in range(start, stop):
                is_kept = k < end and positions[k] == shared[i]
                if back and is_kept:
                    values[k] = grouped[i * together + t]
                elif not back:
                    grouped[i * together + t] = values[k] if is_kept else np.float32(0)
                k += is_kept


@cached_njit(_nrt=False)
def copy_group_values(openmp, part, parts, arguments):
    """Runs `_copy` in threads."""
    omp_parallel_for(_copy, openmp, part, parts, arguments)
