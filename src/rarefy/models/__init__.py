"""Room: networks by name, and any network's weights that can be pruned. Door: ``parse``, ``build``, ``prunable``."""

from rarefy.models._door import MODELS, Model, build, parse
from rarefy.models._init import initialise, rescale
from rarefy.models._prunable import prunable

__all__ = ["MODELS", "Model", "build", "initialise", "parse", "prunable", "rescale"]

MODELS.discover(__name__)
