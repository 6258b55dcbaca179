"""Emits the inner loops of linear layers for one image: sums over single numbers of the input."""

# mypy: ignore-errors

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rarefy.engines._cpu.kernels._emit import INT, LONG, Emitter
from rarefy.engines._cpu.kernels._numba import cast_pointer, cgutils
from rarefy.engines._cpu.kernels._plane_loops import load_short

_QUAD = ir.VectorType(ir.FloatType(), 4)
_CHAINS = 4  # sums that do not wait for each other


@intrinsic
def dot(typing, values, v, offsets, start, stop, x, x_base, bias):
    """Returns bias + the sum of values[v + k] * x[x_base + offsets[k]], k in [start, stop); offsets are uint16.

    The loads are the limit, so one load takes four offsets, and the numbers are gathered one by one: the processor's
    own gather is slower.
    """

    def generate(context, builder, signature, arguments):
        emit = Emitter(context, builder, signature, arguments)
        values, v, offsets, start, stop, x, x_base, bias = emit.arguments
        values = builder.gep(values, [v])
        x = builder.gep(x, [x_base])

        def gather(k):
            four = builder.load(cast_pointer(builder, offsets, k, LONG))
            four.align = 2
            vector = ir.Constant(_QUAD, ir.Undefined)
            for lane in range(4):
                offset = builder.and_(builder.lshr(four, emit.long(16 * lane)), emit.long(0xFFFF))
                vector = builder.insert_element(vector, emit.item(x, offset), ir.Constant(INT, lane))
            return vector

        def add_eight(k, totals):
            kind = ir.FunctionType(_QUAD, [_QUAD] * 3)
            fma = cgutils.get_or_insert_function(builder.module, kind, "llvm.fmuladd.v4f32")
            places = [builder.add(k, emit.long(4 * i)) for i in range(2)]
            return [
                builder.call(fma, [load_short(builder, values, at, _QUAD), gather(at), total])
                for at, total in zip(places, totals, strict=True)
            ]

        def add_one(k, totals):
            offset = builder.zext(emit.item(offsets, k), LONG)
            return [builder.fadd(totals[0], builder.fmul(emit.item(values, k), emit.item(x, offset)))]

        rest, totals = emit.loop(start, stop, 8, [ir.Constant(_QUAD, [0.0] * 4)] * 2, add_eight)
        both, total = builder.fadd(*totals), bias
        for lane in range(4):
            total = builder.fadd(total, builder.extract_element(both, ir.Constant(INT, lane)))
        return emit.loop(rest, stop, 1, [total], add_one)[1][0]

    return types.float32(values, v, offsets, start, stop, x, x_base, bias), generate


def _make_dot_group(size):
    kind = ir.VectorType(ir.FloatType(), size)

    @intrinsic
    def dot_group(typing, values, v, offsets, start, stop, x, x_base, out, biases, b, other, low, high):
        """Sets `size` numbers of x to a bias and sums over the positions k in [start, stop); offsets are uint16.

        Number c gets biases[b + c] + the sum of values[v + size * k + c] * x[x_base + offsets[k]]: the lanes of a
        vector are numbers of the output. Adds the numbers from x[other] on, unless `other` is negative, and clamps.
        """

        def generate(context, builder, signature, arguments):
            emit = Emitter(context, builder, signature, arguments)
            values, v, offsets, start, stop, x, x_base, out, biases, b, other, low, high = emit.arguments
            name = f"llvm.fmuladd.v{size}f32"
            fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)

            def add_positions(k, sums):
                results = []
                for number, total in enumerate(sums):
                    position = builder.add(k, emit.long(number))
                    at = builder.add(x_base, builder.zext(emit.item(offsets, position), LONG))
                    first = builder.add(v, builder.mul(position, emit.long(size)))
                    weights = load_short(builder, values, first, kind)
                    results.append(builder.call(fma, [weights, emit.broadcast(emit.item(x, at), kind), total]))
                return results

            zero = ir.Constant(kind, [0.0] * size)
            sums = [load_short(builder, biases, b, kind)] + [zero] * (_CHAINS - 1)
            rest, sums = emit.loop(start, stop, _CHAINS, sums, add_positions)
            total = builder.fadd(builder.fadd(*sums[:2]), builder.fadd(*sums[2:]))
            (total,) = emit.loop(rest, stop, 1, [total], add_positions)[1]
            has_other = builder.icmp_signed(">=", other, emit.long(0))
            added = load_short(builder, x, builder.select(has_other, other, out), kind)
            total = builder.fadd(total, builder.select(has_other, added, zero))
            low, high = emit.broadcast(low, kind), emit.broadcast(high, kind)
            total = builder.select(builder.fcmp_ordered("<", total, low), low, total)
            total = builder.select(builder.fcmp_ordered(">", total, high), high, total)
            builder.store(total, cast_pointer(builder, x, out, kind)).align = 4

        return types.void(values, v, offsets, start, stop, x, x_base, out, biases, b, other, low, high), generate

    return dot_group


DOT_GROUP = {size: _make_dot_group(size) for size in (4, 8)}
