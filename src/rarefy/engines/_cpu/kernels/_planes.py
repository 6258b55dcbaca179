"""Runs a whole network over planes in one call: groups of images in parallel, or the items of each step."""

# mypy: ignore-errors

from __future__ import annotations

from rarefy.engines._cpu.kernels._atomics import add_atomically, give_way, pause, read_atomically
from rarefy.engines._cpu.kernels._numba import cached_njit, inner_njit
from rarefy.engines._cpu.kernels._parallel_for import omp_parallel_for
from rarefy.engines._cpu.kernels._plane_columns import Step
from rarefy.engines._cpu.kernels._plane_steps import run_item
from rarefy.engines._cpu.kernels._tiles import FAST

_ITEMS = int(Step.ITEMS)
LINE = 8  # counters in a cache line
_SPINS = 400  # rounds of waiting before a thread lets others run: some microseconds


@inner_njit(fastmath=FAST)
def _predict_groups(part, parts, steps, limits, weights, masks, arenas, images, counters, yield_address):
    """Computes groups of images, each by one thread: the next free thread takes the next group."""
    inputs, outputs, first, count, size = images
    arena, groups = arenas[part], (count + size - 1) // size
    while True:
        group = add_atomically(counters, 0)
        if group >= groups:
            break
        done = group * size
        some = inputs, outputs, first + done, min(size, count - done)
        for number in range(steps.shape[0]):
            step = steps[number]
            for item in range(step[_ITEMS]):
                run_item(step, item, arena, weights, limits[number], masks, some)


@inner_njit(fastmath=FAST)
def _predict_together(part, parts, steps, limits, weights, masks, arenas, images, counters, yield_address):
    """Computes one group of images in all threads: the next free thread takes the next item of a step.

    A thread that comes late, or never, delays nothing: the next step begins when the items of this one are done.
    """
    inputs, outputs, first, count, _ = images
    some = inputs, outputs, first, count
    for number in range(steps.shape[0]):
        step, taken, done = steps[number], 2 * number * LINE, (2 * number + 1) * LINE
        items = step[_ITEMS]
        while read_atomically(counters, taken) < items:
            item = add_atomically(counters, taken)
            if item < items:
                run_item(step, item, arenas[0], weights, limits[number], masks, some)
                add_atomically(counters, done)
        spins = 0
        while read_atomically(counters, done) < items:
            spins += 1
            if spins < _SPINS:
                pause()
            else:
                give_way(yield_address)


@inner_njit(fastmath=FAST)
def _predict(part, parts, together, steps, limits, weights, masks, arenas, images, counters, yield_address):
    if together:
        _predict_together(part, parts, steps, limits, weights, masks, arenas, images, counters, yield_address)
    else:
        _predict_groups(part, parts, steps, limits, weights, masks, arenas, images, counters, yield_address)


@cached_njit(_nrt=False)
def predict(openmp, part, parts, arguments):
    """Predicts in threads: `together`, one group of images in all of them, or one group in each.

    Arguments: together, the arrays of a `Program`, arenas [parts, or 1 together, floats], images (inputs, outputs,
    number of the first image, how many, images of a group), counters (zeros, two cache lines a step), and the address
    of the function that lets other threads run.
    """
    omp_parallel_for(_predict, openmp, part, parts, arguments)
