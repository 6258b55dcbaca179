"""Emits the inner loops over planes: weighted sums and maxima of shifted runs of vectors, and copies."""

# mypy: ignore-errors

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rarefy.engines._cpu.kernels import LANES
from rarefy.engines._cpu.kernels._emit import INT, LONG, LONG_VECTORS, VECTOR, Emitter
from rarefy.engines._cpu.kernels._numba import cast_pointer

_BITS = ir.VectorType(INT, LANES)
_CHAINS = 8  # sums that do not wait for each other: a fused multiply-add takes four cycles, and two start in each
MAX_VECTORS = {1: 11, 2: 6, 4: 5, 8: 3} if LONG_VECTORS else {1: 6, 2: 2, 4: 1}
"""Channels that share positions to the most vectors of each whose sums fit into registers, and inputs into L1."""


def _make_weighted_sum(size, count):
    @intrinsic
    def weighted_sum(
        typing, values, v, offsets, start, stop, x, x_base, out, plane, biases, b, other, low, high, mask, m
    ):
        """Sets `count` vectors of `size` channels of x to a bias and sums over the positions k in [start, stop).

        Channel c gets biases[b + c] + the sum of values[v + size * k + c] * x[x_base + offsets[k]]: a position is
        loaded once for all channels. Channels are `plane` apart. Adds the vectors from x[other] on, unless `other` is
        negative. Then clamps to [low, high] and clears what the mask clears.
        """
        signature = types.void(
            values, v, offsets, start, stop, x, x_base, out, plane, biases, b, other, low, high, mask, m
        )

        def generate(context, builder, signature, arguments):
            emit = Emitter(context, builder, signature, arguments)
            values, v, offsets, start, stop, x, x_base, out, plane, biases, b, other, *clamp, mask, m = emit.arguments
            vectors = size * count

            def add_positions(together):
                def body(k, sums):
                    sums = list(sums)
                    for number in range(together):
                        position = builder.add(k, emit.long(number))
                        source = builder.add(x_base, _read_offset(emit, offsets, position))
                        inputs = [emit.load(x, at, 4) for at in locate_vectors(emit, source, count)]
                        first = builder.add(v, builder.mul(position, emit.long(size)))
                        for i in range(vectors):
                            value = emit.broadcast(emit.item(values, builder.add(first, emit.long(i // count))))
                            at = number * vectors + i
                            sums[at] = emit.fma(inputs[i % count], value, sums[at])
                    return sums

                return body

            chains = max(1, _CHAINS // vectors)
            channels = [emit.broadcast(emit.item(biases, builder.add(b, emit.long(c)))) for c in range(size)]
            sums = [channel for channel in channels for _ in range(count)]
            sums += [ir.Constant(VECTOR, [0.0] * LANES)] * (vectors * (chains - 1))
            rest, sums = emit.loop(start, stop, chains, sums, add_positions(chains))
            sums = [_add_up(builder, sums[i::vectors]) for i in range(vectors)]
            if chains > 1:
                _, sums = emit.loop(rest, stop, 1, sums, add_positions(1))
            for c in range(size):
                shift = builder.mul(plane, emit.long(c))
                added = _add_other(emit, sums[c * count : (c + 1) * count], x, other, shift)
                _store_masked(emit, added, clamp, x, builder.add(out, shift), mask, m)

        return signature, generate

    return weighted_sum


def _add_other(emit, sums, x, other, shift):
    """Adds the vectors from x[other + shift] on, unless `other` is negative."""
    builder, before = emit.builder, emit.builder.basic_block
    with builder.if_then(builder.icmp_signed(">=", other, emit.long(0))):
        others = [emit.load(x, at, 4) for at in locate_vectors(emit, builder.add(other, shift), len(sums))]
        added = [builder.fadd(*pair) for pair in zip(sums, others, strict=True)]
        inside = builder.basic_block
    return [_join(builder, pair, (before, inside)) for pair in zip(sums, added, strict=True)]


def _make_maximum(count):
    @intrinsic
    def maximum(typing, offsets, start, stop, x, x_base, base, low, high, mask, m):
        """Sets `count` vectors of x to the largest of x[x_base + offsets[k]], k in [start, stop)."""
        signature = types.void(offsets, start, stop, x, x_base, base, low, high, mask, m)

        def generate(context, builder, signature, arguments):
            emit = Emitter(context, builder, signature, arguments)
            offsets, start, stop, x, x_base, base, low, high, mask, m = emit.arguments

            def body(k, largest):
                sources = locate_vectors(emit, builder.add(x_base, _read_offset(emit, offsets, k)), count)
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
    return emit.builder.sext(emit.item(offsets, index), LONG)


def locate_vectors(emit, base, count):
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
    for vector, at, index in zip(
        vectors, locate_vectors(emit, base, count), locate_vectors(emit, m, count), strict=True
    ):
        clamped = builder.select(builder.fcmp_ordered("<", vector, low), low, vector)
        clamped = builder.select(builder.fcmp_ordered(">", clamped, high), high, clamped)
        bits = builder.load(cast_pointer(builder, mask, index, _BITS))
        bits.align = 4
        cleared = builder.bitcast(builder.and_(builder.bitcast(clamped, _BITS), bits), VECTOR)
        emit.store(cleared, out, at, 4)


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
                halves = [load_short(builder, x, builder.add(at, emit.long(i * lanes)), kind) for i in range(2)]
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
                run = load_short(builder, source, builder.add(s, k), kind)
                builder.store(run, cast_pointer(builder, out, builder.add(o, k), kind)).align = 4
                return []

            position, _ = emit.loop(position, count, lanes, [], copy)

    return types.void(out, o, source, s, count), generate


def load_short(builder, x, index, kind):
    vector = builder.load(cast_pointer(builder, x, index, kind))
    vector.align = 4
    return vector


WEIGHTED_SUM = {
    (size, count): _make_weighted_sum(size, count) for size in MAX_VECTORS for count in range(1, MAX_VECTORS[size] + 1)
}
MAXIMUM = {count: _make_maximum(count) for count in (1, 4)}
