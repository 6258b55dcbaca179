"""rarefy trains neural networks that are sparse from the first step.

In your own program::

    import rarefy
    sparsity = rarefy.sparsify(model, density=0.05, allocation="erk", seed=17)
    sparsity.attach(optimizer)
    ...                                       # your own loop, unchanged
    rarefy.save(model, sparsity, "model.safetensors")

Names are imported at first use: importing rarefy imports neither torch nor any other library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rarefy.allocation import ALLOCATIONS, allocate
    from rarefy.config import Config
    from rarefy.data import DATASETS
    from rarefy.engines import ENGINES, compile_inference, use_dense, use_engine
    from rarefy.errors import RarefyError
    from rarefy.evaluation import METRICS, evaluate
    from rarefy.masks import Masks
    from rarefy.models import LAYERS, MODELS, prunable
    from rarefy.pipeline import export, load_run, run
    from rarefy.records import Record, frame
    from rarefy.search import find_density
    from rarefy.sparsity import LayerSummary, Sparsity, load, save, sparsify
    from rarefy.topology import TOPOLOGIES

_PACKAGES = {
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
    "compile_inference": "engines",
    "evaluate": "evaluation",
    "export": "pipeline",
    "find_density": "search",
    "frame": "records",
    "load": "sparsity",
    "load_run": "pipeline",
    "prunable": "models",
    "run": "pipeline",
    "save": "sparsity",
    "sparsify": "sparsity",
    "use_dense": "engines",
    "use_engine": "engines",
}
_DEPRECATED = {"install": "engines", "remove": "engines"}  # they warn when called

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
    "export",
    "find_density",
    "frame",
    "load",
    "load_run",
    "prunable",
    "run",
    "save",
    "sparsify",
    "use_dense",
    "use_engine",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("rarefy")
    package = _PACKAGES.get(name) or _DEPRECATED.get(name)
    if package is None:
        raise AttributeError(f"module 'rarefy' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"rarefy.{package}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
