"""Copies a layer's kept weights into the order of groups, [positions, T], and gradients back into the layer's order."""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from rarefy.engines._cpu.kernels._numba import cached_njit, inner_njit
from rarefy.engines._cpu.kernels._parallel_for import omp_parallel_for, split_range


@inner_njit(inline="always")
def _is_whole(rows, first, together, count):
    """Whether each of `together` outputs keeps all `count` positions of its group."""
    is_whole = first + together < rows.size
    for out in range(first, min(first + together, rows.size - 1)):
        is_whole &= np.int64(rows[out + 1]) - np.int64(rows[out]) == count
    return is_whole


@inner_njit(inline="always")
def _copy_whole(back, count, together, values, v, grouped, g):
    """Copies a group whose outputs keep the same positions: values[v + t * count + i] is grouped[g + i * T + t]."""
    for i in range(count):
        for t in range(together):
            if back:
                values[v + t * count + i] = grouped[g + i * together + t]
            else:
                grouped[g + i * together + t] = values[v + t * count + i]


@inner_njit()
def _copy(part, parts, back, members, kept, groups, values, grouped):
    """Copies the values of a part's groups; where an output lacks a position of its group, the number is 0."""
    (rows, positions), (starts, shared), together = kept, groups, len(members)
    first, last = split_range(starts.size - 1, part, parts)
    for group in range(first, last):
        start, stop, out = np.int64(starts[group]), np.int64(starts[group + 1]), group * together
        if _is_whole(rows, out, together, stop - start):
            _copy_whole(back, stop - start, together, values, np.int64(rows[out]), grouped, start * together)
            continue
        for t in range(together):
            k, end = np.int64(0), np.int64(0)
            if out + t < rows.size - 1:
                k, end = np.int64(rows[out + t]), np.int64(rows[out + t + 1])
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


@inner_njit()
def _copy_to_slots(part, parts, back, slots, values, grouped):
    """Copies a part of the values each to its slot, or back."""
    first, last = split_range(slots.size, part, parts)
    for k in range(first, last):
        if back:
            values[k] = grouped[slots[k]]
        else:
            grouped[slots[k]] = values[k]


@cached_njit(_nrt=False)
def copy_to_slots(openmp, part, parts, arguments):
    """Runs `_copy_to_slots` in threads."""
    omp_parallel_for(_copy_to_slots, openmp, part, parts, arguments)
