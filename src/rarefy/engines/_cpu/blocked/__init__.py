"""Blocked tensors: memory, layout, tilings, offsets of kept weights, and kernel calls on whole tensors."""
