"""rarefy trains neural networks that are sparse from the first step.

    import rarefy
    sparsity = rarefy.sparsify(model, density=0.05, allocation="erk", seed=17)
    sparsity.attach(optimizer)
    ...                                       # your own loop, unchanged
    rarefy.save(model, sparsity, "model.safetensors")

Names are looked up when they are first used: importing rarefy imports neither torch nor anything else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rarefy.allocation import ALLOCATIONS, allocate
    from rarefy.config import Config
    from rarefy.data import DATASETS
    from rarefy.engines import ENGINES, compile_inference, install, remove, use_dense, use_engine
    from rarefy.errors import RarefyError
    from rarefy.evaluation import METRICS, evaluate
    from rarefy.masks import Masks
    from rarefy.models import LAYERS, MODELS, prunable
    from rarefy.records import Record
    from rarefy.search import find_density
    from rarefy.sparsity import LayerSummary, Sparsity, load, save, sparsify
    from rarefy.topology import TOPOLOGIES

_ROOMS = {
    "ALLOCATIONS": "allocation",
    "Config": "config",
    "DATASETS": "data",
    "ENGINES": "engines",
    "LAYERS": "models",
    "LayerSummary": "sparsity",
    "METRICS": "evaluation",
    "MODELS": "models",
    "Masks": "masks",
    "RarefyError": "errors",
    "Record": "records",
    "Sparsity": "sparsity",
    "TOPOLOGIES": "topology",
    "allocate": "allocation",
    "evaluate": "evaluation",
    "find_density": "search",
    "compile_inference": "engines",
    "install": "engines",
    "load": "sparsity",
    "prunable": "models",
    "remove": "engines",
    "save": "sparsity",
    "sparsify": "sparsity",
    "use_dense": "engines",
    "use_engine": "engines",
}

__all__ = [
    "ALLOCATIONS",
    "DATASETS",
    "ENGINES",
    "LAYERS",
    "METRICS",
    "MODELS",
    "TOPOLOGIES",
    "Config",
    "LayerSummary",
    "Masks",
    "RarefyError",
    "Record",
    "Sparsity",
    "allocate",
    "compile_inference",
    "evaluate",
    "find_density",
    "install",
    "load",
    "prunable",
    "remove",
    "save",
    "sparsify",
    "use_dense",
    "use_engine",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("rarefy")
    if name not in _ROOMS:
        raise AttributeError(f"module 'rarefy' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"rarefy.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
