"""Emits the inner loops over planes: weighted sums and maxima of shifted runs of vectors, and atomic counters."""

# mypy: ignore-errors

from __future__ import annotations

import platform

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rarefy.engines._cpu.kernels import LANES
from rarefy.engines._cpu.kernels._emit import INT, VECTOR, Emitter
from rarefy.engines._cpu.kernels._numba import cast_pointer, cgutils, get_cpu_features, make_pointer_type

_LONG = ir.IntType(64)
_BITS = ir.VectorType(INT, LANES)
_QUAD = ir.VectorType(ir.FloatType(), 4)
_CHAINS = 8  # sums that do not wait for each other: a fused multiply-add takes four cycles, and two start in each
MAX_VECTORS = 11 if "+avx512f" in get_cpu_features().split(",") else 6  # sums fit into registers, and inputs into L1


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

            def add_weights(together):
                def body(k, sums):
                    sums = list(sums)
                    for number in range(together):
                        index = builder.add(k, emit.long(number))
                        value = emit.broadcast(emit.item(values, index))
                        for i, at in enumerate(
                            _locate(emit, builder.add(x_base, _read_offset(emit, offsets, index)), count)
                        ):
                            i += number * count
                            sums[i] = emit.fma(emit.load(x, at, 4), value, sums[i])
                    return sums

                return body

            chains = max(1, _CHAINS // count)
            first, zero = emit.broadcast(bias), ir.Constant(VECTOR, [0.0] * LANES)
            rest, sums = emit.loop(
                start, stop, chains, [first] * count + [zero] * (count * (chains - 1)), add_weights(chains)
            )
            sums = [_add_up(builder, sums[i::count]) for i in range(count)]
            if chains > 1:
                _, sums = emit.loop(rest, stop, 1, sums, add_weights(1))
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
                sources = _locate(emit, builder.add(x_base, _read_offset(emit, offsets, k)), count)
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


def _add_up(builder, vectors):
    while len(vectors) > 1:
        pairs = zip(vectors[::2], vectors[1::2], strict=False)
        vectors = [builder.fadd(*pair) for pair in pairs] + vectors[len(vectors) // 2 * 2 :]
    return vectors[0]


def _read_offset(emit, offsets, index):
    return emit.builder.sext(emit.item(offsets, index), _LONG)


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


@intrinsic
def dot(typing, values, offsets, start, stop, x, x_base, bias):
    """Returns bias + the sum of values[k] * x[x_base + offsets[k]], k in [start, stop); offsets are uint16.

    The loads are the limit, so one load takes four offsets, and the numbers are gathered one by one: the processor's
    own gather is slower.
    """

    def generate(context, builder, signature, arguments):
        emit = Emitter(context, builder, signature, arguments)
        values, offsets, start, stop, x, x_base, bias = emit.arguments
        x = builder.gep(x, [x_base])

        def gather(k):
            four = builder.load(cast_pointer(builder, offsets, k, _LONG))
            four.align = 2
            vector = ir.Constant(_QUAD, ir.Undefined)
            for lane in range(4):
                offset = builder.and_(builder.lshr(four, emit.long(16 * lane)), emit.long(0xFFFF))
                vector = builder.insert_element(vector, emit.item(x, offset), ir.Constant(INT, lane))
            return vector

        def add_eight(k, totals):
            fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(_QUAD, [_QUAD] * 3), "llvm.fma.v4f32")
            places = [builder.add(k, emit.long(4 * i)) for i in range(2)]
            return [
                builder.call(fma, [_load_short(builder, values, at, _QUAD), gather(at), total])
                for at, total in zip(places, totals, strict=True)
            ]

        def add_one(k, totals):
            offset = builder.zext(emit.item(offsets, k), _LONG)
            return [builder.fadd(totals[0], builder.fmul(emit.item(values, k), emit.item(x, offset)))]

        rest, totals = emit.loop(start, stop, 8, [ir.Constant(_QUAD, [0.0] * 4)] * 2, add_eight)
        both, total = builder.fadd(*totals), bias
        for lane in range(4):
            total = builder.fadd(total, builder.extract_element(both, ir.Constant(INT, lane)))
        return emit.loop(rest, stop, 1, [total], add_one)[1][0]

    return types.float32(values, offsets, start, stop, x, x_base, bias), generate


@intrinsic
def copy_every_second(typing, x, source, out, count):
    """Copies x[source], x[source + 2], ... to x[out], x[out + 1], ...: `count` numbers."""

    def generate(context, builder, signature, arguments):
        emit = Emitter(context, builder, signature, arguments)
        x, source, out, position = [*emit.arguments[:3], emit.long(0)]
        for lanes in (LANES, LANES // 2, LANES // 4, 1):
            kind = ir.VectorType(ir.FloatType(), lanes)

            def copy(k, _, lanes=lanes, kind=kind):
                at = builder.add(source, builder.mul(k, emit.long(2)))
                halves = [_load_short(builder, x, builder.add(at, emit.long(i * lanes)), kind) for i in range(2)]
                if lanes == 1:
                    halves[1] = halves[0]  # what is behind the last number may belong to nobody
                every = emit.shuffle(*halves, [2 * lane for lane in range(lanes)])
                builder.store(every, cast_pointer(builder, x, builder.add(out, k), kind)).align = 4
                return []

            position, _ = emit.loop(position, emit.arguments[3], lanes, [], copy)

    return types.void(x, source, out, count), generate


@intrinsic
def copy_run(typing, out, o, source, s, count):
    """Copies source[s], source[s + 1], ... to out[o], out[o + 1], ...: `count` numbers."""

    def generate(context, builder, signature, arguments):
        emit = Emitter(context, builder, signature, arguments)
        out, o, source, s, count = emit.arguments
        position = emit.long(0)
        for lanes in (LANES, LANES // 4, 1):
            kind = ir.VectorType(ir.FloatType(), lanes)

            def copy(k, _, kind=kind):
                run = _load_short(builder, source, builder.add(s, k), kind)
                builder.store(run, cast_pointer(builder, out, builder.add(o, k), kind)).align = 4
                return []

            position, _ = emit.loop(position, count, lanes, [], copy)

    return types.void(out, o, source, s, count), generate


def _load_short(builder, x, index, kind):
    vector = builder.load(cast_pointer(builder, x, index, kind))
    vector.align = 4
    return vector


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
        if platform.machine().lower() in ("x86_64", "amd64"):
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])

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
