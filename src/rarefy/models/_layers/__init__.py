"""Types of modules with prunable weights: one file per type, found through ``LAYERS``."""

from rarefy.models._layers._registry import LAYERS, LayerType, list_tables, list_weights

__all__ = ["LAYERS", "LayerType", "list_tables", "list_weights"]

LAYERS.discover(__name__)
