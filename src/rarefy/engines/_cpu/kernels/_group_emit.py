"""Emits the inner loops of layers that keep or remove the weights of several consecutive outputs together.

Such a group of T outputs reads the same inputs, each with its own values. A run of the input is loaded once for all T,
so loads no longer limit the rate. A tile in registers is T outputs by a chunk of R rows by Q columns of pixels.
T is part of the type of `members`, the numbers 0, ..., T - 1, so each T gets machine code of its own. Values and sums
are [positions, T].
"""

# mypy: ignore-errors

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rarefy.engines._cpu.kernels import LANES
from rarefy.engines._cpu.kernels._emit import LONG_VECTORS, VECTOR, Emitter
from rarefy.engines._cpu.kernels._numba import cast_pointer

# Rows and columns of a chunk for each T: 16 accumulators with AVX-512, 4 (of 64 bytes) else.
GROUP_CHUNKS = (
    {8: ((1, 2), (2, 1), (1, 1)), 4: ((1, 4), (2, 2), (1, 1)), 2: ((1, 8), (2, 4), (1, 1))}
    if LONG_VECTORS
    else {4: ((1, 1),) * 3, 2: ((1, 2), (2, 1), (1, 1))}
)
# Positions whose sums are in registers together, for each T; then one at a time.
_POSITIONS = {8: (3, 1), 4: (6, 2, 1), 2: (8, 2, 1)} if LONG_VECTORS else {4: (1,), 2: (2, 1)}
_ZERO = ir.Constant(VECTOR, [0.0] * LANES)


def _locate_members(emit, base, plane, count):
    return [emit.builder.add(base, emit.builder.mul(plane, emit.long(t))) if t else base for t in range(count)]


def _broadcast_values(emit, values, k, count):
    first = emit.builder.mul(k, emit.long(count))
    return [emit.broadcast(emit.item(values, emit.builder.add(first, emit.long(t)))) for t in range(count)]


