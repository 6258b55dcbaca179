"""Optimizers of the command line; a library user brings any torch optimizer."""

from rarefy.training.optimizers._registry import OPTIMIZERS, OptimizerRule, parameter_groups

__all__ = ["OPTIMIZERS", "OptimizerRule", "parameter_groups"]

OPTIMIZERS.discover(__name__)
