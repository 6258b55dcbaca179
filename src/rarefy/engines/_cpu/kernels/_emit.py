"""The two inner loops of every layer, written in LLVM's own language: numba cannot hold an array in registers.

Both work on a chunk of R rows by Q columns of pixels; a pixel is a vector of 16 images. `gather` computes a chunk of
one output channel as a sum over kept weights of ``value * chunk of the input``, R x Q accumulators in registers: one
load and one fused multiply-add a vector, no store before the end. `dots` holds a chunk of the output's gradient in
registers and takes its dot product with the input of each kept weight. LLVM splits vectors of 16 where the machine's
are shorter.
"""

# mypy: ignore-errors

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, config, types
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

LANES = 16
_FLOAT, _LONG, INT = ir.FloatType(), ir.IntType(64), ir.IntType(32)
VECTOR = ir.VectorType(_FLOAT, LANES)
_FEATURES = get_host_cpu_features() if config.CPU_FEATURES is None else config.CPU_FEATURES  # NUMBA_CPU_FEATURES
_LONGVECTORS = "+avx512f" in _FEATURES.split(",")
# Rows and columns of a chunk: 16 accumulators fill the registers of AVX-512, 4 of them (of 64 bytes) those of AVX2.
CHUNKS = ((2, 8), (4, 4), (1, 8), (2, 2), (1, 1)) if _LONGVECTORS else ((1, 4), (2, 2), (1, 2), (1, 1), (4, 1))
_TOGETHER = 4 if _LONGVECTORS else 2


