"""Emits vector loops over runs of pixels as LLVM code, where Numba's own loops are too slow."""

# mypy: ignore-errors

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rarefy.engines._cpu.kernels import LANES
from rarefy.engines._cpu.kernels._emit import INT, VECTOR, Emitter

_AHEAD = 12 * LANES  # floats of scratch memory that are fetched before they are written
_ZERO = ir.Constant(VECTOR, [0.0] * LANES)


def _make_copy(past):
    @intrinsic
    def copy(typing, out, o, o_step, s, s_from, s_step, count):
        """Copies `count` vectors, into the caches or past them; steps in vectors."""

        def generate(context, builder, signature, arguments):
            emit = Emitter(context, builder, signature, arguments)
            out, o, o_step, s, s_from, s_step, count = emit.arguments
            store = emit.stream if past else emit.store

            def body(i, _):
                store(emit.load(s, emit.at(s_from, s_step, i)), out, emit.at(o, o_step, i))
                return []

            emit.loop(emit.long(0), count, 1, [], body)

        return types.void(out, o, o_step, s, s_from, s_step, count), generate

    return copy


move, stream = (_make_copy(past) for past in (False, True))


@intrinsic
def clear(typing, out, o, count):
    """Sets `count` vectors to zero."""

    def generate(context, builder, signature, arguments):
        emit = Emitter(context, builder, signature, arguments)
        out, o, count = emit.arguments

        def body(i, _):
            emit.store(_ZERO, out, emit.at(o, emit.long(1), i))
            return []

        emit.loop(emit.long(0), count, 1, [], body)

    return types.void(out, o, count), generate


def _make_affine(two, relu, past=False):
    @intrinsic
    def affine(typing, out, o, s, t, s_from, s_step, count, a, b, c, limit, ahead):
        """Computes vectors of out = a * s + b * t + c, with or without t, with or without ReLU up to a limit or NaN.

        Fetches what is `ahead` floats further on: the processor does not foresee the step from one channel to the next.
        """

        def generate(context, builder, signature, arguments):
            emit = Emitter(context, builder, signature, arguments)
            out, o, s, t, s_from, s_step, count, *numbers, ahead = emit.arguments
            a, b, c, limit = (emit.broadcast(number) for number in numbers)

            def body(i, _):
                at = emit.at(s_from, s_step, i)
                for source in (s, t)[: 0 if past else 1 + two]:
                    emit.prefetch(source, builder.add(at, ahead))
                value = emit.fma(emit.load(t, at), b, c) if two else c
                value = emit.fma(emit.load(s, at), a, value)
                if relu:  # a NaN is not <= 0 and stays
                    value = builder.select(builder.fcmp_ordered("<=", value, _ZERO), _ZERO, value)
                    value = builder.select(builder.fcmp_ordered(">=", value, limit), limit, value)
                index = emit.at(o, emit.long(1), i)
                if past:
                    emit.stream(value, out, index)
                else:
                    emit.store(value, out, index)
                    emit.prefetch(out, builder.add(index, emit.long(_AHEAD)), write=True)
                return []

            emit.loop(emit.long(0), count, 1, [], body)

        return types.void(out, o, s, t, s_from, s_step, count, a, b, c, limit, ahead), generate

    return affine


AFFINE, AFFINE_RELU, AFFINE_TWO, AFFINE_TWO_RELU = (
    _make_affine(two, relu) for two in (False, True) for relu in (False, True)
)
PAST_AFFINE_TWO, PAST_AFFINE_TWO_RELU = (_make_affine(True, relu, past=True) for relu in (False, True))
"""Two sources, stored past the caches; no line is fetched early."""


def _make_merge(largest):
    @intrinsic
    def merge(typing, out, o, s, s_from, s_step, count):
        """Computes vectors of out = the larger of out and s, or their sum."""

        def generate(context, builder, signature, arguments):
            emit = Emitter(context, builder, signature, arguments)
            out, o, s, s_from, s_step, count = emit.arguments

            def body(i, _):
                index = emit.at(o, emit.long(1), i)
                old, new = emit.load(out, index), emit.load(s, emit.at(s_from, s_step, i))
                if largest:  # a NaN is not <= anything and wins
                    result = builder.select(builder.fcmp_ordered("<=", new, old), old, new)
                else:
                    result = builder.fadd(old, new)
                emit.store(result, out, index)
                return []

            emit.loop(emit.long(0), count, 1, [], body)

        return types.void(out, o, s, s_from, s_step, count), generate

    return merge


MAX_INTO, ADD_INTO = _make_merge(True), _make_merge(False)


