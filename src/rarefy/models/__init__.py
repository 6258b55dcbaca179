"""Networks by name (``parse``, ``build``), and the weights of any network that can be pruned (``prunable``)."""

from rarefy.models._build import MODELS, Model, build, parse
from rarefy.models._init import initialise_weights
from rarefy.models._layers import LAYERS, LayerType
from rarefy.models._prunable import (
    ParameterRef,
    find_matrices,
    find_prunable,
    find_weights,
    prunable,
    read_groups,
    read_weight,
)
from rarefy.models._width import change_width
from rarefy.models._wrappers import unwrap_name
from rarefy.models.file import ModelFileChanged, require_allowed

__all__ = [
    "LAYERS",
    "MODELS",
    "LayerType",
    "Model",
    "ModelFileChanged",
    "ParameterRef",
    "build",
    "change_width",
    "find_matrices",
    "find_prunable",
    "find_weights",
    "initialise_weights",
    "parse",
    "prunable",
    "read_groups",
    "read_weight",
    "require_allowed",
    "unwrap_name",
]

MODELS.discover(__name__)
