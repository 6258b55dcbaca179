"""Layers of the cpu engine: they store kept weights only and compute with Numba kernels.

Three parts for training, each of which imports only from those before it: `kernels` (emitted inner loops, threads),
`blocked` (blocked tensors, and the offsets of kept weights in them), `fusion` (layers, and operations on blocked
tensors as nodes of autograd's graph). One for predictions, which imports `kernels` alone: `planes`.
"""

from __future__ import annotations

from rarefy.engines._cpu._compile import KernelsMissing, get_compile_seconds, require_numba
from rarefy.engines._cpu.blocked._indices import KeptIndices
from rarefy.engines._cpu.fusion._layers import SparseConv2d, SparseLinear
from rarefy.engines._cpu.fusion._scope import fuse, unfuse

__all__ = [
    "KeptIndices",
    "KernelsMissing",
    "SparseConv2d",
    "SparseLinear",
    "fuse",
    "get_compile_seconds",
    "require_numba",
    "unfuse",
]
