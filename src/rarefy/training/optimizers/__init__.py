"""Optimizers of the command line; the library works with any torch optimizer."""

from rarefy.training.optimizers._registry import OPTIMIZERS, OptimizerRule

__all__ = ["OPTIMIZERS", "OptimizerRule"]

OPTIMIZERS.discover(__name__)
