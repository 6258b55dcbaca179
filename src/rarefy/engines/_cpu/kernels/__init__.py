"""Kernels of the cpu engine: emitted inner loops, compiled by Numba, and the threads that run them."""

LANES = 16
"""Images in a block: one vector of floats is one pixel of so many images."""
