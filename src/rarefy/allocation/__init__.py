"""How many weights each layer keeps: ``allocate`` computes integers that add up exactly to the budget."""

from rarefy.allocation._allocate import ALLOCATIONS, DensityRule, SaliencyRule, allocate
from rarefy.allocation._budget import InfeasibleDensity, Shapes, round_quotas
from rarefy.allocation._glob import matches_glob
from rarefy.allocation._probe import Probe

__all__ = [
    "ALLOCATIONS",
    "DensityRule",
    "InfeasibleDensity",
    "Probe",
    "SaliencyRule",
    "Shapes",
    "allocate",
    "matches_glob",
    "round_quotas",
]

ALLOCATIONS.discover(__name__)
