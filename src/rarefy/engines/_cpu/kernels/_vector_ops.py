"""Vector loops over runs of pixels, written in LLVM's own language: what numba's own do too slowly."""

# mypy: ignore-errors

from __future__ import annotations

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from rarefy.engines._cpu.kernels._emit import INT, LANES, VECTOR, Emitter

_ZERO = ir.Constant(VECTOR, [0.0] * LANES)


@intrinsic
def move(typing, out, o, o_step, s, s_from, s_step, count):
    """Copies `count` vectors; steps in vectors."""

    def generate(context, builder, signature, arguments):
        emit = Emitter(context, builder, signature, arguments)
        out, o, o_step, s, s_from, s_step, count = emit.arguments

        def body(i, _):
            emit.store(emit.load(s, emit.at(s_from, s_step, i)), out, emit.at(o, o_step, i))
            return []

        emit.loop(emit.long(0), count, 1, [], body)

    return types.void(out, o, o_step, s, s_from, s_step, count), generate


@intrinsic
def clear(typing, out, o, count):
    """Zeros in `count` vectors."""

    def generate(context, builder, signature, arguments):
        emit = Emitter(context, builder, signature, arguments)
        out, o, count = emit.arguments

        def body(i, _):
            emit.store(_ZERO, out, emit.at(o, emit.long(1), i))
            return []

        emit.loop(emit.long(0), count, 1, [], body)

    return types.void(out, o, count), generate


def _affine(two, relu):
    @intrinsic
    def affine(typing, out, o, s, t, s_from, s_step, count, a, b, c):
        """Vectors of out = a * s + b * t + c, with t or without, then ReLU or not."""

        def generate(context, builder, signature, arguments):
            emit = Emitter(context, builder, signature, arguments)
            out, o, s, t, s_from, s_step, count, *numbers = emit.arguments
            a, b, c = (emit.splat(number) for number in numbers)

            def body(i, _):
                at = emit.at(s_from, s_step, i)
                value = emit.fma(emit.load(t, at), b, c) if two else c
                value = emit.fma(emit.load(s, at), a, value)
                if relu:  # a NaN is not <= 0 and stays
                    value = builder.select(builder.fcmp_ordered("<=", value, _ZERO), _ZERO, value)
                emit.store(value, out, emit.at(o, emit.long(1), i))
                return []

            emit.loop(emit.long(0), count, 1, [], body)

        return types.void(out, o, s, t, s_from, s_step, count, a, b, c), generate

    return affine


AFFINE, AFFINE_RELU, AFFINE_TWO, AFFINE_TWO_RELU = (
    _affine(two, relu) for two in (False, True) for relu in (False, True)
)


def _merge(largest):
    @intrinsic
    def merge(typing, out, o, s, s_from, s_step, count):
        """Vectors of out = the larger of out and s, or their sum."""

        def generate(context, builder, signature, arguments):
            emit = Emitter(context, builder, signature, arguments)
            out, o, s, s_from, s_step, count = emit.arguments

            def body(i, _):
                place = emit.at(o, emit.long(1), i)
                old, new = emit.load(out, place), emit.load(s, emit.at(s_from, s_step, i))
                if largest:  # a NaN is not <= anything and wins
                    result = builder.select(builder.fcmp_ordered("<=", new, old), old, new)
                else:
                    result = builder.fadd(old, new)
                emit.store(result, out, place)
                return []

            emit.loop(emit.long(0), count, 1, [], body)

        return types.void(out, o, s, s_from, s_step, count), generate

    return merge


LARGER, PLUS = _merge(True), _merge(False)


@intrinsic
def spread(typing, gradient, source, place, step, out, o, rest, r, count):
    """The gradient left in `rest` to the vectors of the source that equal the output; it is 0 there afterwards."""

    def generate(context, builder, signature, arguments):
        emit = Emitter(context, builder, signature, arguments)
        gradient, source, place, step, out, o, rest, r, count = emit.arguments

        def body(i, _):
            here, left = (emit.at(first, emit.long(1), i) for first in (o, r))
            there = emit.at(place, step, i)
            hit = builder.fcmp_ordered("==", emit.load(source, there), emit.load(out, here))
            given = emit.load(rest, left)
            added = builder.fadd(emit.load(gradient, there), builder.select(hit, given, _ZERO))
            emit.store(added, gradient, there)
            emit.store(builder.select(hit, _ZERO, given), rest, left)
            return []

        emit.loop(emit.long(0), count, 1, [], body)

    return types.void(gradient, source, place, step, out, o, rest, r, count), generate


def _masked(more, norms):
    @intrinsic
    def masked(typing, run, lo, count, add, source, a, c, first, first_mean, second, second_mean, sums):
        """Run (+ add) where a * source + c > 0, else 0; sums [3] += its sum, and its products with the deviations."""

        def generate(context, builder, signature, arguments):
            emit = Emitter(context, builder, signature, arguments)
            run, lo, count, add, source, a, c, first, first_mean, second, second_mean, sums = emit.arguments
            a, c, *means = (emit.splat(number) for number in (a, c, first_mean, second_mean))

            def body(i, totals):
                place = emit.at(lo, emit.long(1), i)
                value = emit.load(run, place)
                if more:
                    value = builder.fadd(value, emit.load(add, place))
                seen = emit.fma(emit.load(source, place), a, c)
                value = builder.select(builder.fcmp_ordered("<=", seen, _ZERO), _ZERO, value)
                emit.store(value, run, place)
                normed = list(zip((first, second), means, strict=True))[:norms]
                shifts = [builder.fsub(emit.load(t, place), mean) for t, mean in normed]
                products = [emit.fma(value, shift, total) for shift, total in zip(shifts, totals[1:], strict=True)]
                return [builder.fadd(totals[0], value), *products]

            _, totals = emit.loop(emit.long(0), count, 1, [_ZERO] * (norms + 1), body)
            for number, total in enumerate(totals):
                place = builder.gep(sums, [emit.long(number)])
                total = builder.extract_element(emit.sums([total]), ir.Constant(INT, 0))
                builder.store(builder.fadd(builder.load(place), builder.fpext(total, ir.DoubleType())), place)

        arguments = (run, lo, count, add, source, a, c, first, first_mean, second, second_mean, sums)
        return types.void(*arguments), generate

    return masked


MASKED_ONE, MASKED_TWO, MASKED_ADD_ONE, MASKED_ADD_TWO = (
    _masked(more, norms) for more in (False, True) for norms in (1, 2)
)


@intrinsic
def transpose(typing, s, s_from, s_row, out, o, o_row):
    """16 rows of 16 numbers, `s_row` numbers apart, as 16 columns: row i of out is column i of s."""

    def generate(context, builder, signature, arguments):
        emit = Emitter(context, builder, signature, arguments)
        s, s_from, s_row, out, o, o_row = emit.arguments
        rows = [emit.load(s, place, 4) for place in emit.places(s_from, s_row, LANES, 1)]
        step = 1
        while step < LANES:  # swaps the two blocks beside the diagonal of every square of 2 x step rows
            low = [lane if not lane & step else LANES + lane - step for lane in range(LANES)]
            high = [lane + step if not lane & step else LANES + lane for lane in range(LANES)]
            for i in range(LANES):
                if not i & step:
                    a, b = rows[i], rows[i + step]
                    rows[i], rows[i + step] = emit.shuffle(a, b, low), emit.shuffle(a, b, high)
            step *= 2
        for row, place in zip(rows, emit.places(o, o_row, LANES, 1), strict=True):
            emit.store(row, out, place, 4)

    return types.void(s, s_from, s_row, out, o, o_row), generate
