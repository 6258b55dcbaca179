"""Transposes kept weights: from the order of outputs to that of inputs, in which the input gradient reads them."""

# mypy: ignore-errors

from __future__ import annotations

import numpy as np

from rarefy.engines._cpu.kernels._numba import cached_njit, inner_njit
from rarefy.engines._cpu.kernels._parallel_for import omp_parallel_for, split_range


@inner_njit()
def _find(positions, start, stop, wanted):
    """Returns the first index in [start, stop) with a position of at least `wanted`; positions ascend."""
    while start < stop:
        middle = (start + stop) // 2
        if positions[middle] < wanted:
            start = middle + 1
        else:
            stop = middle
    return start


@inner_njit()
def _transpose(part, parts, kept, values, sizes, taps, following, out_values, out_offsets):
    """Writes each weight of the part's channels, and the offset at which it reads, behind those of its target so far.

    `following`: index of the next weight of each target, that is a channel and phase of the input.
    """
    rows, positions = kept
    tap_targets, tap_offsets = taps
    inputs, outputs_of_group, phases, planes, plane = sizes
    count, (first, last) = tap_targets.size, split_range(inputs, part, parts)
    inverse = 1 / np.float64(count)
    for out in range(rows.size - 1):
        start = _find(positions, np.int64(rows[out]), np.int64(rows[out + 1]), first * count)
        stop = _find(positions, start, np.int64(rows[out + 1]), last * count)
        group, base = out // outputs_of_group * inputs, out % planes * plane
        for k in range(start, stop):
            channel = np.int64((np.float64(positions[k]) + 0.5) * inverse)
            tap = np.int64(positions[k]) - channel * count
            target = (group + channel) * phases + tap_targets[tap]
            index = following[target]
            following[target] = index + 1
            out_values[index] = values[k]
            out_offsets[index] = base + tap_offsets[tap]


@cached_njit(_nrt=False, error_model="numpy")
def transpose(openmp, part, parts, arguments):
    """Runs `_transpose` in threads."""
    omp_parallel_for(_transpose, openmp, part, parts, arguments)
