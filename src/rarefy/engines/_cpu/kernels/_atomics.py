"""Emits atomic counters, by which threads share work, and what a waiting thread does."""

# mypy: ignore-errors

from __future__ import annotations

import platform

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rarefy.engines._cpu.kernels._emit import INT, LONG, Emitter
from rarefy.engines._cpu.kernels._numba import cgutils, make_pointer_type


@intrinsic
def add_atomically(typing, counters, index):
    """Adds 1 to counters[index], an int64; returns the value before."""

    def generate(context, builder, signature, arguments):
        counters, index = Emitter(context, builder, signature, arguments).arguments
        return builder.atomic_rmw("add", builder.gep(counters, [index]), ir.Constant(LONG, 1), "acq_rel")

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
        with builder.if_then(builder.icmp_signed("!=", address, ir.Constant(LONG, 0))):
            function = make_pointer_type(ir.FunctionType(INT, []))
            builder.call(builder.inttoptr(address, function), [])

    return types.void(address), generate
