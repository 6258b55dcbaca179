"""Emits the inner loops over planes: weighted sums and maxima of shifted runs of vectors, and atomic counters."""

# mypy: ignore-errors

from __future__ import annotations

import sys

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rarefy.engines._cpu.kernels import LANES
from rarefy.engines._cpu.kernels._emit import INT, VECTOR, Emitter
from rarefy.engines._cpu.kernels._numba import cast_pointer, get_cpu_features, make_pointer_type

_LONG = ir.IntType(64)
_BITS = ir.VectorType(INT, LANES)
MAX_VECTORS = 14 if "+avx512f" in get_cpu_features().split(",") else 6  # accumulators that fit into the registers


def _make_weighted_sum(count):
    @intrinsic
    def weighted_sum(typing, values, offsets, start, stop, x, x_base, base, bias, other, low, high, mask, m):
        """Sets `count` vectors of x to bias + the sum of values[k] * x[x_base + offsets[k]], k in [start, stop).

        Adds the vectors from x[other] on, unless `other` is negative. Then clamps to [low, high] and clears what the
        mask clears.
        """
        signature = types.void(values, offsets, start, stop, x, x_base, base, bias, other, low, high, mask, m)

        def generate(context, builder, signature, arguments):
            emit = Emitter(context, builder, signature, arguments)
            values, offsets, start, stop, x, x_base, base, bias, other, low, high, mask, m = emit.arguments

            def body(k, sums):
                value = emit.broadcast(emit.item(values, k))
                sources = _locate(emit, builder.add(x_base, emit.offset(offsets, k)), count)
                return [emit.fma(emit.load(x, at, 4), value, total) for at, total in zip(sources, sums, strict=True)]

            _, sums = emit.loop(start, stop, 1, [emit.broadcast(bias)] * count, body)
            before = builder.basic_block
            with builder.if_then(builder.icmp_signed(">=", other, emit.long(0))):
                others = [emit.load(x, at, 4) for at in _locate(emit, other, count)]
                added = [builder.fadd(*pair) for pair in zip(sums, others, strict=True)]
                inside = builder.basic_block
            sums = [_join(builder, pair, (before, inside)) for pair in zip(sums, added, strict=True)]
            _store_masked(emit, sums, (low, high), x, base, mask, m)

        return signature, generate

    return weighted_sum


def _make_maximum(count):
    @intrinsic
    def maximum(typing, offsets, start, stop, x, x_base, base, low, high, mask, m):
        """Sets `count` vectors of x to the largest of x[x_base + offsets[k]], k in [start, stop)."""
        signature = types.void(offsets, start, stop, x, x_base, base, low, high, mask, m)

        def generate(context, builder, signature, arguments):
            emit = Emitter(context, builder, signature, arguments)
            offsets, start, stop, x, x_base, base, low, high, mask, m = emit.arguments

            def body(k, largest):
                sources = _locate(emit, builder.add(x_base, emit.offset(offsets, k)), count)
                loaded = [emit.load(x, at, 4) for at in sources]
                return [  # a NaN is not <= anything and wins
                    builder.select(builder.fcmp_ordered("<=", new, old), old, new)
                    for new, old in zip(loaded, largest, strict=True)
                ]

            lowest = ir.Constant(VECTOR, [float("-inf")] * LANES)
            _, largest = emit.loop(start, stop, 1, [lowest] * count, body)
            _store_masked(emit, largest, (low, high), x, base, mask, m)

        return signature, generate

    return maximum


def _locate(emit, base, count):
    return emit.locate_chunk(base, emit.long(0), 1, count)


def _join(builder, values, blocks):
    phi = builder.phi(values[0].type)
    for value, block in zip(values, blocks, strict=True):
        phi.add_incoming(value, block)
    return phi


def _store_masked(emit, vectors, limits, out, base, mask, m):
    """Clamps vectors (a NaN stays), clears the lanes that are no pixels, and stores them."""
    builder = emit.builder
    low, high = (emit.broadcast(limit) for limit in limits)
    count = len(vectors)
    for vector, at, index in zip(vectors, _locate(emit, base, count), _locate(emit, m, count), strict=True):
        clamped = builder.select(builder.fcmp_ordered("<", vector, low), low, vector)
        clamped = builder.select(builder.fcmp_ordered(">", clamped, high), high, clamped)
        bits = builder.load(cast_pointer(builder, mask, index, _BITS))
        bits.align = 4
        cleared = builder.bitcast(builder.and_(builder.bitcast(clamped, _BITS), bits), VECTOR)
        emit.store(cleared, out, at, 4)


WEIGHTED_SUM = {count: _make_weighted_sum(count) for count in range(1, MAX_VECTORS + 1)}
MAXIMUM = {count: _make_maximum(count) for count in (1, 4)}


@intrinsic
def add_atomically(typing, counters, index):
    """Adds 1 to counters[index], an int64; returns the value before."""

    def generate(context, builder, signature, arguments):
        counters, index = Emitter(context, builder, signature, arguments).arguments
        return builder.atomic_rmw("add", builder.gep(counters, [index]), ir.Constant(_LONG, 1), "acq_rel")

    return types.int64(counters, index), generate


@intrinsic
def read_atomically(typing, counters, index):
    """Returns counters[index] as other threads have written it."""

    def generate(context, builder, signature, arguments):
        counters, index = Emitter(context, builder, signature, arguments).arguments
        return builder.load_atomic(builder.gep(counters, [index]), "acquire", 8)

    return types.int64(counters, index), generate


@intrinsic
def pause(typing):
    """Tells an x86 processor that this is a waiting loop."""

    def generate(context, builder, signature, arguments):
        if "86" in builder.module.triple.split("-")[0] or sys.platform == "win32":
            builder.asm(ir.FunctionType(ir.VoidType(), []), "pause", "~{memory}", [], True)

    return types.void(), generate


@intrinsic
def give_way(typing, address):
    """Calls the system's function that lets other threads run; its address, or 0 for none."""

    def generate(context, builder, signature, arguments):
        (address,) = arguments
        with builder.if_then(builder.icmp_signed("!=", address, ir.Constant(_LONG, 0))):
            function = make_pointer_type(ir.FunctionType(INT, []))
            builder.call(builder.inttoptr(address, function), [])

    return types.void(address), generate