@intrinsic
def unpool_scatter(typing, gradient, source, index, step, out, o, remaining, r, count):
    """Moves gradients from `remaining` to the vectors of the source that equal the output; `remaining` is 0 there."""

    def generate(context, builder, signature, arguments):
        emit = Emitter(context, builder, signature, arguments)
        gradient, source, index, step, out, o, remaining, r, count = emit.arguments

        def body(i, _):
            out_index, remaining_index = (emit.at(first, emit.long(1), i) for first in (o, r))
            source_index = emit.at(index, step, i)
            hit = builder.fcmp_ordered("==", emit.load(source, source_index), emit.load(out, out_index))
            value = emit.load(remaining, remaining_index)
            added = builder.fadd(emit.load(gradient, source_index), builder.select(hit, value, _ZERO))
            emit.store(added, gradient, source_index)
            emit.store(builder.select(hit, _ZERO, value), remaining, remaining_index)
            return []

        emit.loop(emit.long(0), count, 1, [], body)

    return types.void(gradient, source, index, step, out, o, remaining, r, count), generate


def _make_masked(more, norms):
    @intrinsic
    def masked(
        typing, out, o, run, r, at, count, add, source, a, c, limit, first, first_mean, second, second_mean, sums, ahead
    ):
        """Sets out to run (+ add), or 0 where a * source + c <= 0 or >= limit; adds up it and products with deviations.

        Index `at` is that of all but out and run.
        """

        def generate(context, builder, signature, arguments):
            emit = Emitter(context, builder, signature, arguments)
            out, o, run, r, at, count, add, source, a, c, limit, first, first_mean, second, second_mean, sums, ahead = (
                emit.arguments
            )
            a, c, limit, *means = (emit.broadcast(number) for number in (a, c, limit, first_mean, second_mean))

            def body(i, totals):
                index = emit.at(at, emit.long(1), i)
                following = builder.add(index, ahead)
                for other in dict.fromkeys((*[add][:more], source, *(first, second)[:norms])):
                    emit.prefetch(other, following)
                value = emit.load(run, emit.at(r, emit.long(1), i))
                if more:
                    value = builder.fadd(value, emit.load(add, index))
                seen = emit.fma(emit.load(source, index), a, c)
                low, high = builder.fcmp_ordered("<=", seen, _ZERO), builder.fcmp_ordered(">=", seen, limit)
                value = builder.select(builder.or_(low, high), _ZERO, value)
                emit.store(value, out, emit.at(o, emit.long(1), i))
                normed = list(zip((first, second), means, strict=True))[:norms]
                shifts = [builder.fsub(emit.load(t, index), mean) for t, mean in normed]
                products = [emit.fma(value, shift, total) for shift, total in zip(shifts, totals[1:], strict=True)]
                return [builder.fadd(totals[0], value), *products]

            _, totals = emit.loop(emit.long(0), count, 1, [_ZERO] * (norms + 1), body)
            for number, total in enumerate(totals):
                index = builder.gep(sums, [emit.long(number)])
                total = builder.extract_element(emit.sums([total]), ir.Constant(INT, 0))
                builder.store(builder.fadd(builder.load(index), builder.fpext(total, ir.DoubleType())), index)

        arguments = (out, o, run, r, at, count, add, source, a, c, limit, first, first_mean, second, second_mean, sums)
        return types.void(*arguments, ahead), generate

    return masked


MASKED_ONE, MASKED_TWO, MASKED_ADD_ONE, MASKED_ADD_TWO = (
    _make_masked(more, norms) for more in (False, True) for norms in (1, 2)
)


@intrinsic
def transpose(typing, s, s_from, s_row, out, o, o_row):
    """Transposes 16 rows of 16 numbers, `s_row` numbers apart: row i of out is column i of s."""

    def generate(context, builder, signature, arguments):
        emit = Emitter(context, builder, signature, arguments)
        s, s_from, s_row, out, o, o_row = emit.arguments
        rows = [emit.load(s, index, 4) for index in emit.locate_chunk(s_from, s_row, LANES, 1)]
        step = 1
        while step < LANES:  # swaps the two off-diagonal blocks of every square of 2 x step rows
            low = [lane if not lane & step else LANES + lane - step for lane in range(LANES)]
            high = [lane + step if not lane & step else LANES + lane for lane in range(LANES)]
            for i in range(LANES):
                if not i & step:
                    a, b = rows[i], rows[i + step]
                    rows[i], rows[i + step] = emit.shuffle(a, b, low), emit.shuffle(a, b, high)
            step *= 2
        for row, index in zip(rows, emit.locate_chunk(o, o_row, LANES, 1), strict=True):
            emit.store(row, out, index, 4)

    return types.void(s, s_from, s_row, out, o, o_row), generate
