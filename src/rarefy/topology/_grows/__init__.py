"""Grow rules: which pruned weights enter the mask. One file per rule."""

from rarefy.topology._grows._registry import GROWS, GrowRule

__all__ = ["GROWS", "GrowRule"]

GROWS.discover(__name__)
