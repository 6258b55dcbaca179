"""Room: how the mask moves while training. Door: ``update``, the next masks at exactly the promised count."""

from rarefy.topology._diagnostics import (
    GradientNorms,
    Overlap,
    Units,
    active_units,
    exploration_rate,
    gradient_norms,
    overlap,
)
from rarefy.topology._drop import DROPS
from rarefy.topology._grow import GROWS
from rarefy.topology._redistribute import REDISTRIBUTIONS
from rarefy.topology._schedule import SCHEDULES
from rarefy.topology._update import TOPOLOGIES, Layer, Moment, Reserved, Scheduled, Topology, update

__all__ = [
    "DROPS",
    "GROWS",
    "REDISTRIBUTIONS",
    "SCHEDULES",
    "TOPOLOGIES",
    "GradientNorms",
    "Layer",
    "Moment",
    "Overlap",
    "Reserved",
    "Scheduled",
    "Topology",
    "Units",
    "active_units",
    "exploration_rate",
    "gradient_norms",
    "overlap",
    "update",
]

TOPOLOGIES.discover(__name__)
