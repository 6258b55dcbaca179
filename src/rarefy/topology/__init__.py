"""How masks move while training: ``update`` computes the next masks, at exactly the promised counts."""

from rarefy.topology._diagnostics import Overlap, Units, compute_exploration_rate, compute_overlap, count_active_units
from rarefy.topology._drops import DROPS
from rarefy.topology._groups import GroupTopology, explain_group_refusal
from rarefy.topology._grows import GROWS
from rarefy.topology._redistributions import REDISTRIBUTIONS
from rarefy.topology._schedules import SCHEDULES
from rarefy.topology._update import (
    TOPOLOGIES,
    HasCountSchedule,
    HasDormantWeights,
    HasFinalDensity,
    Layer,
    Topology,
    UpdateStep,
    update,
)

__all__ = [
    "DROPS",
    "GROWS",
    "REDISTRIBUTIONS",
    "SCHEDULES",
    "TOPOLOGIES",
    "GroupTopology",
    "HasCountSchedule",
    "HasDormantWeights",
    "HasFinalDensity",
    "Layer",
    "Overlap",
    "Topology",
    "Units",
    "UpdateStep",
    "compute_exploration_rate",
    "compute_overlap",
    "count_active_units",
    "explain_group_refusal",
    "update",
]

TOPOLOGIES.discover(__name__)
