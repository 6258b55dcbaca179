"""Room: how masked layers compute. Door: ``install``; ``masked`` (dense kernels and zeros) is the oracle."""

from rarefy.engines._cache import check_promise, machine
from rarefy.engines._cpu import KernelsMissing, ready
from rarefy.engines._folding import ForwardChanged
from rarefy.engines._inference import compile_inference
from rarefy.engines._measure import release, take_turns
from rarefy.engines._plan import Plan, PlanError
from rarefy.engines._swap import EngineError, dense_copy
from rarefy.engines._use_engine import ENGINES, Engine, install, remove

__all__ = [
    "ENGINES",
    "Engine",
    "EngineError",
    "ForwardChanged",
    "KernelsMissing",
    "Plan",
    "PlanError",
    "check_promise",
    "compile_inference",
    "dense_copy",
    "install",
    "machine",
    "ready",
    "release",
    "remove",
    "take_turns",
]

ENGINES.discover(__name__)
