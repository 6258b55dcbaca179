"""Types of modules that hold prunable weights: one file a type, found through ``LAYERS``."""

from rarefy.models._layers._registry import LAYERS, LayerType, list_tables, list_weights

__all__ = ["LAYERS", "LayerType", "list_tables", "list_weights"]

LAYERS.discover(__name__)
