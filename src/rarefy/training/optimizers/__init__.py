"""Optimizers of the command line; the library works with any torch optimizer."""

from rarefy.training.optimizers._registry import OPTIMIZERS, OptimizerRule, build_parameter_groups

__all__ = ["OPTIMIZERS", "OptimizerRule", "build_parameter_groups"]

OPTIMIZERS.discover(__name__)
