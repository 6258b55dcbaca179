"""The cpu engine's layers: they store kept weights only and compute with numba kernels (optional extra ``fast``)."""

from __future__ import annotations

from rarefy.engines._cpu._fuse import fuse, unfuse
from rarefy.engines._cpu._layers import SparseConv2d, SparseLinear
from rarefy.engines._cpu._pattern import Pattern
from rarefy.engines._cpu._ready import KernelsMissing, ready

__all__ = ["KernelsMissing", "Pattern", "SparseConv2d", "SparseLinear", "fuse", "ready", "unfuse"]
