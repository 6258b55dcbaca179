"""How initial weights and learning rates follow a layer's density and width: ``scale`` computes the factors."""

from rarefy.scaling._scale import SCALINGS, Factors, LayerRatio, OptimizerKind, ScalingRule, scale

__all__ = ["SCALINGS", "Factors", "LayerRatio", "OptimizerKind", "ScalingRule", "scale"]

SCALINGS.discover(__name__)
