"""Room: networks by name, and any network's weights that can be pruned. Door: ``parse``, ``build``, ``prunable``."""

from rarefy.models._build import MODELS, Model, build, parse
from rarefy.models._init import initialise, rescale
from rarefy.models._layers import LAYERS, LayerType
from rarefy.models._prunable import (
    Place,
    find_matrices,
    find_prunable,
    find_weights,
    prunable,
    read_weight,
)
from rarefy.models._wrappers import unwrap_name

__all__ = [
    "LAYERS",
    "MODELS",
    "LayerType",
    "Model",
    "Place",
    "build",
    "find_matrices",
    "find_prunable",
    "find_weights",
    "initialise",
    "parse",
    "prunable",
    "read_weight",
    "rescale",
    "unwrap_name",
]

MODELS.discover(__name__)
