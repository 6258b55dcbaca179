"""Predicts with a captured network in one compiled call: an image's channels are flat planes in memory."""

from rarefy.engines._cpu.planes._capture import CaptureError
from rarefy.engines._cpu.planes._linear import PlanesLinear
from rarefy.engines._cpu.planes._network import PlanesNetwork, is_plain

__all__ = ["CaptureError", "PlanesLinear", "PlanesNetwork", "is_plain"]
