"""One kernel in several threads of OpenMP, without Python between them.

A thread that wants Python's lock waits for another to give it up: tens of microseconds a kernel. So a kernel is entered
once, and calls OpenMP itself: see `launch`.
"""

# mypy: ignore-errors

from __future__ import annotations

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

_INT, _LONG = ir.IntType(32), ir.IntType(64)
_NOTHING, _POINTER = ir.VoidType(), ir.IntType(8).as_pointer()


@intrinsic
def launch(typing, kernel, openmp, part, parts, arguments):
    """Calls kernel(part, parts, *arguments) for every part in 0, ..., parts - 1, each in a thread of its own.

    `openmp` are the addresses of GOMP_parallel, omp_get_thread_num and omp_get_num_threads; zeros: only `part`, here.
    The kernel returns and raises nothing.
    """
    inner = kernel.get_call_type(typing, (types.int64, types.int64, *arguments.types), {})

    def generate(context, builder, signature, given):
        compiled = kernel.dispatcher.overloads[tuple(inner.args)]
        context.add_linking_libs([compiled.library])
        _, openmp, part, parts, arguments = given
        functions = cgutils.unpack_tuple(builder, openmp)

        def call(builder, part, parts, arguments):
            values = (part, parts, *cgutils.unpack_tuple(builder, arguments))
            context.call_internal_no_propagate(builder, compiled.fndesc, compiled.signature, values)

        body = _body(builder, [arguments.type, _LONG, _LONG, _LONG], call)
        with builder.if_else(builder.icmp_signed("==", functions[0], _LONG(0))) as (here, team):
            with here:
                call(builder, part, parts, arguments)
            with team:
                packed = cgutils.pack_struct(builder, [arguments, parts, *functions[1:]])
                place = builder.bitcast(cgutils.alloca_once_value(builder, packed), _POINTER)
                run = ir.FunctionType(_NOTHING, [body.type, _POINTER, _INT, _INT])
                run = builder.inttoptr(functions[0], run.as_pointer())
                builder.call(run, [body, place, builder.trunc(parts, _INT), _INT(0)])

    return types.void(kernel, openmp, part, parts, arguments), generate


def _body(outer, members, call):
    """What each thread runs: the parts of its number."""
    kind = ir.FunctionType(_NOTHING, [_POINTER])
    function = ir.Function(outer.module, kind, name=outer.module.get_unique_name(f"{outer.function.name}.team"))
    function.linkage = "internal"
    builder = ir.IRBuilder(function.append_basic_block())
    packed = builder.load(builder.bitcast(function.args[0], ir.LiteralStructType(members).as_pointer()))
    arguments, parts, number, size = cgutils.unpack_tuple(builder, packed, 4)
    asks = ir.FunctionType(_INT, []).as_pointer()
    number, size = (builder.sext(builder.call(builder.inttoptr(f, asks), []), _LONG) for f in (number, size))
    with cgutils.for_range_slice(builder, number, parts, size, intp=_LONG) as (part, _):
        call(builder, part, parts, arguments)
    builder.ret_void()
    return function


@njit(nogil=True, inline="always")
def share(count, part, parts):
    """The part's [first, last) of `count` things."""
    return count * part // parts, count * (part + 1) // parts
