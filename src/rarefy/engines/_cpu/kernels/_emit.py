"""Emits the two inner loops of every layer as LLVM code, because Numba cannot keep an array in registers.

Both work on a chunk of R rows by Q columns of pixels; a pixel is a vector of 16 images. `axpy` computes a chunk of one
output channel as a sum over kept weights of ``value * chunk of the input``, with R x Q accumulators in registers: one
load and one fused multiply-add per vector, no store before the end. `dot` keeps a chunk of the output gradient in
registers and computes its dot product with the input chunk of each kept weight. LLVM splits vectors of 16 where the
processor's are shorter.
"""

# mypy: ignore-errors

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rarefy.engines._cpu.kernels import LANES
from rarefy.engines._cpu.kernels._numba import cast_pointer, cgutils, get_cpu_features, get_data

_FLOAT, LONG, INT = ir.FloatType(), ir.IntType(64), ir.IntType(32)
VECTOR = ir.VectorType(_FLOAT, LANES)
_BYTE = ir.IntType(8)
LONG_VECTORS = "+avx512f" in get_cpu_features().split(",")
# Rows and columns of a chunk: 16 accumulators fill the registers of AVX-512, 4 of them (of 64 bytes) those of AVX2.
CHUNKS = ((2, 8), (4, 4), (1, 8), (2, 2), (1, 1)) if LONG_VECTORS else ((1, 4), (2, 2), (1, 2), (1, 1), (4, 1))
_WEIGHTS_PER_STEP = 4 if LONG_VECTORS else 2


class Emitter:
    """Builds the vector operations that the kernels need."""

    def __init__(self, context, builder, signature, arguments) -> None:
        self.builder = builder
        self._fma = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(VECTOR, [VECTOR] * 3), f"llvm.fmuladd.v{LANES}f32"
        )
        self.arguments = [
            get_data(context, builder, kind, value) for kind, value in zip(signature.args, arguments, strict=True)
        ]

    def long(self, number):
        return ir.Constant(LONG, number)

    def fma(self, a, b, c):
        """Computes a * b + c, rounded once where the processor can: else that takes a function call per number."""
        return self.builder.call(self._fma, [a, b, c])

    def _at(self, pointer, index):
        return cast_pointer(self.builder, pointer, index, VECTOR)

    def load(self, pointer, index, align=4 * LANES):
        vector = self.builder.load(self._at(pointer, index))
        vector.align = align
        return vector

    def store(self, vector, pointer, index, align=4 * LANES):
        self.builder.store(vector, self._at(pointer, index)).align = align

    def stream(self, vector, pointer, index):
        """Stores a vector past the caches."""
        store = self.builder.store(vector, self._at(pointer, index))
        store.align = 4 * LANES
        store.set_metadata("nontemporal", self.builder.module.add_metadata([ir.Constant(INT, 1)]))

    def prefetch(self, pointer, index, *, write=False):
        """Asks for a line of memory that will be read, or written; any address is allowed."""
        address = cast_pointer(self.builder, pointer, index, _BYTE)
        kind = ir.FunctionType(ir.VoidType(), [address.type, INT, INT, INT])
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.prefetch")
        self.builder.call(function, [address, *(ir.Constant(INT, number) for number in (int(write), 3, 1))])

    def shuffle(self, a, b, lanes):
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT, len(lanes)), lanes))

    def broadcast(self, scalar, kind=VECTOR):
        undefined = ir.Constant(kind, ir.Undefined)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(INT, 0))
        return self.shuffle(first, undefined, [0] * kind.count)

    def item(self, pointer, index):
        return self.builder.load(self.builder.gep(pointer, [index]))

    def offset(self, pointer, index, unit):
        return self.builder.mul(self.builder.zext(self.item(pointer, index), LONG), unit)

    def locate_chunk(self, base, row, rows, columns, column=None):
        """Returns the indices of a chunk's vectors: rows `row` floats apart, columns `column` apart or adjacent."""
        builder, column = self.builder, column or self.long(LANES)
        starts = [builder.add(base, builder.mul(row, self.long(r))) if r else base for r in range(rows)]
        steps = [builder.mul(column, self.long(q)) for q in range(columns)]
        return [builder.add(start, step) if q else start for start in starts for q, step in enumerate(steps)]

    def at(self, first, step, number):
        """Returns the index of a vector, `number` steps (in vectors) after the first."""
        return self.builder.add(first, self.builder.mul(self.builder.mul(number, step), self.long(LANES)))

    def loop(self, start, stop, step, initial, body):
        """Builds ``for k in range(start, stop, step)`` with carried values; returns k and the values after the loop."""
        builder = self.builder
        before = builder.basic_block
        inside, after = builder.append_basic_block("kept"), builder.append_basic_block("done")
        more = builder.icmp_signed("<=", builder.add(start, self.long(step)), stop)
        builder.cbranch(more, inside, after)
        builder.position_at_end(inside)
        counter, carried = builder.phi(LONG), [builder.phi(value.type) for value in initial]
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
        """Returns the sums of 1, 2 or 4 vectors as one short vector."""
        groups, width = 1, LANES
        while width > 1:
            half, pairs = width // 2, len(vectors) > 1
            left = [v * LANES + g * width + i for v in range(1 + pairs) for g in range(groups) for i in range(half)]
            right = [i + half for i in left]
            both = zip(vectors[::2], vectors[1::2], strict=True) if pairs else [(vectors[0], vectors[0])]
            vectors = [self.builder.fadd(self.shuffle(a, b, left), self.shuffle(a, b, right)) for a, b in both]
            groups, width = groups * (1 + pairs), half
        return vectors[0]