def _load_sums(emit, out, chunks, more, members, bias):
    """Returns the vectors of each output's chunk: with `more` those in memory, else the output's bias."""
    builder = emit.builder
    with builder.if_else(builder.icmp_signed("!=", more, emit.long(0))) as (then, otherwise):
        with then:
            stored, from_memory = [emit.load(out, at) for chunk in chunks for at in chunk], builder.basic_block
        with otherwise:
            firsts, from_bias = [emit.broadcast(emit.item(bias, at)) for at in members], builder.basic_block
    sums = []
    for number, vector in enumerate(stored):
        phi = builder.phi(VECTOR)
        phi.add_incoming(vector, from_memory)
        phi.add_incoming(firsts[number * len(firsts) // len(stored)], from_bias)
        sums.append(phi)
    return sums


def _make_axpy(variant):
    @intrinsic
    def axpy(
        typing, members, values, offsets, unit, start, stop, x, x_base, x_row, out, base, plane, row, more, bias, b
    ):
        """Adds values[k, t] * (chunk of x at offsets[k] * unit) to chunk t of out, k in [start, stop).

        Chunk t starts at base + t * plane. Without `more`, it starts as bias[b + t].
        """
        signature = types.void(
            members, values, offsets, unit, start, stop, x, x_base, x_row, out, base, plane, row, more, bias, b
        )

        def generate(context, builder, signature, arguments):
            count = signature.args[0].count
            rows, columns = GROUP_CHUNKS[count][variant]
            emit = Emitter(context, builder, signature, arguments)
            _, values, offsets, unit, start, stop, x, x_base, x_row, out, base, plane, row, more, bias, b = (
                emit.arguments
            )
            chunks = [
                emit.locate_chunk(first, row, rows, columns) for first in _locate_members(emit, base, plane, count)
            ]
            initial = _load_sums(
                emit, out, chunks, more, [emit.builder.add(b, emit.long(t)) for t in range(count)], bias
            )

            def body(k, sums):
                source = builder.add(x_base, emit.offset(offsets, k, unit))
                loaded = [emit.load(x, at) for at in emit.locate_chunk(source, x_row, rows, columns)]
                terms = [(vector, value) for value in _broadcast_values(emit, values, k, count) for vector in loaded]
                return [emit.fma(*term, total) for term, total in zip(terms, sums, strict=True)]

            _, sums = emit.loop(start, stop, 1, initial, body)
            for total, at in zip(sums, [at for chunk in chunks for at in chunk], strict=True):
                emit.store(total, out, at)

        return signature, generate

    return axpy


def _sum_terms(emit, terms):
    """Returns the sums of vectors with values as factors."""
    sums = [_ZERO] * len(terms[0][0])
    for vectors, value in terms:
        sums = [emit.fma(vector, value, total) for vector, total in zip(vectors, sums, strict=True)]
    return sums


def _make_scatter(variant):
    @intrinsic
    def scatter(typing, members, values, offsets, unit, start, stop, y, y_base, plane, y_row, x, x_base, x_row):
        """Adds values[k, t] * (chunk t of y), for all t, to the chunk of x at offsets[k] * unit, k in [start, stop).

        Chunk t starts at y_base + t * plane and stays in registers.
        """
        signature = types.void(members, values, offsets, unit, start, stop, y, y_base, plane, y_row, x, x_base, x_row)

        def generate(context, builder, signature, arguments):
            count = signature.args[0].count
            rows, columns = GROUP_CHUNKS[count][variant]
            emit = Emitter(context, builder, signature, arguments)
            _, values, offsets, unit, start, stop, y, y_base, plane, y_row, x, x_base, x_row = emit.arguments
            loaded = [
                [emit.load(y, at) for at in emit.locate_chunk(first, y_row, rows, columns)]
                for first in _locate_members(emit, y_base, plane, count)
            ]

            def body(k, _):
                target = builder.add(x_base, emit.offset(offsets, k, unit))
                indices = emit.locate_chunk(target, x_row, rows, columns)
                # Short chains that do not wait for the input gradient overlap with those of other positions. They start
                # from 0, as LLVM makes one long chain of a product and sums.
                terms = list(zip(loaded, _broadcast_values(emit, values, k, count), strict=True))
                halves = [_sum_terms(emit, terms[first::2]) for first in range(2)]
                sums = [builder.fadd(*pair) for pair in zip(*halves, strict=True)]
                sums = [builder.fadd(emit.load(x, at), total) for at, total in zip(indices, sums, strict=True)]
                for total, at in zip(sums, indices, strict=True):
                    emit.store(total, x, at)
                return []

            emit.loop(start, stop, 1, [], body)

        return signature, generate

    return scatter


@intrinsic
def GROUP_DOT(
    typing, members, sums, offsets, unit, start, stop, x, x_base, x_row, y, y_base, plane, y_row, rows, columns
):
    """Adds <plane t of y, x at offsets[k] * unit> over rows x columns pixels to sums[k, t], k in [start, stop)."""
    signature = types.void(
        members, sums, offsets, unit, start, stop, x, x_base, x_row, y, y_base, plane, y_row, rows, columns
    )

    def generate(context, builder, signature, arguments):
        count = signature.args[0].count
        emit = Emitter(context, builder, signature, arguments)
        _, sums, offsets, unit, start, stop, x, x_base, x_row, y, y_base, plane, y_row, rows, columns = emit.arguments
        planes = _locate_members(emit, y_base, plane, count)

        def add_positions(together):
            def body(k, _):
                places = [builder.add(k, emit.long(i)) for i in range(together)]
                bases = [builder.add(x_base, emit.offset(offsets, place, unit)) for place in places]
                totals = _sum_products(emit, (x, bases, x_row), (y, planes, y_row), rows, columns)
                _add_sums(emit, sums, builder.mul(k, emit.long(count)), totals)
                return []

            return body

        for together in _POSITIONS[count]:
            start, _ = emit.loop(start, stop, together, [], add_positions(together))

    return signature, generate


def _sum_products(emit, sources, gradients, rows, columns):
    """Builds the loops over rows and columns; returns a vector of sums for each pair of a source and a gradient."""
    builder = emit.builder
    (x, bases, x_row), (y, planes, y_row) = sources, gradients

    def add_row(j, totals):
        x_step, y_step = builder.mul(j, x_row), builder.mul(j, y_row)

        def add_pixel(i, totals):
            at = builder.mul(i, emit.long(LANES))
            x_at, y_at = builder.add(x_step, at), builder.add(y_step, at)
            inputs = [emit.load(x, builder.add(base, x_at)) for base in bases]
            totals = list(totals)
            for t, first in enumerate(planes):
                gradient = emit.load(y, builder.add(first, y_at))
                for i, vector in enumerate(inputs):
                    number = i * len(planes) + t
                    totals[number] = emit.fma(vector, gradient, totals[number])
            return totals

        return emit.loop(emit.long(0), columns, 1, totals, add_pixel)[1]

    return emit.loop(emit.long(0), rows, 1, [_ZERO] * (len(bases) * len(planes)), add_row)[1]


def _add_sums(emit, sums, first, vectors):
    """Adds the sum over the lanes of each vector to adjacent numbers, from index `first` on."""
    builder = emit.builder
    while vectors:
        width = max(power for power in (16, 8, 4, 2, 1) if power <= len(vectors))
        totals = emit.sums(vectors[:width])
        index = cast_pointer(builder, sums, first, totals.type)
        old = builder.load(index)
        old.align = 4
        builder.store(builder.fadd(old, totals), index).align = 4
        first, vectors = builder.add(first, emit.long(width)), vectors[width:]


GROUP_AXPY = tuple(_make_axpy(variant) for variant in range(3))
GROUP_SCATTER = tuple(_make_scatter(variant) for variant in range(3))