class Emitter:
    """A builder with the few vector operations needed."""

    def __init__(self, context, builder, signature, arguments) -> None:
        self.builder = builder
        self._fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), f"llvm.fma.v{LANES}f32"
        )
        self.arguments = [
            context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, arguments, strict=True)
        ]

    def long(self, number):
        return ir.Constant(_LONG, number)

    def fma(self, a, b, c):
        return self.builder.call(self._fma, [a, b, c])

    def _at(self, pointer, index):
        return self.builder.bitcast(self.builder.gep(pointer, [index]), VECTOR.as_pointer())

    def load(self, pointer, index, align=4 * LANES):
        vector = self.builder.load(self._at(pointer, index))
        vector.align = align
        return vector

    def store(self, vector, pointer, index, align=4 * LANES):
        self.builder.store(vector, self._at(pointer, index)).align = align

    def shuffle(self, a, b, lanes):
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT, len(lanes)), lanes))

    def splat(self, scalar):
        undefined = ir.Constant(VECTOR, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(INT, 0))
        return self.shuffle(first, undefined, [0] * LANES)

    def item(self, pointer, index):
        return self.builder.load(self.builder.gep(pointer, [index]))

    def offset(self, pointer, index):
        return self.builder.sext(self.item(pointer, index), _LONG)

    def places(self, base, row, rows, columns, column=None):
        """Indices of the chunk's vectors: rows `row` floats apart, columns `column`, or next to each other."""
        builder, column = self.builder, column or self.long(LANES)
        starts = [builder.add(base, builder.mul(row, self.long(r))) if r else base for r in range(rows)]
        steps = [builder.mul(column, self.long(q)) for q in range(columns)]
        return [builder.add(start, step) if q else start for start in starts for q, step in enumerate(steps)]

    def at(self, first, step, number):
        """Index of a vector, `number` steps (in vectors) on from the first."""
        return self.builder.add(first, self.builder.mul(self.builder.mul(number, step), self.long(LANES)))

    def loop(self, start, stop, step, initial, body):
        """``for k in range(start, stop, step)`` with carried values; returns (k after the loop, values after it)."""
        builder = self.builder
        before = builder.basic_block
        inside, after = builder.append_basic_block("kept"), builder.append_basic_block("done")
        more = builder.icmp_signed("<=", builder.add(start, self.long(step)), stop)
        builder.cbranch(more, inside, after)
        builder.position_at_end(inside)
        counter, carried = builder.phi(_LONG), [builder.phi(value.type) for value in initial]
        values = body(counter, carried)
        following = builder.add(counter, self.long(step))
        last = builder.basic_block
        more = builder.icmp_signed("<=", builder.add(following, self.long(step)), stop)
        builder.cbranch(more, inside, after)
        builder.position_at_end(after)
        results = []
        for phi, first, again in zip([counter, *carried], [start, *initial], [following, *values], strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(again, last)
            result = builder.phi(phi.type)
            result.add_incoming(first, before)
            result.add_incoming(again, last)
            results.append(result)
        return results[0], results[1:]

    def sums(self, vectors):
        """The sums of 1, 2 or 4 vectors, as one short vector of them."""
        groups, width = 1, LANES
        while width > 1:
            half, pairs = width // 2, len(vectors) > 1
            left = [v * LANES + g * width + i for v in range(1 + pairs) for g in range(groups) for i in range(half)]
            right = [i + half for i in left]
            both = zip(vectors[::2], vectors[1::2], strict=True) if pairs else [(vectors[0], vectors[0])]
            vectors = [self.builder.fadd(self.shuffle(a, b, left), self.shuffle(a, b, right)) for a, b in both]
            groups, width = groups * (1 + pairs), half
        return vectors[0]


def _gather(rows, columns):
    @intrinsic
    def gather(typing, values, offsets, start, stop, x, x_base, x_row, out, out_base, out_row, out_column, more, bias):
        """Chunk of out (+)= sum over kept weights k in [start, stop) of values[k] * chunk of x at offsets[k]."""
        signature = types.void(
            values, offsets, start, stop, x, x_base, x_row, out, out_base, out_row, out_column, more, bias
        )

        def generate(context, builder, signature, arguments):
            emit = Emitter(context, builder, signature, arguments)
            values, offsets, start, stop, x, x_base, x_row, out, out_base, out_row, out_column, more, bias = (
                emit.arguments
            )
            places = emit.places(out_base, out_row, rows, columns, out_column)
            with builder.if_else(builder.icmp_signed("!=", more, emit.long(0))) as (then, otherwise):
                with then:
                    sums, added = [emit.load(out, place) for place in places], builder.basic_block
                with otherwise:
                    first, fresh = emit.splat(bias), builder.basic_block
            initial = []
            for vector in sums:
                phi = builder.phi(vector.type)
                phi.add_incoming(vector, added)
                phi.add_incoming(first, fresh)
                initial.append(phi)

            def body(k, sums):
                base = builder.add(x_base, emit.offset(offsets, k))
                value = emit.splat(emit.item(values, k))
                sources = emit.places(base, x_row, rows, columns)
                return [emit.fma(emit.load(x, at), value, total) for at, total in zip(sources, sums, strict=True)]

            _, sums = emit.loop(start, stop, 1, initial, body)
            for total, place in zip(sums, places, strict=True):
                emit.store(total, out, place)

        return signature, generate

    return gather


def _dots(rows, columns):
    @intrinsic
    def dots(typing, sums, offsets, start, stop, x, x_base, x_row, y, y_base, y_row):
        """sums[k] += <chunk of y, chunk of x at offsets[k]> for kept weights k in [start, stop)."""
        signature = types.void(sums, offsets, start, stop, x, x_base, x_row, y, y_base, y_row)

        def generate(context, builder, signature, arguments):
            emit = Emitter(context, builder, signature, arguments)
            sums, offsets, start, stop, x, x_base, x_row, y, y_base, y_row = emit.arguments
            dy = [emit.load(y, place) for place in emit.places(y_base, y_row, rows, columns)]

            def dots_of(k, count):
                bases = [builder.add(x_base, emit.offset(offsets, builder.add(k, emit.long(i)))) for i in range(count)]
                sources = [emit.places(base, x_row, rows, columns) for base in bases]
                totals = [[] for _ in bases]
                for p, vector in enumerate(dy):  # two chains of sums a weight: an addition waits for the one before
                    for total, source in zip(totals, sources, strict=True):
                        loaded = emit.load(x, source[p])
                        if p < 2:
                            total.append(builder.fmul(loaded, vector))
                        else:
                            total[p % 2] = emit.fma(loaded, vector, total[p % 2])
                return emit.sums([builder.fadd(*total) if len(total) == 2 else total[0] for total in totals])

            def several(k, _):
                totals = dots_of(k, _TOGETHER)
                place = builder.bitcast(builder.gep(sums, [k]), totals.type.as_pointer())
                old = builder.load(place)
                old.align = 4
                builder.store(builder.fadd(old, totals), place).align = 4
                return []

            def one(k, _):
                total = builder.extract_element(dots_of(k, 1), ir.Constant(INT, 0))
                place = builder.gep(sums, [k])
                builder.store(builder.fadd(builder.load(place), total), place)
                return []

            rest, _ = emit.loop(start, stop, _TOGETHER, [], several)
            emit.loop(rest, stop, 1, [], one)

        return signature, generate

    return dots


GATHER = tuple(_gather(rows, columns) for rows, columns in CHUNKS)
DOTS = tuple(_dots(rows, columns) for rows, columns in CHUNKS)
