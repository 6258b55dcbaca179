"""Blocked tensors: their memory, their layout, and how a layer's kept weights read them."""
