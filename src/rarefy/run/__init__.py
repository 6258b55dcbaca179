"""Room: the corridor, the only one that enters every other, in order. Door: ``run``: a config becomes a record."""

from rarefy.run._corridor import run
from rarefy.run._densities import LayerCost, densities
from rarefy.run._place import RunError
from rarefy.run._plan import Plan, resolve

__all__ = ["LayerCost", "Plan", "RunError", "densities", "resolve", "run"]
