"""The cpu engine's layers: they store kept weights only and compute with numba kernels.

Three parts, each of which imports only from those before it: `kernels` (emitted inner loops and threads), `blocked`
(tensors in blocks and how kept weights read them), `fusion` (layers, and regions that are computed in blocks).
"""

from __future__ import annotations

from rarefy.engines._cpu._compile import KernelsMissing, compile_kernels
from rarefy.engines._cpu.blocked._pattern import Pattern
from rarefy.engines._cpu.fusion._layers import SparseConv2d, SparseLinear
from rarefy.engines._cpu.fusion._scope import fuse, unfuse

__all__ = ["KernelsMissing", "Pattern", "SparseConv2d", "SparseLinear", "compile_kernels", "fuse", "unfuse"]