def _make_axpy(rows, columns):
    @intrinsic
    def axpy(
        typing, values, offsets, unit, start, stop, x, x_base, x_row, out, out_base, out_row, out_column, more, bias
    ):
        """Adds values[k] * (chunk of x at offsets[k] * unit) to a chunk of out, for kept weights k in [start, stop)."""
        signature = types.void(
            values, offsets, unit, start, stop, x, x_base, x_row, out, out_base, out_row, out_column, more, bias
        )

        def generate(context, builder, signature, arguments):
            emit = Emitter(context, builder, signature, arguments)
            values, offsets, unit, start, stop, x, x_base, x_row, out, out_base, out_row, out_column, more, bias = (
                emit.arguments
            )
            indices = emit.locate_chunk(out_base, out_row, rows, columns, out_column)
            with builder.if_else(builder.icmp_signed("!=", more, emit.long(0))) as (then, otherwise):
                with then:
                    sums, from_memory = [emit.load(out, index) for index in indices], builder.basic_block
                with otherwise:
                    first, from_bias = emit.broadcast(bias), builder.basic_block
            initial = []
            for vector in sums:
                phi = builder.phi(vector.type)
                phi.add_incoming(vector, from_memory)
                phi.add_incoming(first, from_bias)
                initial.append(phi)

            def body(k, sums):
                base = builder.add(x_base, emit.offset(offsets, k, unit))
                value = emit.broadcast(emit.item(values, k))
                sources = emit.locate_chunk(base, x_row, rows, columns)
                return [emit.fma(emit.load(x, at), value, total) for at, total in zip(sources, sums, strict=True)]

            _, sums = emit.loop(start, stop, 1, initial, body)
            for total, index in zip(sums, indices, strict=True):
                emit.store(total, out, index)

        return signature, generate

    return axpy


def _make_dot(rows, columns):
    @intrinsic
    def dot(typing, sums, offsets, unit, start, stop, x, x_base, x_row, y, y_base, y_row):
        """Adds <chunk of y, chunk of x at offsets[k] * unit> to sums[k], for kept weights k in [start, stop)."""
        signature = types.void(sums, offsets, unit, start, stop, x, x_base, x_row, y, y_base, y_row)

        def generate(context, builder, signature, arguments):
            emit = Emitter(context, builder, signature, arguments)
            sums, offsets, unit, start, stop, x, x_base, x_row, y, y_base, y_row = emit.arguments
            dy = [emit.load(y, index) for index in emit.locate_chunk(y_base, y_row, rows, columns)]

            def compute_dots(k, count):
                indices = [builder.add(k, emit.long(i)) for i in range(count)]
                bases = [builder.add(x_base, emit.offset(offsets, index, unit)) for index in indices]
                sources = [emit.locate_chunk(base, x_row, rows, columns) for base in bases]
                totals = [[] for _ in bases]
                for p, vector in enumerate(dy):  # two chains of sums per weight: an addition waits for the one before
                    for total, source in zip(totals, sources, strict=True):
                        loaded = emit.load(x, source[p])
                        if p < 2:
                            total.append(builder.fmul(loaded, vector))
                        else:
                            total[p % 2] = emit.fma(loaded, vector, total[p % 2])
                return emit.sums([builder.fadd(*total) if len(total) == 2 else total[0] for total in totals])

            def add_several(k, _):
                totals = compute_dots(k, _WEIGHTS_PER_STEP)
                index = cast_pointer(builder, sums, k, totals.type)
                old = builder.load(index)
                old.align = 4
                builder.store(builder.fadd(old, totals), index).align = 4
                return []

            def add_one(k, _):
                total = builder.extract_element(compute_dots(k, 1), ir.Constant(INT, 0))
                index = builder.gep(sums, [k])
                builder.store(builder.fadd(builder.load(index), total), index)
                return []

            rest, _ = emit.loop(start, stop, _WEIGHTS_PER_STEP, [], add_several)
            emit.loop(rest, stop, 1, [], add_one)

        return signature, generate

    return dot


SPARSE_AXPY = tuple(_make_axpy(rows, columns) for rows, columns in CHUNKS)
SPARSE_DOT = tuple(_make_dot(rows, columns) for rows, columns in CHUNKS)
